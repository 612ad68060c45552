package udt

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// sizedLink is a path of 200 Mbit/s and 20 ms that takes packets up to mtu.
func sizedLink(mtu int) simnet.LinkConfig {
	return simnet.LinkConfig{Delay: 10 * time.Millisecond, Rate: 200e6, Queue: 500_000, MTU: mtu}
}

// pour writes data into a new connection of the server and returns what the
// client reads, with the time that it took.
func (l *lab) pour(client, server *Conn, data []byte) time.Duration {
	l.t.Helper()
	start := time.Now()
	sent := make(chan error, 1)
	go func() { _, err := server.Write(data); sent <- err }()
	got := make([]byte, len(data))
	if n, err := io.ReadFull(client, got); err != nil {
		l.t.Errorf("read %d of %d bytes: %v", n, len(data), err)
	}
	if err := <-sent; err != nil {
		l.t.Error(err)
	}
	if !bytes.Equal(got, data) {
		l.t.Error("content differs")
	}
	return time.Since(start)
}

func TestPacketSizeFollowsPath(t *testing.T) {
	for _, tt := range []struct {
		name     string
		link     simnet.LinkConfig
		min, max int // payload of the server's packets in the end
	}{
		{"1500", sizedLink(1500), 1456, 1456},
		{"1700", sizedLink(1700), 1456, 1700 - 44},
		{"2002", sizedLink(2002), 1958, 1958},
		{"4352", sizedLink(4352), 4308, 4308},
		{"8896", sizedLink(8896), 8300, 8896 - 44},
		{"9000", sizedLink(9000), 8956, 8956},
		{"65535", sizedLink(65535), 8956, 8956},
		{"9000 lossy", func() simnet.LinkConfig { l := sizedLink(9000); l.Loss = 0.02; return l }(), 8956, 8956},
		{"9000 reordering", func() simnet.LinkConfig {
			l := sizedLink(9000)
			l.Reorder = simnet.Reorder{Probability: 0.05, ExtraDelay: 3 * time.Millisecond}
			return l
		}(), 8956, 8956},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, tt.link, nil, func(l *lab) {
				client, server := l.connect()
				data := randomBytes(16<<20, 1)
				took := l.pour(client, server, data)
				s := server.Stats()
				share := float64(len(data)) * 8 / 200e6 * 1500 / 1456 / took.Seconds()
				t.Logf("%v, %.2f of the link, payload %d; %+v", took, share, s.Payload, s)
				if s.Payload < tt.min || s.Payload > tt.max {
					t.Errorf("packets carry %d bytes, want %d to %d", s.Payload, tt.min, tt.max)
				}
				if got := client.Stats().PayloadRecv; got != s.Payload {
					t.Errorf("%d bytes are known to have arrived in one packet, which carry %d", got, s.Payload)
				}
				if share < 0.7 {
					t.Errorf("%.2f of the link was used", share)
				}
			})
		})
	}
}

// A jumbo path is in use within a few round trips of a transfer, also for the
// next connection to the same peer.
func TestPacketSizeRisesSoon(t *testing.T) {
	inLab(t, sizedLink(9000), nil, func(l *lab) {
		for range 2 {
			client, server := l.connect()
			l.pour(client, server, randomBytes(512<<10, 1))
			time.Sleep(time.Millisecond) // the last answer comes with the last data
			if s := server.Stats(); s.Payload != 8956 {
				t.Errorf("after %v packets carry %d bytes", s.Elapsed, s.Payload)
			}
		}
	})
}

// A path that takes less than before holds nothing up for long.
func TestPacketSizeFalls(t *testing.T) {
	for _, mtu := range []int{1500, 4352} {
		for _, loss := range []float64{0, 0.02} {
			measure(t, func(t *measurement) {
				inLab(t.T, sizedLink(9000), nil, func(l *lab) {
					client, server := l.connect()
					whole := sizedLink(9000)
					whole.Loss = loss
					l.net.SetLinks(clientHost, serverHost, whole)
					var narrowed time.Time
					time.AfterFunc(300*time.Millisecond, func() {
						narrowed = time.Now()
						narrow := sizedLink(mtu)
						narrow.Loss = loss
						l.net.SetLinks(clientHost, serverHost, narrow)
					})
					data := randomBytes(24<<20, 2)
					took := l.pour(client, server, data)
					s := server.Stats()
					t.Logf("MTU %d, loss %g: %v in all, %v after the change; %+v", mtu, loss, took, time.Since(narrowed), s)
					if s.Payload > mtu-44 {
						t.Errorf("packets still carry %d bytes", s.Payload)
					}
					if ideal := time.Duration(float64(len(data)) * 8 / 200e6 * 1e9); took > ideal+1500*time.Millisecond {
						t.Errorf("took %v, without the change about %v", took, ideal)
					}
				})
			})
		}
	}
}

