package udt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// However arrivals are grouped, joined, cut and shuffled, every byte arrives
// and the transfer does not collapse.
func TestBatchedArrivals(t *testing.T) {
	link := simnet.LinkConfig{Delay: 10 * time.Millisecond, Rate: 200e6, Queue: 1 << 20}
	for _, batching := range []simnet.Batching{
		{Run: 64},
		{Interval: time.Millisecond, Run: 1},
		{Interval: 100 * time.Microsecond, Run: 64},
		{Interval: 2 * time.Millisecond, Run: 64},
		{Interval: 200 * time.Microsecond, Run: 4, Shuffle: true},
		{Interval: 2 * time.Millisecond, Run: 64, Shuffle: true},
	} {
		for _, cc := range []struct {
			name string
			make func() Congestion
		}{{"bbr", NewBBR}, {"native", NewNative}} {
			t.Run(fmt.Sprintf("%+v/%s", batching, cc.name), func(t *testing.T) {
				inBatchingLab(t, link, batching, &Config{Congestion: cc.make}, func(l *lab) {
					client, server := l.connect()
					start := time.Now()
					l.exchange(client, server, randomBytes(3<<20, 10), randomBytes(3<<20, 11))
					took := time.Since(start)
					s := server.Stats()
					t.Logf("%v, %d of %d packets sent again, %d reports", took, s.PktRetrans, s.PktSent, s.PktRecvNAK)
					if took > 2*time.Second {
						t.Errorf("3 MiB each way took %v, the link needs 0.13 s", took)
					}
				})
			})
		}
	}
}

func TestExactDelivery(t *testing.T) {
	base := simnet.LinkConfig{Delay: 10 * time.Millisecond, Rate: 100e6, Queue: 250_000}
	with := func(f func(*simnet.LinkConfig)) simnet.LinkConfig { c := base; f(&c); return c }
	for _, tt := range []struct {
		name string
		link simnet.LinkConfig
		size int
	}{
		{"clean", base, 4 << 20},
		{"ideal", simnet.LinkConfig{}, 4 << 20},
		{"loss 1%", with(func(c *simnet.LinkConfig) { c.Loss = 0.01 }), 2 << 20},
		{"loss 20%", with(func(c *simnet.LinkConfig) { c.Loss = 0.2 }), 256 << 10},
		{"bursts", with(func(c *simnet.LinkConfig) { c.Burst = simnet.Burst{Enter: 0.005, Leave: 0.1} }), 1 << 20},
		{"reorder", with(func(c *simnet.LinkConfig) {
			c.Reorder = simnet.Reorder{Probability: 0.1, ExtraDelay: 3 * time.Millisecond}
		}), 2 << 20},
		{"duplicate", with(func(c *simnet.LinkConfig) { c.Duplicate = 0.2 }), 2 << 20},
		{"corrupt headers", with(func(c *simnet.LinkConfig) {
			c.Corrupt = simnet.Corrupt{Probability: 0.02, HeaderOnly: true}
		}), 1 << 20},
		{"all", with(func(c *simnet.LinkConfig) {
			c.Loss, c.Duplicate, c.Jitter = 0.05, 0.05, 5*time.Millisecond
			c.Reorder = simnet.Reorder{Probability: 0.05, ExtraDelay: 5 * time.Millisecond}
			c.Corrupt = simnet.Corrupt{Probability: 0.02, HeaderOnly: true}
		}), 512 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, tt.link, nil, func(l *lab) {
				client, server := l.connect()
				start := time.Now()
				l.exchange(client, server, randomBytes(tt.size, 1), randomBytes(tt.size, 2))
				t.Logf("%.1f Mbit/s each way; client %+v", float64(tt.size)*8/1e6/time.Since(start).Seconds(), client.Stats())
				if tt.link.Burst != (simnet.Burst{}) {
					// A burst is of packets, of which there are few from now on: one could
					// outlast the patience of the peer.
					l.net.SetLinks(clientHost, serverHost, base)
				}
				if err := client.Close(); err != nil {
					t.Error(err)
				}
				if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("after the peer's close: read %d, %v, want EOF", n, err)
				}
			})
		})
	}
}

