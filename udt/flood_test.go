package udt

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// A floodedConn is a simulated socket that spoofed packets come to as well: each
// from another address, forged at random. Answers to those go nowhere.
type floodedConn struct {
	*simnet.Conn
	t         *testing.T
	rng       *rand.Rand
	listening chan struct{} // closed when somebody listens: who came earlier would get no answer

	due      int          // spoofed packets that come before the next real one
	perReal  int          // and how many come before each one after that
	requests atomic.Int64 // spoofed packets so far
	asked    int          // bytes of them
	answers  int          // to them
	answered int          // bytes of those
	latest   int          // length of the latest spoofed packet
}

func (c *floodedConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	<-c.listening
	if c.due > 0 {
		c.due--
		p, from := c.forge()
		c.requests.Add(1)
		c.asked += len(p)
		c.latest = len(p)
		return copy(b, p), from, nil
	}
	c.latest = 0
	c.due = c.perReal
	return c.Conn.ReadFromUDPAddrPort(b)
}

func (c *floodedConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if to.Addr() == clientHost {
		return c.Conn.WriteToUDPAddrPort(b, to)
	}
	// The read goroutine answers spoofed packets by itself, before it reads on.
	if c.answers++; len(b) > c.latest {
		c.t.Errorf("a packet of %d bytes was answered with %d", c.latest, len(b))
	}
	c.answered += len(b)
	return len(b), nil
}

// forge returns a packet that needs no knowledge, but what the listener tells to
// the address that it is sent from.
func (c *floodedConn) forge() ([]byte, netip.AddrPort) {
	r := c.rng
	var a [4]byte
	a[0], a[1], a[2], a[3] = 100, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())
	from := netip.AddrPortFrom(netip.AddrFrom4(a), uint16(r.Uint32()))
	hs := handshake{
		version: udtVersion, sockType: sockStream, isn: seqNo(r.Uint32() & seqMask), mss: 1500, window: 8192,
		reqType: reqInduction, id: socketID(r.Uint32()), addr: from.Addr(),
	}
	switch r.IntN(8) {
	case 0: // a cookie that was guessed
		hs.reqType, hs.cookie = reqConclusion, r.Uint32()
	case 1:
		hs.reqType = reqRendezvous
	case 2: // for a connection that does not exist
		p := appendControl(nil, ctrlKeepalive, 0, socketID(r.Uint32()>>1|1))
		return p, from
	case 3:
		return appendReset(nil, socketID(r.Uint32())), from
	case 4: // a peer of the C++ library, without check values
		p := hs.append(nil, 0)
		clear(p[8:12])
		return p, from
	}
	return hs.append(nil, 0), from
}

