package udt_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/netns"
	"github.com/chunkget/chunkget/udt"
)

// The packet size follows real devices: jumbo frames are found, what only one
// side takes is not believed, and a path that narrows holds nothing up.
func TestPacketSizeOfDevices(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mtu     int
		frames  bool
		before  func(left, right *netns.Host) // the connection is made
		midway  func(left, right *netns.Host)
		payload int // in the end
	}{
		{name: "1500", mtu: 1500, payload: 1456},
		{name: "9000", mtu: 9000, payload: 8956},
		{name: "frames of 9000", mtu: 9000, frames: true, payload: 8956},
		{name: "receiver takes 1500", mtu: 9000, frames: true, payload: 1456, before: func(_, right *netns.Host) {
			right.IP("link set v1 mtu 1500")
		}},
		{name: "interface narrows", mtu: 9000, payload: 1456, midway: func(left, right *netns.Host) {
			left.IP("link set v0 mtu 1500")
			right.IP("link set v1 mtu 1500")
		}},
		{name: "path narrows in silence", mtu: 9000, frames: true, payload: 1456, midway: func(_, right *netns.Host) {
			right.IP("link set v1 mtu 1500")
		}},
	} {
		for _, mode := range offloads {
			t.Run(tt.name+"/"+mode.name, func(t *testing.T) {
				left, right := netns.Pair(t, tt.mtu, tt.frames)
				if tt.before != nil {
					tt.before(left, right)
				}
				c, s := connectHosts(t, left, right, &udt.Config{Offload: mode.mode})
				data := make([]byte, 4<<20)
				rand.NewChaCha8([32]byte{1}).Read(data)
				pour(t, c, s, data)
				if tt.midway != nil {
					tt.midway(left, right)
				}
				if got := c.Stats(); tt.midway == nil && got.Payload > tt.payload {
					t.Errorf("packets carry %d bytes, want %d; %+v", got.Payload, tt.payload, got)
				}
				pourUntil(t, c, s, data, tt.payload)
			})
		}
	}
}

// Every kind of socket can send probes.
func TestPacketSizeOnLoopback(t *testing.T) {
	for _, tt := range []struct {
		network, listen, host string
		payload               int
	}{
		{"udt4", "127.0.0.1:0", "127.0.0.1", 8956},
		{"udt6", "[::1]:0", "::1", 8936},
		{"udt", ":0", "127.0.0.1", 8956},
		{"udt", ":0", "::1", 8936},
	} {
		t.Run(tt.network+"/"+tt.host, func(t *testing.T) {
			if tt.host == "::1" {
				c, err := net.ListenPacket("udp6", "[::1]:0")
				if err != nil {
					t.Skipf("needs IPv6: %v", err)
				}
				c.Close()
			}
			a, err := udt.ListenEndpoint(tt.network, tt.listen, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			b, err := udt.ListenEndpoint(tt.network, tt.listen, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			l, err := a.Listen()
			if err != nil {
				t.Fatal(err)
			}
			port := a.Addr().(*udt.Addr).AddrPort().Port()
			c, err := b.DialContext(t.Context(), tt.network, net.JoinHostPort(tt.host, strconv.Itoa(int(port))))
			if err != nil {
				t.Fatal(err)
			}
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, 4<<20)
			pour(t, s, c, data)
			pour(t, c, s, data)
			pourUntil(t, c, s, data, tt.payload)
		})
	}
}

// pourUntil sends data again and again until packets carry payload bytes: that size is
// confirmed in the end, whatever the kernel or a busy machine loses in between.
func pourUntil(t *testing.T, from *udt.Conn, to io.ReadWriter, data []byte, payload int) {
	t.Helper()
	for patience := time.After(time.Minute); from.Stats().Payload != payload; {
		pour(t, from, to, data)
		select {
		case <-patience:
			t.Fatalf("packets do not come to carry %d bytes: %+v", payload, from.Stats())
		default:
		}
	}
}

// pour sends data from one end of a connection to the other.
func pour(t *testing.T, from, to io.ReadWriter, data []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() { _, err := from.Write(data); sent <- err }()
	got := make([]byte, len(data))
	if n, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d of %d bytes: %v", n, len(data), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
