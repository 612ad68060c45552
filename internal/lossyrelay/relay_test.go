package lossyrelay_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/lossyrelay"
	"github.com/chunkget/chunkget/internal/simnet"
)

func listenUDP(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP("udp", addr)
	if err != nil && addr.IP.To4() == nil {
		t.Skipf("needs IPv6: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadBuffer(4 << 20)
	c.SetDeadline(time.Now().Add(time.Minute)) // only ends a test that would hang
	return c
}

func listenRelay(t testing.TB, server net.Addr, cfg lossyrelay.Config) *lossyrelay.Relay {
	t.Helper()
	r, err := lossyrelay.Listen("udp", server.String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// echo answers every datagram until the socket closes.
func echo(c *net.UDPConn) {
	buf := make([]byte, 2000)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		c.WriteToUDPAddrPort(buf[:n], from)
	}
}

func TestRelayBothFamilies(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(host, func(t *testing.T) {
			server := listenUDP(t, host)
			relay := listenRelay(t, server.LocalAddr(), lossyrelay.Config{})
			// Two clients must not get each other's answers.
			clients := []*net.UDPConn{listenUDP(t, host), listenUDP(t, host)}
			go echo(server)
			for round := range 10 {
				for i, c := range clients {
					if _, err := c.WriteTo([]byte{byte(i), byte(round)}, relay.Addr()); err != nil {
						t.Fatal(err)
					}
				}
				for i, c := range clients {
					buf := make([]byte, 10)
					n, from, err := c.ReadFrom(buf)
					if err != nil || n != 2 || buf[0] != byte(i) || buf[1] != byte(round) || from.String() != relay.Addr().String() {
						t.Fatalf("client %d round %d: got %v from %v, error %v", i, round, buf[:n], from, err)
					}
				}
			}
			toServer, toClient := relay.Counters()
			if toServer.Delivered.Packets != 20 || toClient.Delivered.Packets != 20 {
				t.Errorf("counters %+v and %+v, want 20 delivered each", toServer, toClient)
			}
		})
	}
}

func TestFaultsPerDirection(t *testing.T) {
	server := listenUDP(t, "127.0.0.1:0")
	client := listenUDP(t, "127.0.0.1:0")
	go echo(server)
	const packets = 20
	drop := func(number uint32) func(simnet.Packet) simnet.Verdict {
		return func(p simnet.Packet) simnet.Verdict {
			return simnet.Verdict{Drop: binary.BigEndian.Uint32(p.Data) == number}
		}
	}
	relay := listenRelay(t, server.LocalAddr(), lossyrelay.Config{
		Seed:     1,
		ToServer: simnet.LinkConfig{Filter: drop(3)},
		ToClient: simnet.LinkConfig{Filter: drop(5), Delay: 20 * time.Millisecond, Duplicate: 1},
	})
	start := time.Now()
	for i := range uint32(packets) {
		client.WriteTo(binary.BigEndian.AppendUint32(nil, i), relay.Addr())
	}
	copies := make(map[uint32]int)
	for range 2 * (packets - 2) {
		buf := make([]byte, 10)
		if _, _, err := client.ReadFrom(buf); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) < 20*time.Millisecond {
			t.Fatal("an answer came before the delay")
		}
		copies[binary.BigEndian.Uint32(buf)]++
	}
	for i := range uint32(packets) {
		want := 2
		if i == 3 || i == 5 {
			want = 0
		}
		if copies[i] != want {
			t.Errorf("%d copies of packet %d, want %d", copies[i], i, want)
		}
	}
	toServer, toClient := relay.Counters()
	if toServer.Sent.Packets != packets || toServer.Filtered.Packets != 1 || toClient.Sent.Packets != packets-1 || toClient.Filtered.Packets != 1 {
		t.Errorf("counters %+v and %+v", toServer, toClient)
	}

	// On other links something else is lost, and what is sent after it arrives.
	relay.SetLinks(simnet.LinkConfig{Filter: func(p simnet.Packet) simnet.Verdict {
		return simnet.Verdict{Drop: string(p.Data) == "lost"}
	}}, simnet.LinkConfig{})
	client.WriteTo([]byte("lost"), relay.Addr())
	client.WriteTo([]byte("next"), relay.Addr())
	buf := make([]byte, 10)
	if n, _, err := client.ReadFrom(buf); err != nil || string(buf[:n]) != "next" {
		t.Errorf("over other links: read %q, %v", buf[:n], err)
	}
}

func TestUpstream(t *testing.T) {
	server := listenUDP(t, "127.0.0.1:0")
	client := listenUDP(t, "127.0.0.1:0")
	relay := listenRelay(t, server.LocalAddr(), lossyrelay.Config{})
	upstream, err := relay.Upstream(client.LocalAddr().(*net.UDPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	// The server speaks first; a stranger is not let through.
	stranger := listenUDP(t, "127.0.0.1:0")
	stranger.WriteToUDPAddrPort([]byte("no"), upstream)
	server.WriteToUDPAddrPort([]byte("hello"), upstream)
	buf := make([]byte, 10)
	if n, _, err := client.ReadFrom(buf); err != nil || string(buf[:n]) != "hello" {
		t.Fatalf("client read %q, error %v", buf[:n], err)
	}
	client.WriteTo([]byte("hi"), relay.Addr())
	if n, from, err := server.ReadFromUDPAddrPort(buf); err != nil || string(buf[:n]) != "hi" || from != upstream {
		t.Fatalf("server read %q from %v, error %v", buf[:n], from, err)
	}
	relay.Close()
	if _, err := relay.Upstream(netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("session on a closed relay: %v", err)
	}
}

// BenchmarkRelay keeps a window of full-size packets in flight, so that its
// rate is what the relay carries without losing any.
func BenchmarkRelay(b *testing.B) {
	server := listenUDP(b, "127.0.0.1:0")
	client := listenUDP(b, "127.0.0.1:0")
	server.SetDeadline(time.Time{})
	relay := listenRelay(b, server.LocalAddr(), lossyrelay.Config{})
	const size, window = 1472, 512
	credit := make(chan struct{}, window)
	for range window {
		credit <- struct{}{}
	}
	go func() {
		buf := make([]byte, 2000)
		for {
			if _, _, err := server.ReadFromUDPAddrPort(buf); err != nil {
				return
			}
			credit <- struct{}{}
		}
	}()
	msg := make([]byte, size)
	to := relay.Addr().(*net.UDPAddr).AddrPort()
	b.SetBytes(size)
	client.SetDeadline(time.Time{})
	for b.Loop() {
		<-credit
		client.WriteToUDPAddrPort(msg, to)
	}
}