// A close right behind the data loses nothing, however much is on its way.
func TestCloseDeliversEverything(t *testing.T) {
	link := simnet.LinkConfig{Delay: 25 * time.Millisecond, Rate: 50e6, Queue: 300_000, Loss: 0.03}
	inLab(t, link, nil, func(l *lab) {
		client, server := l.connect()
		data := randomBytes(1<<20, 3)
		go func() {
			if _, err := server.Write(data); err != nil {
				t.Error(err)
			}
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		}()
		got, err := io.ReadAll(client)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("read %d of %d bytes: %v", len(got), len(data), err)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, ErrPeerClosed) {
			t.Errorf("write after the peer's close: %v, want ErrPeerClosed", err)
		}
	})
}

// A reader may take its time after the peer has closed.
func TestUnreadDataSurvivesShutdown(t *testing.T) {
	inLab(t, simnet.LinkConfig{Delay: time.Millisecond}, nil, func(l *lab) {
		client, server := l.connect()
		data := randomBytes(100_000, 4)
		if _, err := server.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		got, err := io.ReadAll(client)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("read %d of %d bytes: %v", len(got), len(data), err)
		}
	})
}

func TestVanishedPeer(t *testing.T) {
	for _, tt := range []struct {
		name string
		busy bool
	}{{"idle", false}, {"sending", true}} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := &Config{PeerTimeout: 20 * time.Second}
			inLab(t, simnet.LinkConfig{Delay: 5 * time.Millisecond}, cfg, func(l *lab) {
				client, _ := l.connect()
				time.Sleep(time.Minute) // keepalives hold an idle connection
				if s := client.Stats().Silence; s > 3*time.Second+10*time.Millisecond {
					t.Errorf("silent for %v in spite of keepalives", s)
				}
				cut := simnet.LinkConfig{Loss: 1}
				l.net.SetLinks(clientHost, serverHost, cut)
				start := time.Now()
				if tt.busy {
					if _, err := client.Write(make([]byte, 100_000)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(10 * time.Second)
				if s := client.Stats().Silence; s < 10*time.Second || s > 14*time.Second {
					t.Errorf("after 10 s without packets silent for %v", s)
				}
				_, err := client.Read(make([]byte, 1))
				var gone *PeerTimeoutError
				if !errors.As(err, &gone) {
					t.Fatalf("read: %v, want a PeerTimeoutError", err)
				}
				if d := time.Since(start); d < 15*time.Second || d > 25*time.Second {
					t.Errorf("noticed after %v, want about %v", d, cfg.PeerTimeout)
				}
				var ne net.Error
				if !errors.As(err, &ne) || !ne.Timeout() {
					t.Errorf("%v is no timeout", err)
				}
				if _, err := client.Write([]byte("x")); err == nil {
					t.Error("write to a peer that is gone succeeded")
				}
			})
		})
	}
}

// Close does not wait for ever for a peer that acknowledges nothing.
func TestLinger(t *testing.T) {
	cfg := &Config{Linger: 3 * time.Second}
	inLab(t, simnet.LinkConfig{Delay: 5 * time.Millisecond}, cfg, func(l *lab) {
		client, _ := l.connect()
		l.net.SetLinks(clientHost, serverHost, simnet.LinkConfig{Loss: 1})
		if _, err := client.Write(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := client.Close(); !errors.Is(err, ErrLinger) {
			t.Errorf("close: %v, want ErrLinger", err)
		}
		if d := time.Since(start); d < 2*time.Second || d > 4*time.Second {
			t.Errorf("close took %v, want about 3 s", d)
		}
	})
}

// A peer that missed every Shutdown learns of the end when it next sends.
func TestLostShutdowns(t *testing.T) {
	inLab(t, simnet.LinkConfig{Delay: 5 * time.Millisecond}, nil, func(l *lab) {
		client, server := l.connect()
		l.exchange(client, server, []byte("up"), []byte("down"))
		l.net.SetLink(serverHost, clientHost, simnet.LinkConfig{Loss: 1})
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l.net.SetLink(serverHost, clientHost, simnet.LinkConfig{Delay: 5 * time.Millisecond})
		start := time.Now()
		if _, err := client.Write([]byte("still there?")); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read: %v, want EOF", err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("learnt it after %v", d)
		}
	})
}

func TestDialNobody(t *testing.T) {
	inLab(t, simnet.LinkConfig{}, nil, func(l *lab) {
		nobody := netip.AddrPortFrom(serverHost, 9)
		d := Dialer{Endpoint: l.client, Timeout: 2 * time.Second}
		start := time.Now()
		_, err := d.DialContext(l.t.Context(), "udt", nobody.String())
		var no *NoAnswerError
		if !errors.As(err, &no) || no.Addr != nobody || no.Requests < 7 {
			t.Errorf("dial: %v", err)
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("gave up after %v, want 2 s", d)
		}
		ctx, cancel := context.WithCancel(l.t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := d.DialContext(ctx, "udt", nobody.String()); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled dial: %v", err)
		}
	})
}

