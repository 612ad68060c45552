package udt

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// sendForever lets the server of a new connection send until it is closed. It
// returns the server's side and a function that tells what has arrived.
func (l *lab) sendForever(from *Endpoint) (server *Conn, received func() int64) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	c, err := from.connect(ctx, attempt{remote: serverAddr, isn: randomISN()})
	if err != nil {
		l.t.Fatal(err)
	}
	a, err := l.listener.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	server = a.(*Conn)
	go writeForever(server, make([]byte, 1<<16))
	go io.Copy(io.Discard, c)
	return server, func() int64 { return c.Stats().ByteRecv }
}

// writeForever writes p again and again until that fails.
func writeForever(w io.Writer, p []byte) {
	for {
		if _, err := w.Write(p); err != nil {
			return
		}
	}
}

// In a deep buffer the queue stays short: the delay added in steady state is
// under one round trip although there is room for four.
func TestBBRKeepsQueuesShort(t *testing.T) {
	measure(t, func(t *measurement) {
		const rtt = 50 * time.Millisecond
		link := simnet.LinkConfig{Delay: rtt / 2, Rate: 100e6, Queue: 4 * 100e6 / 8 / 20}
		inMeasuredLab(t.T, link, nil, func(l *lab) {
			server, received := l.sendForever(l.client)
			time.Sleep(3 * time.Second)
			before, longest, n, sum := received(), time.Duration(0), 0, time.Duration(0)
			for range 200 {
				time.Sleep(rtt / 2)
				delay := server.Stats().RTT - rtt
				longest = max(longest, delay)
				sum += delay
				n++
			}
			rate := float64(received()-before) * 8 / 5
			t.Logf("%.1f Mbit/s, %v of queue on average, %v at most", rate/1e6, sum/time.Duration(n), longest)
			if longest > rtt || sum/time.Duration(n) > rtt/4 {
				t.Errorf("%v of queue on average, %v at most", sum/time.Duration(n), longest)
			}
			if rate < 90e6 {
				t.Errorf("%.1f Mbit/s", rate/1e6)
			}
		})
	})
}

