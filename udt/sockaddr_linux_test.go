package udt

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// An address comes back from the kernel's form as what it was, with the name of its zone,
// and IPv4 from a socket of both families as IPv4.
func TestSockaddr(t *testing.T) {
	zone := "7654321" // no interface has this number
	if ifs, err := net.Interfaces(); err == nil && len(ifs) > 0 {
		zone = ifs[0].Name
	}
	for _, tt := range []struct {
		addr string
		ipv6 bool
	}{
		{"192.0.2.1:9000", false}, {"192.0.2.1:9000", true}, {"[2001:db8::1]:65535", true},
		{"[fe80::1%" + zone + "]:9000", true}, {"[fe80::1%7654321]:9000", true},
	} {
		want := netip.MustParseAddrPort(tt.addr)
		if got := fromSockaddr(sockaddrOf(route{remote: want}, tt.ipv6)); got != want {
			t.Errorf("%v has become %v", want, got)
		}
	}
	if got := fromSockaddr(nil); got.IsValid() {
		t.Errorf("nobody is %v", got)
	}
	if got := fromSockaddr(&unix.SockaddrUnix{}); got.IsValid() {
		t.Errorf("a file is %v", got)
	}
}