func TestHandshakeUnderLoss(t *testing.T) {
	link := simnet.LinkConfig{Delay: 20 * time.Millisecond, Loss: 0.4, Duplicate: 0.3}
	inLab(t, link, &Config{PeerTimeout: time.Minute}, func(l *lab) {
		for range 20 {
			client, server := l.connect()
			l.exchange(client, server, []byte("up"), []byte("down"))
			go client.Close()
			server.Close()
		}
		if n := len(l.listener.queue); n != 0 {
			t.Errorf("%d connections were accepted that nobody dialled", n)
		}
	})
}

func TestBacklogOverflowRejects(t *testing.T) {
	inLab(t, simnet.LinkConfig{}, &Config{Backlog: 2}, func(l *lab) {
		d := Dialer{Endpoint: l.client, Timeout: time.Second}
		for i := range 3 {
			_, err := d.DialContext(l.t.Context(), "udt", serverAddr.String())
			if want := i == 2; errors.Is(err, ErrRejected) != want {
				t.Errorf("connection %d: %v", i, err)
			}
		}
	})
}

// Accept is first in, first out, and all connections share two UDP sockets.
func TestManyConnectionsOneSocket(t *testing.T) {
	inLab(t, simnet.LinkConfig{Delay: time.Millisecond}, nil, func(l *lab) {
		const n = 100
		clients := make([]*Conn, n)
		for i := range clients {
			c, err := l.client.DialContext(l.t.Context(), "udt", serverAddr.String())
			if err != nil {
				t.Fatal(err)
			}
			clients[i] = c
		}
		for i := range clients {
			s, err := l.listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			msg := []byte{byte(i)}
			l.exchange(clients[i], s.(*Conn), msg, msg)
		}
	})
}

// A reader that stops closes the window; when it goes on, so does the sender.
func TestSlowReader(t *testing.T) {
	cfg := &Config{RecvBuffer: 64 * 1456}
	inLab(t, simnet.LinkConfig{Delay: 5 * time.Millisecond, Rate: 100e6}, cfg, func(l *lab) {
		client, server := l.connect()
		data := randomBytes(1<<20, 5)
		go server.Write(data)
		time.Sleep(20 * time.Second)
		if s := server.Stats(); s.PktSent > 400 {
			t.Errorf("%d packets sent into a closed window", s.PktSent)
		}
		start := time.Now()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, data) {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("the rest took %v", d)
		}
	})
}