// Two downloads by different hosts share a link evenly after some seconds, also
// when the second one begins later.
func TestBBRSharesWithItself(t *testing.T) {
	measure(t, func(t *measurement) {
		queues := []int{1, 4}
		if raceEnabled {
			queues = queues[:1] // a minute of real time each
		}
		for _, queue := range queues {
			link := simnet.LinkConfig{Delay: 25 * time.Millisecond, Rate: 100e6, Queue: queue * 100e6 / 8 / 20}
			inMeasuredLab(t.T, link, nil, func(l *lab) {
				// Both hosts are behind one link to the server.
				other := l.endpoint(netip.AddrPortFrom(clientHost, 0), nil)
				_, first := l.sendForever(l.client)
				time.Sleep(3 * time.Second)
				_, second := l.sendForever(other)
				time.Sleep(12 * time.Second)
				a, b := first(), second()
				time.Sleep(8 * time.Second)
				da, db := float64(first()-a), float64(second()-b)
				share := da / (da + db)
				t.Logf("queue %d: %.2f of %.1f Mbit/s", queue, share, (da+db)*8/8/1e6)
				if share < 0.35 || share > 0.65 || (da+db)*8/8 < 85e6 {
					t.Errorf("queue %d: %.2f of %.1f Mbit/s", queue, share, (da+db)*8/8/1e6)
				}
				if err := other.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// When the path gets narrower, the rate follows within some round trips, and
// when it gets wider again, too.
func TestBBRFollowsThePath(t *testing.T) {
	measure(t, func(t *measurement) {
		link := func(rate int64) simnet.LinkConfig {
			return simnet.LinkConfig{Delay: 20 * time.Millisecond, Rate: rate, Queue: 500_000}
		}
		inMeasuredLab(t.T, link(100e6), nil, func(l *lab) {
			server, received := l.sendForever(l.client)
			for _, rate := range []int64{100e6, 20e6, 100e6} {
				l.net.SetLink(serverHost, clientHost, link(rate))
				time.Sleep(3 * time.Second)
				before, again, sent := received(), server.Stats().PktRetrans, server.Stats().PktSent
				time.Sleep(3 * time.Second)
				got := float64(received()-before) * 8 / 3
				lost := float64(server.Stats().PktRetrans-again) / float64(server.Stats().PktSent-sent)
				t.Logf("%3.0f Mbit/s: %.1f Mbit/s, %.1f %% sent again", float64(rate)/1e6, got/1e6, 100*lost)
				if got < 0.85*float64(rate) || lost > 0.1 {
					t.Errorf("%.0f Mbit/s: %.1f Mbit/s, %.1f %% sent again", float64(rate)/1e6, got/1e6, 100*lost)
				}
			}
		})
	})
}

// A queue of a tenth of the bandwidth-delay product loses what is sent beyond the link's
// rate. That is no random loss, to be made up for by sending yet more.
func TestBBRInShortQueues(t *testing.T) {
	const wait, length = 2 * time.Second, 8 * time.Second
	for _, c := range []struct {
		rate        int64
		rtt         time.Duration
		loss        float64
		queue       int     // bytes
		want, again float64 // at least, at most
	}{
		{100e6, 20 * ms, 0, 25_000, 0.95, 0.11},
		{20e6, 50 * ms, 0, 12_500, 0.95, 0.2},
		{300e6, 20 * ms, 0, 75_000, 0.95, 0.02},
		{100e6, 20 * ms, 0.01, 25_000, 0.95, 0.16},
		{100e6, 50 * ms, 0.2, 625_000, 0.7, 0.22}, // which is random
	} {
		t.Run(fmt.Sprintf("%d Mbit/s, %v, %g %%, %.1f kB", c.rate/1e6, c.rtt, c.loss*100, float64(c.queue)/1000), func(t *testing.T) {
			measure(t, func(t *measurement) {
				link := simnet.LinkConfig{Delay: c.rtt / 2, Rate: c.rate, Loss: c.loss, Queue: c.queue}
				inMeasuredLab(t.T, link, nil, func(l *lab) {
					server, received := l.sendForever(l.client)
					time.Sleep(wait)
					before, was := received(), server.Stats()
					time.Sleep(length)
					share := float64(received()-before) * 8 / length.Seconds() / (float64(c.rate) * 1456 / 1500)
					s := server.Stats()
					again := float64(s.PktRetrans-was.PktRetrans) / float64(s.PktSent-was.PktSent)
					t.Logf("%.2f of the link, %.3f sent again", share, again)
					if share < c.want || again > c.again {
						t.Errorf("%.2f of the link, want %.2f; %.3f sent again, want %.2f", share, c.want, again, c.again)
					}
				})
			})
		})
	}
}

// A peer that takes no feedback says little of what arrives, and that in lumps. It is
// enough to fill a path that loses packets, and not to overrun a short queue.
func TestBBRWithoutFeedback(t *testing.T) {
	const wait, length = 5 * time.Second, 10 * time.Second
	for i, c := range []struct {
		rate        int64
		rtt         time.Duration
		loss        float64
		queue       int // bytes
		want, again float64
	}{
		{100e6, 50 * ms, 0, 625_000, 0.9, 0.01},
		{100e6, 50 * ms, 0, 125_000, 0.9, 0.05},
		{100e6, 50 * ms, 0.01, 625_000, 0.85, 0.03},
		{100e6, 50 * ms, 0.05, 625_000, 0.85, 0.08},
		{100e6, 50 * ms, 0.10, 625_000, 0.75, 0.15},
		{300e6, 100 * ms, 0.01, 3_750_000, 0.85, 0.04},
		{20e6, 200 * ms, 0.03, 500_000, 0.85, 0.06},
		{200e6, 2 * ms, 0, 100_000, 0.9, 0.05},
		{200e6, 2 * ms, 0.01, 100_000, 0.9, 0.09},
		{200e6, 2 * ms, 0.05, 100_000, 0.85, 0.15},
		{5e6, 30 * ms, 0, 37_500, 0.85, 0.05},
	} {
		t.Run(fmt.Sprintf("%d Mbit/s, %v, %g %%, %d kB", c.rate/1e6, c.rtt, c.loss*100, c.queue/1000), func(t *testing.T) {
			if raceEnabled && i > 2 {
				t.Skip("half a minute of real time each with the race detector")
			}
			measure(t, func(t *measurement) {
				link := simnet.LinkConfig{Delay: c.rtt / 2, Rate: c.rate, Loss: c.loss, Queue: c.queue}
				inMeasuredLab(t.T, link, &Config{PlainUDT: true}, func(l *lab) {
					server, received := l.sendForever(l.client)
					time.Sleep(wait)
					before := received()
					time.Sleep(length)
					share := float64(received()-before) * 8 / length.Seconds() / (float64(c.rate) * 1456 / 1500)
					s := server.Stats()
					again := float64(s.PktRetrans) / float64(s.PktSent)
					t.Logf("%.2f of the link, %.3f sent again", share, again)
					if s.Sending.Controller != bbrName || share < c.want || again > c.again {
						t.Errorf("%s: %.2f of the link, want %.2f; %.3f sent again, want %.2f", s.Sending.Controller, share, c.want, again, c.again)
					}
				})
			})
		})
	}
}
