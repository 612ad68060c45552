package udt

import (
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// A fast flow is reported once in a millisecond, however many packets come, and a slow
// one every 2 ms.
func TestReportsAreSpaced(t *testing.T) {
	for _, tt := range []struct {
		name        string
		rate        int64
		least, most float64 // reports in a millisecond
	}{
		{"1 Gbit/s", 1e9, 0.9, 1.1},
		{"100 Mbit/s", 100e6, 0.45, 0.55},
	} {
		t.Run(tt.name, func(t *testing.T) {
			link := simnet.LinkConfig{Delay: 2 * time.Millisecond, Rate: tt.rate, Queue: 1 << 20}
			inMeasuredLab(t, link, nil, func(l *lab) {
				_, received := l.sendForever(l.client)
				time.Sleep(200 * time.Millisecond)
				reports := func() int64 {
					l.client.mu.Lock()
					conns := l.client.connsLocked()
					l.client.mu.Unlock()
					return conns[0].Stats().PktSentACK
				}
				before, bytes := reports(), received()
				const ms = 500
				time.Sleep(ms * time.Millisecond)
				if got := float64(reports()-before) / ms; got < tt.least || got > tt.most {
					t.Errorf("%.2f reports in a millisecond, want %g to %g", got, tt.least, tt.most)
				}
				if rate := float64(received()-bytes) * 8 / ms * 1000; rate < 0.9*float64(tt.rate) {
					t.Errorf("%.0f Mbit/s of %d", rate/1e6, tt.rate/1e6)
				}
			})
		})
	}
}
