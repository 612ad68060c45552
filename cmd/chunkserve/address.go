package main

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// readyLine returns the command that fetches from this server.
func readyLine(root *os.Root, overUDT net.Listener, dotFiles bool, a *access) string {
	address := overUDT.Addr().String()
	if ap, err := netip.ParseAddrPort(address); err == nil {
		address = netip.AddrPortFrom(reachable(ap.Addr()), ap.Port()).String()
	}
	return "chunkget " + a.url(address, onlyFile(root, dotFiles))
}

// reachable returns an address at which other machines probably reach one that
// listens on local.
func reachable(local netip.Addr) netip.Addr {
	local = local.Unmap()
	if !local.IsUnspecified() {
		return local
	}
	// The source address of the route to a documentation address (RFC 5737, RFC
	// 3849) is that of the default route. Connecting a UDP socket sends nothing.
	targets := []string{"192.0.2.1:9"}
	if local.Is6() {
		targets = append(targets, "[2001:db8::1]:9") // [::] listens on IPv4, too
	}
	for _, target := range targets {
		conn, err := net.Dial("udp", target)
		if err != nil {
			continue
		}
		conn.Close()
		if a, ok := conn.LocalAddr().(*net.UDPAddr); ok && !a.IP.IsUnspecified() {
			return a.AddrPort().Addr().Unmap()
		}
	}
	// Without a default route: any address that is not of this machine alone.
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if ip := prefix.Addr().Unmap(); ip.IsGlobalUnicast() && (ip.Is4() || local.Is6()) {
			return ip
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// shellSafe escapes what a path segment may hold and a shell would act on.
var shellSafe = strings.NewReplacer("&", "%26", "$", "%24", "=", "%3D", "~", "%7E")

// onlyFile returns the path, percent-encoded, of the one file that the folder
// holds, or "" if it holds none or anything else.
func onlyFile(root *os.Root, dotFiles bool) string {
	dir, err := root.Open(".")
	if err != nil {
		return ""
	}
	defer dir.Close()
	only := ""
	for {
		entries, _ := dir.ReadDir(100)
		if len(entries) == 0 {
			return only
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") && !dotFiles {
				continue
			}
			if only != "" || !e.Type().IsRegular() {
				return ""
			}
			only = shellSafe.Replace(url.PathEscape(e.Name()))
		}
	}
}
