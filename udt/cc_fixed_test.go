package udt

import (
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// What a server sends at a fixed rate, over however many connections and
// whatever is lost, stays below the rate and comes near it.
func TestFixedRate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rate  float64 // bit/s
		conns int
		loss  float64
		least float64 // share of the rate on the wire
	}{
		{"one", 8e6, 1, 0, 0.97},
		{"eight", 8e6, 8, 0, 0.97},
		{"one, 10% loss", 8e6, 1, 0.1, 0.95},
		{"eight, 10% loss", 8e6, 8, 0.1, 0.95},
		{"slow", 500e3, 8, 0.02, 0.9},
		{"at the link's rate", 20e6, 1, 0.01, 0.9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			link := simnet.LinkConfig{Rate: 20e6, Delay: 25 * time.Millisecond, Queue: 1 << 20, Loss: tt.loss}
			cfg := &Config{Congestion: func() Congestion { return NewFixed(tt.rate) }, Linger: -1}
			inLab(t, link, cfg, func(l *lab) {
				for range tt.conns {
					l.sendForever(l.client)
				}
				time.Sleep(time.Second)
				sent := func() int64 { return l.net.Counters(serverHost, clientHost).Sent.Bytes }
				first := sent()
				start := time.Now()
				// Connections that take turns may be a packet each ahead of the rate at
				// the end and behind it at the begin: over 20 s that is within the bound.
				for range 100 {
					before := sent()
					time.Sleep(200 * time.Millisecond)
					// A burst is 2 ms long, and connections take turns.
					most := tt.rate/8*0.2*1.02 + tt.rate/8*0.004 + 8*1500
					if n := float64(sent() - before); n > most {
						t.Errorf("%.0f bytes in 200 ms, the rate allows %.0f", n, most)
					}
				}
				share := float64(sent()-first) * 8 / time.Since(start).Seconds() / tt.rate
				t.Logf("%.3f of the rate", share)
				if share > 1+fixedBurst*1500*8/10/tt.rate || share < tt.least {
					t.Errorf("%.3f of the rate, want %.2f to 1", share, tt.least)
				}
			})
		})
	}
}

// A rate far above the path's is lowered until repairs fit into their budget,
// and comes back when the path allows it.
func TestFixedBudget(t *testing.T) {
	link := simnet.LinkConfig{Rate: 10e6, Delay: 25 * time.Millisecond, Queue: 16 << 10}
	cfg := &Config{Congestion: func() Congestion { return NewFixed(40e6) }, Linger: -1}
	inLab(t, link, cfg, func(l *lab) {
		server, _ := l.sendForever(l.client)
		time.Sleep(10 * time.Second)
		s := server.Stats()
		time.Sleep(10 * time.Second)
		e := server.Stats()
		lost := float64(e.PktSndLoss-s.PktSndLoss) / float64(e.PktSent-s.PktSent)
		t.Logf("%.2f lost, %.1f Mbit/s sent", lost, float64(e.PktSent-s.PktSent)*1500*8/10/1e6)
		if lost > 0.55 {
			t.Errorf("%.2f of the packets are lost", lost)
		}
		l.net.SetLinks(clientHost, serverHost, simnet.LinkConfig{Rate: 100e6, Delay: 25 * time.Millisecond, Queue: 1 << 20})
		time.Sleep(20 * time.Second)
		s = server.Stats()
		time.Sleep(5 * time.Second)
		e = server.Stats()
		if rate := float64(e.PktSent-s.PktSent) * 1500 * 8 / 5; rate < 0.9*40e6 {
			t.Errorf("%.0f Mbit/s over a path that carries the rate", rate/1e6)
		}
	})
}