// A flood of requests from spoofed addresses is answered with no more bytes than
// it has, leaves nothing behind, and keeps no client out.
func TestHandshakeFlood(t *testing.T) {
	const (
		flood  = 100_000
		memory = 2 << 20 // bytes that may differ for other reasons, such as pools
	)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Config{Seed: 1, Link: simnet.LinkConfig{Delay: 5 * time.Millisecond}})
		flooded := &floodedConn{
			Conn: n.Listen(serverAddr), t: t, rng: rand.New(rand.NewPCG(1, 2)),
			listening: make(chan struct{}),
		}
		flooded.due, flooded.perReal = flood, 50
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		server, err := NewEndpoint(flooded, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := server.Listen()
		if err != nil {
			t.Fatal(err)
		}
		close(flooded.listening)
		synctest.Wait()
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > memory {
			t.Errorf("%d spoofed packets left %d bytes", flooded.requests.Load(), grown)
		}
		if k := len(server.conns) + len(server.accepted.byKey) + len(server.accepted.byHost) + len(server.groups) +
			len(server.meetings) + len(server.graves.graves) + len(l.queue); k != 0 {
			t.Errorf("%d entries in the tables", k)
		}
		if flooded.requests.Load() < flood || flooded.answers < flood/2 || flooded.answered > flooded.asked {
			t.Errorf("%d packets of %d bytes were answered with %d of %d", flooded.requests.Load(), flooded.asked, flooded.answers, flooded.answered)
		}
		t.Logf("%d packets of %d bytes were answered with %d of %d bytes", flooded.requests.Load(), flooded.asked, flooded.answers, flooded.answered)

		// While it goes on, with 50 packets for each real one, a client is served.
		client, err := NewEndpoint(n.Listen(netip.AddrPortFrom(clientHost, 0)), nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.DialContext(t.Context(), "udt", serverAddr.String())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c.Write(make([]byte, 1<<20))
			c.Close()
		}()
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.Copy(io.Discard, accepted); err != nil || got != 1<<20 {
			t.Errorf("%d bytes arrived, %v", got, err)
		}
		if flooded.requests.Load() < flood+50*700 {
			t.Errorf("only %d spoofed packets came", flooded.requests.Load())
		}
		if err := errors.Join(accepted.Close(), client.Close(), server.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
}

// A listener has no more connections than it may, in total and from one
// address, and takes others again when some are over.
func TestAcceptedLimits(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want map[string]int // accepted by host, of 5 that try
	}{
		{"per address", Config{MaxAcceptedPerAddr: 3}, map[string]int{"10.0.0.1": 3, "10.0.0.3": 3}},
		{"total", Config{MaxAccepted: 7}, map[string]int{"10.0.0.1": 5, "10.0.0.3": 2}},
		{"default", Config{}, map[string]int{"10.0.0.1": 5, "10.0.0.3": 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(simnet.Config{Seed: 1, Link: simnet.LinkConfig{Delay: 5 * time.Millisecond}})
				server, err := NewEndpoint(n.Listen(serverAddr), &tt.cfg)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := server.Listen(); err != nil { // nobody calls Accept
					t.Fatal(err)
				}
				var conns []net.Conn
				var ends []*Endpoint
				for _, host := range []string{"10.0.0.1", "10.0.0.3"} {
					open := 0
					for range 5 { // each from a port of its own
						e, err := NewEndpoint(n.Listen(netip.AddrPortFrom(netip.MustParseAddr(host), 0)), nil)
						if err != nil {
							t.Fatal(err)
						}
						ends = append(ends, e)
						c, err := e.DialContext(t.Context(), "udt", serverAddr.String())
						switch {
						case err == nil:
							open++
							conns = append(conns, c)
						case !errors.Is(err, ErrRejected):
							t.Errorf("dial: %v", err)
						}
					}
					if open != tt.want[host] {
						t.Errorf("%d connections from %s, want %d", open, host, tt.want[host])
					}
				}
				if err := conns[0].Close(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				if _, err := ends[0].DialContext(t.Context(), "udt", serverAddr.String()); err != nil {
					t.Errorf("when one is over: %v", err)
				}
				for _, e := range append(ends, server) {
					if err := e.Close(); err != nil {
						t.Error(err)
					}
				}
				if k := len(server.accepted.byKey) + len(server.accepted.byHost); k != 0 {
					t.Errorf("%d entries stay in the tables", k)
				}
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Abort does not wait for a peer that acknowledges nothing, and ends a Close
// that does.
func TestAbort(t *testing.T) {
	inBatchingLab(t, simnet.LinkConfig{Delay: 5 * time.Millisecond}, simnet.Batching{}, &Config{Linger: time.Hour}, func(l *lab) {
		for _, closing := range []bool{false, true} {
			c, err := l.client.DialContext(l.t.Context(), "udt", serverAddr.String())
			if err != nil {
				l.t.Fatal(err)
			}
			l.net.SetLinks(clientHost, serverHost, simnet.LinkConfig{Delay: 5 * time.Millisecond, Loss: 1})
			if _, err := c.Write([]byte("nobody gets this")); err != nil {
				l.t.Fatal(err)
			}
			start := time.Now()
			closed := make(chan error, 1)
			if closing {
				go func() { closed <- c.Close() }()
				time.Sleep(time.Second)
			}
			c.Abort()
			if !closing {
				closed <- c.Close()
			}
			if err := <-closed; closing != errors.Is(err, ErrLinger) {
				l.t.Errorf("closing %v: %v", closing, err)
			}
			if d := time.Since(start); d > 2*time.Second {
				l.t.Errorf("took %v", d)
			}
			l.net.SetLinks(clientHost, serverHost, simnet.LinkConfig{Delay: 5 * time.Millisecond})
		}
	})
}