// While a window is closed, the last packet is sent again and again, though the peer
// has it. Nothing of that stays in flight once it is acknowledged.
func TestReaderThatStopsOften(t *testing.T) {
	cfg := &Config{RecvBuffer: 64 * 1456}
	inLab(t, simnet.LinkConfig{Delay: 5 * time.Millisecond, Rate: 100e6}, cfg, func(l *lab) {
		client, server := l.connect()
		data := randomBytes(1<<20, 5)
		go server.Write(data)
		got := make([]byte, len(data))
		for rest := got; len(rest) > 0; {
			time.Sleep(3 * time.Second)
			client.SetReadDeadline(time.Now().Add(time.Minute))
			n, err := io.ReadFull(client, rest[:min(len(rest), 64*1456)])
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if !bytes.Equal(got, data) {
			t.Error("other bytes arrived")
		}
		time.Sleep(3 * time.Second)
		if s := server.Stats(); server.inFlight != 0 || server.grp.inFlight != 0 || s.PktRetrans < 10 {
			t.Errorf("%d packets in flight after the end, %d in the group, %d sent again", server.inFlight, server.grp.inFlight, s.PktRetrans)
		}
	})
}

func TestSequenceWrap(t *testing.T) {
	link := simnet.LinkConfig{Delay: 5 * time.Millisecond, Rate: 100e6, Queue: 200_000, Loss: 0.05}
	for _, isn := range []seqNo{seqMask, seqMask - 100, 1<<30 - 50, 0} {
		inLab(t, link, nil, func(l *lab) {
			client, server := l.connectFrom(isn)
			l.exchange(client, server, randomBytes(300_000, 6), randomBytes(300_000, 7))
		})
	}
}

func TestRendezvous(t *testing.T) {
	link := simnet.LinkConfig{Delay: 30 * time.Millisecond}
	for _, tt := range []struct {
		name string
		late time.Duration // the second side starts
		loss float64
	}{{"together", 0, 0}, {"2 s apart", 2 * time.Second, 0}, {"loss 30%", 0, 0.3}} {
		t.Run(tt.name, func(t *testing.T) {
			link := link
			link.Loss = tt.loss
			inLab(t, link, nil, func(l *lab) {
				ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
				defer cancel()
				a, b := make(chan *Conn), make(chan *Conn)
				meet := func(e *Endpoint, with netip.AddrPort, out chan *Conn) {
					c, err := e.Rendezvous(ctx, with)
					if err != nil {
						t.Error(err)
					}
					out <- c
				}
				go meet(l.client, serverAddr, a)
				time.Sleep(tt.late)
				go meet(l.server, l.client.sock.local, b)
				ca, cb := <-a, <-b
				if ca == nil || cb == nil {
					return
				}
				l.exchange(ca, cb, randomBytes(50_000, 8), randomBytes(50_000, 9))
			})
		})
	}
}

// A listener answers a request with no more than it got, and a made-up cookie
// not at all; nothing is remembered of either.
func TestListenerIsStateless(t *testing.T) {
	inLab(t, simnet.LinkConfig{}, nil, func(l *lab) {
		pc := l.net.Listen(netip.AddrPortFrom(clientHost, 0))
		defer pc.Close()
		ask := func(p []byte) (answer []byte) {
			if _, err := pc.WriteToUDPAddrPort(p, serverAddr); err != nil {
				t.Fatal(err)
			}
			pc.SetReadDeadline(time.Now().Add(time.Second))
			for {
				b := make([]byte, 2000)
				n, _, err := pc.ReadFromUDPAddrPort(b)
				if err != nil {
					return nil
				}
				// A connection made before may send keepalives.
				if h, _ := parseHeader(b[:n]); h.typ == ctrlHandshake {
					return b[:n]
				}
			}
		}
		hs := handshake{version: udtVersion, sockType: sockStream, isn: 1, mss: 1500, window: 8192, reqType: reqInduction, id: 77}
		first := hs.append(nil, 0)
		answer := ask(first)
		if len(answer) != len(first) {
			t.Fatalf("a request of %d bytes was answered with %d", len(first), len(answer))
		}
		got, _ := parseHandshake(answer[headerSize:])
		second := hs
		second.reqType, second.cookie = reqConclusion, got.cookie+1
		if a := ask(second.append(nil, 0)); a != nil {
			t.Error("a wrong cookie was answered")
		}
		for _, n := range []int{0, 1, 15, 16, 63, 65, 68, 1400} {
			if a := ask(make([]byte, n)); a != nil {
				t.Errorf("%d bytes of garbage were answered", n)
			}
			if a := ask(append(first[:16:16], make([]byte, n)...)); a != nil && n != handshakeSize {
				t.Errorf("a request with a body of %d bytes was answered", n)
			}
		}
		if len(l.server.conns) != 0 || len(l.server.accepted.byKey) != 0 {
			t.Error("something was remembered")
		}
		second.cookie = got.cookie
		if a := ask(second.append(nil, 0)); a == nil {
			t.Error("the right cookie was not accepted")
		}
		time.Sleep(2 * cookieEpoch)
		second.id++
		if a := ask(second.append(nil, 0)); a != nil {
			t.Error("a cookie was accepted for another socket id")
		}
	})
}

// A server that has been restarted says so at once, instead of letting its
// former clients wait for their timeout.
func TestRestartedServer(t *testing.T) {
	inLab(t, simnet.LinkConfig{Delay: 5 * time.Millisecond}, nil, func(l *lab) {
		client, _ := l.connect()
		l.net.SetLink(serverHost, clientHost, simnet.LinkConfig{Loss: 1})
		if err := l.server.Close(); err != nil {
			t.Fatal(err)
		}
		l.server = l.endpoint(serverAddr, nil)
		l.net.SetLink(serverHost, clientHost, simnet.LinkConfig{Delay: 5 * time.Millisecond})
		start := time.Now()
		if _, err := client.Write([]byte("hello?")); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, ErrReset) {
			t.Errorf("read: %v, want ErrReset", err)
		}
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("learnt it after %v", d)
		}
	})
}
