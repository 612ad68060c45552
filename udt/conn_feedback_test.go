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

// Reports are a millisecond apart while more packets wait to be read, and a part of the
// sender's round trip when none are known to: the sender may wait for the report.
func TestReportSpacing(t *testing.T) {
	inMeasuredLab(t, simnet.LinkConfig{Delay: time.Millisecond}, nil, func(l *lab) {
		_, c := l.connect()
		defer c.Close()
		c.turn.Lock()
		defer c.turn.Unlock()
		now := c.ep.now()
		for _, tt := range []struct {
			since    int
			received uint32
			trip     time.Duration // that the sender has told of
			more     bool
			want     time.Duration // after the latest report, 0 = no report
		}{
			{31, 1000, 0, true, 0},
			{32, 1000, 0, true, time.Millisecond},
			{32, 1000, 400 * time.Microsecond, true, time.Millisecond},
			{32, 1000, 0, false, 300 * time.Microsecond}, // now
			{32, 1000, 2 * time.Millisecond, false, 500 * time.Microsecond},
			{32, 1000, 20 * time.Millisecond, false, time.Millisecond},
			{8, 100, 20 * time.Millisecond, true, 300 * time.Microsecond},
		} {
			c.grp.hear(told{stats: SenderStats{Controller: "bbr", RTT: tt.trip}, at: now, said: true})
			c.sinceLight, c.received, c.moreWaits = tt.since, tt.received, tt.more
			c.fullACKSent, c.ackAt = now-300*time.Microsecond, 0
			c.askForReport(now)
			if got := c.ackAt; tt.want == 0 && got != 0 || tt.want != 0 && got-c.fullACKSent != tt.want {
				l.t.Errorf("%+v: the report is due after %v", tt, got-c.fullACKSent)
			}
		}
		c.sinceLight, c.ackAt, c.moreWaits = 0, 0, false
	})
}
