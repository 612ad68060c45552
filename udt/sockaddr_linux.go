package udt

import (
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// fromSockaddr returns the address that others know by sa: an IPv4 address as such, and
// with the name of its zone. It is invalid for nil.
func fromSockaddr(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 && ip.Is6() {
			ip = ip.WithZone(zoneName(sa.ZoneId))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func sockaddrOf(r route, ipv6Socket bool) unix.Sockaddr {
	ip, port := r.remote.Addr(), int(r.remote.Port())
	if ipv6Socket {
		return &unix.SockaddrInet6{Addr: ip.As16(), Port: port, ZoneId: scopeID(ip.Zone())}
	}
	return &unix.SockaddrInet4{Addr: ip.Unmap().As4(), Port: port}
}

// scopeID is the number of an IPv6 zone: an interface or a number already.
func scopeID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	id, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(id)
}

// zoneName names an IPv6 scope as package net does.
func zoneName(scope uint32) string {
	if ifi, err := net.InterfaceByIndex(int(scope)); err == nil {
		return ifi.Name
	}
	return strconv.Itoa(int(scope))
}