// What was cut for a wide path arrives, and its end is noticed, also by a sender
// that has nothing else to send.
func TestPacketSizeFallsAtTheEnd(t *testing.T) {
	inLab(t, sizedLink(9000), nil, func(l *lab) {
		client, server := l.connect()
		l.pour(client, server, randomBytes(4<<20, 3))
		l.net.SetLinks(clientHost, serverHost, sizedLink(1500))
		if took := l.pour(client, server, randomBytes(30_000, 4)); took > time.Second {
			t.Errorf("30 kB took %v", took)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
	})
}

// filterControl drops user-defined control packets of the given extended types
// at random, or all of them.
func filterControl(link simnet.LinkConfig, keep func(n int) bool, types ...uint16) simnet.LinkConfig {
	n := 0
	link.Filter = func(p simnet.Packet) (v simnet.Verdict) {
		if h, ok := parseHeader(p.Data); ok && h.typ == ctrlUser {
			for _, t := range types {
				if extendedType(p.Data) == t {
					n++
					v.Drop = !keep(n)
				}
			}
		}
		return v
	}
	return link
}

// A peer that does not know the extension, or whose answers are lost, gets
// packets as the handshake says.
func TestNobodyAnswersProbes(t *testing.T) {
	never := func(int) bool { return false }
	inLab(t, filterControl(sizedLink(9000), never, probeType), nil, func(l *lab) {
		client, server := l.connect()
		took := l.pour(client, server, randomBytes(16<<20, 5))
		if s := server.Stats(); s.Payload != 1456 || took > time.Second {
			t.Errorf("took %v; %+v", took, s)
		}
	})
}

func TestProbesAreLost(t *testing.T) {
	third := func(n int) bool { return n%3 == 0 }
	inLab(t, filterControl(sizedLink(9000), third, probeType), nil, func(l *lab) {
		client, server := l.connect()
		l.pour(client, server, randomBytes(16<<20, 6))
		if s := server.Stats(); s.Payload != 8956 {
			t.Errorf("packets carry %d bytes", s.Payload)
		}
	})
}

// Pieces are lost like everything else.
func TestPiecesAreLost(t *testing.T) {
	half := func(n int) bool { return n%3 != 0 }
	inLab(t, sizedLink(9000), nil, func(l *lab) {
		client, server := l.connect()
		time.AfterFunc(200*time.Millisecond, func() {
			l.net.SetLinks(clientHost, serverHost, filterControl(sizedLink(1500), half, pieceType))
		})
		if took := l.pour(client, server, randomBytes(16<<20, 7)); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestPacketSizeGiven(t *testing.T) {
	for _, cfg := range []*Config{{MSS: 1500}, {PlainUDT: true}, {MSS: 3000}} {
		inLab(t, sizedLink(9000), cfg, func(l *lab) {
			client, server := l.connect()
			l.pour(client, server, randomBytes(4<<20, 8))
			if s := server.Stats(); s.Payload != max(cfg.MSS, 1500)-44 {
				t.Errorf("%+v: packets carry %d bytes", *cfg, s.Payload)
			}
		})
	}
}

// A reader that stops bounds what large packets may take as well.
func TestSlowReaderOfLargePackets(t *testing.T) {
	cfg := &Config{RecvBuffer: 1 << 20, SendBuffer: 4 << 20}
	inLab(t, sizedLink(9000), cfg, func(l *lab) {
		client, server := l.connect()
		l.pour(client, server, randomBytes(4<<20, 9))
		data := randomBytes(4<<20, 10)
		done := make(chan error, 1)
		go func() { _, err := server.Write(data); done <- err }()
		time.Sleep(5 * time.Second)
		client.rcv.mu.Lock()
		held := client.rcv.pending
		client.rcv.mu.Unlock()
		if held > 1<<20+hiddenReserve*1456 || held < 1<<19 {
			t.Errorf("%d bytes wait for the reader", held)
		}
		got := make([]byte, len(data))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, data) {
			t.Error("content differs", err)
		}
		if err := errors.Join(<-done, server.Close()); err != nil {
			t.Error(err)
		}
		if s := server.Stats(); s.PktRetrans > 100 { // the closed window is probed
			t.Errorf("%d packets were sent again", s.PktRetrans)
		}
	})
}
