package udt

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

const networkName = "udt"

// Addr is the address of a UDT endpoint: that of its UDP socket.
type Addr struct{ ap netip.AddrPort }

// Network returns "udt".
func (a *Addr) Network() string { return networkName }

// String returns host:port.
func (a *Addr) String() string { return a.ap.String() }

// AddrPort returns the address as a netip.AddrPort.
func (a *Addr) AddrPort() netip.AddrPort { return a.ap }

// UDPAddr returns the address of the UDP socket.
func (a *Addr) UDPAddr() *net.UDPAddr { return net.UDPAddrFromAddrPort(a.ap) }

// ResolveAddr resolves host:port for the networks udt, udt4 and udt6.
func ResolveAddr(ctx context.Context, network, address string) (*Addr, error) {
	ipNet, _, err := splitNetwork(network)
	if err != nil {
		return nil, err
	}
	aps, err := resolve(ctx, ipNet, address)
	if err != nil {
		return nil, err
	}
	return &Addr{aps[0]}, nil
}

// splitNetwork returns the IP network ("ip", "ip4" or "ip6") of a UDT network
// name and whether it asks for a rendezvous (udtz, udt4z, udt6z).
func splitNetwork(network string) (ipNet string, rendezvous bool, err error) {
	name := network
	if n := len(name); n > 0 && name[n-1] == 'z' {
		name, rendezvous = name[:n-1], true
	}
	switch name {
	case "udt":
		return "ip", rendezvous, nil
	case "udt4":
		return "ip4", rendezvous, nil
	case "udt6":
		return "ip6", rendezvous, nil
	}
	return "", false, net.UnknownNetworkError(network)
}

// resolve returns the addresses of host:port, IPv4 first, since a listener
// without IPv6 does not answer.
func resolve(ctx context.Context, ipNet, address string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, err
	}
	if host == "" {
		if ipNet == "ip4" {
			return []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port))}, nil
		}
		return []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port))}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, ipNet, host)
	if err != nil {
		return nil, err
	}
	var v4, v6 []netip.AddrPort
	for _, ip := range ips {
		ap := netip.AddrPortFrom(ip.Unmap(), uint16(port))
		if ap.Addr().Is4() {
			v4 = append(v4, ap)
		} else {
			v6 = append(v6, ap)
		}
	}
	if len(v4)+len(v6) == 0 {
		return nil, fmt.Errorf("no address for %s", address)
	}
	return append(v4, v6...), nil
}
