package udt_test

import (
	"net"
	"testing"

	"github.com/chunkget/chunkget/internal/ethtool"
	"github.com/chunkget/chunkget/internal/netns"
	"github.com/chunkget/chunkget/udt"
)

// endpointOn opens an endpoint on a host.
func endpointOn(b testing.TB, h *netns.Host, address string, cfg *udt.Config) (e *udt.Endpoint) {
	b.Helper()
	if err := h.Do(func() error {
		pc, err := net.ListenPacket("udp4", address)
		if err != nil {
			return err
		}
		e, err = udt.NewEndpoint(pc, cfg)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	return e
}

// connectHosts makes a connection from the left one of two hosts that are joined
// to the right one.
func connectHosts(b testing.TB, left, right *netns.Host, cfg *udt.Config) (c *udt.Conn, s net.Conn) {
	b.Helper()
	l, err := endpointOn(b, right, "192.0.2.2:9000", cfg).Listen()
	if err != nil {
		b.Fatal(err)
	}
	c, err = endpointOn(b, left, "192.0.2.1:0", cfg).DialContext(b.Context(), "udt", "192.0.2.2:9000")
	if err != nil {
		b.Fatal(err)
	}
	s, err = l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	return c, s
}

// BenchmarkVeth measures between two network namespaces, which takes root. The
// packets of a run cross a pair of virtual Ethernet devices as one, unless the
// devices are told to take single packets: then every frame is a real one. The
// other side joins them again or not.
func BenchmarkVeth(b *testing.B) {
	for _, tt := range []struct {
		name         string
		mtu          int
		frames, join bool
		mss          int
	}{
		{"1500", 1500, false, false, 1500},
		{"frames/1500", 1500, true, false, 1500},
		{"frames/1500/joined", 1500, true, true, 1500},
		{"frames/9000", 9000, true, false, 9000},
		{"frames/9000/probed", 9000, true, false, 0},
	} {
		for _, mode := range offloads {
			b.Run(tt.name+"/"+mode.name, func(b *testing.B) {
				left, right := netns.Pair(b, tt.mtu, tt.frames)
				for dev, h := range map[string]*netns.Host{"v0": left, "v1": right} {
					if !tt.join {
						continue
					}
					if err := h.Do(func() error { return ethtool.JoinReceived(dev) }); err != nil {
						b.Error(err)
					}
				}
				c, s := connectHosts(b, left, right, &udt.Config{Offload: mode.mode, MSS: tt.mss})
				benchmarkBetween(b, s, c)
			})
		}
	}
}
