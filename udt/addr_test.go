package udt

import (
	"net"
	"net/netip"
	"testing"
)

func TestResolveAddr(t *testing.T) {
	for _, tt := range []struct{ network, address, want string }{ // want "" = error
		{"udt", "127.0.0.1:9000", "127.0.0.1:9000"},
		{"udt4", "127.0.0.1:9000", "127.0.0.1:9000"},
		{"udt6", "[::1]:9000", "[::1]:9000"},
		{"udt", "[::ffff:127.0.0.1]:9000", "127.0.0.1:9000"},
		{"udt4", ":0", "0.0.0.0:0"},
		{"udt", ":0", "[::]:0"},
		{"udt4z", "127.0.0.1:9000", "127.0.0.1:9000"},
		{"udt6", "127.0.0.1:9000", ""},
		{"udt4", "[::1]:9000", ""},
		{"udt", "127.0.0.1", ""},
		{"udt", "127.0.0.1:99999", ""},
		{"udt", "127.0.0.1:no-such-service", ""},
		{"udp", "127.0.0.1:9000", ""},
		{"", "127.0.0.1:9000", ""},
		{"z", "127.0.0.1:9000", ""},
	} {
		a, err := ResolveAddr(t.Context(), tt.network, tt.address)
		if err != nil {
			if tt.want != "" {
				t.Errorf("%s %s: %v", tt.network, tt.address, err)
			}
			continue
		}
		if a.String() != tt.want || a.Network() != "udt" || a.UDPAddr().AddrPort() != a.AddrPort() {
			t.Errorf("%s %s: %v, want %q", tt.network, tt.address, a, tt.want)
		}
	}
}

func TestAddrPortOf(t *testing.T) {
	want := netip.MustParseAddrPort("192.0.2.1:80")
	for _, a := range []net.Addr{
		&net.UDPAddr{IP: net.ParseIP("192.0.2.1"), Port: 80}, // 16 bytes long
		net.UDPAddrFromAddrPort(want),
		&Addr{netip.MustParseAddrPort("[::ffff:192.0.2.1]:80")},
	} {
		if got, err := addrPortOf(a); err != nil || got != want {
			t.Errorf("%T: %v, %v", a, got, err)
		}
	}
	if got, err := addrPortOf(&net.TCPAddr{}); err == nil {
		t.Errorf("a TCP address becomes %v", got)
	}
}
