package udt

import (
	"testing"
	"time"
)

// Over a short path ten round trips are over while a processor is waited for once: the
// highest rate counts for 50 ms. Over others it counts for ten round trips.
func TestBBRRemembersRate(t *testing.T) {
	const fast, slow = 2e6, 1e6 // packets/s
	for _, tt := range []struct{ rtt, atLeast, atMost time.Duration }{
		{200 * time.Microsecond, 45 * time.Millisecond, 55 * time.Millisecond},
		{20 * time.Millisecond, 180 * time.Millisecond, 220 * time.Millisecond},
	} {
		b := new(bbr)
		b.Init(0, CongestionParams{MaxWindow: 1 << 20, Rate: fast, MinRTT: tt.rtt, Measured: true})
		now, delivered := time.Second, int64(0)
		round := func(rate float64) {
			now += tt.rtt
			b.OnACK(now, ACKEvent{
				Newly: 100, Delivered: delivered + 100, Latest: tt.rtt, Exact: true,
				Sample: RateSample{Rate: rate, Prior: delivered},
			})
			delivered += 100
		}
		for range 1000 {
			round(fast)
		}
		since := now
		for b.rate > slow && now-since < time.Second {
			round(slow)
		}
		if d := now - since; d < tt.atLeast || d > tt.atMost {
			t.Errorf("round trips of %v: the rate is forgotten after %v, want %v to %v", tt.rtt, d, tt.atLeast, tt.atMost)
		}
	}
}

// The window is what the path holds and what is sent until reports have come. What takes
// longer on a short path is waited for, unless it loses packets.
func TestBBRWindowOfReports(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name       string
		rtt, turn  time.Duration
		overflowed int64 // round trips ago
		allows     time.Duration
	}{
		{"a path", 20 * ms, 30 * ms, 2000, 3 * ms},
		{"a short one", ms / 10, ms / 5, 2000, ms},
		{"processors are waited for", ms / 10, 7 * ms, 2000, 7 * ms},
		{"too long", ms / 10, time.Second, 2000, maxTurn},
		{"a queue overflows", ms / 10, 7 * ms, 5, 3 * ms},
	} {
		b := &bbr{
			state: bbrSteady, rate: 1e6, minRTT: tt.rtt, turn: tt.turn, exact: true,
			round: 5000, overflowed: 5000 - tt.overflowed, p: CongestionParams{MaxWindow: 1 << 20},
		}
		want := int(1e6*tt.rtt.Seconds()*bbrWindow) + int(1e6*tt.allows.Seconds()) + bbrMinWindow
		if w := b.Window(); w < want-1 || w > want+1 {
			t.Errorf("%s: %d packets, want %d", tt.name, w, want)
		}
	}
}
