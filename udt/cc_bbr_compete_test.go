package udt

import (
	"testing"
	"time"
)

// Beside flows that back off, losses lie many rounds apart; beside such that do
// not, they go on. A path that has become narrower loses in some rounds in a row.
func TestCompeteTellsWhoHeedsLosses(t *testing.T) {
	for _, tt := range []struct {
		name string
		lost func(round int) bool
		deaf bool
	}{
		{"none", func(int) bool { return false }, false},
		{"every 40th", func(i int) bool { return i%40 == 0 }, false},
		{"two in a row of 50", func(i int) bool { return i%50 < 2 }, false},
		{"every 8th", func(i int) bool { return i%8 == 0 }, true},
		{"every", func(int) bool { return true }, true},
		{"four in a row, once", func(i int) bool { return i >= 90 && i < 94 }, false},
	} {
		c := new(compete)
		for i := range 96 {
			c.note(tt.lost(i))
		}
		if c.deaf() != tt.deaf {
			t.Errorf("%s: deaf %v, %.3f of the rounds lost", tt.name, c.deaf(), c.lossy)
		}
	}
}

// A window that lost grows back to where it lost in the time of CUBIC, slowly at
// its end, and is cut once a second at most.
func TestCompeteWindow(t *testing.T) {
	const rtt = 50 * time.Millisecond
	c := &compete{weight: 1}
	c.begin(0, 1000)
	now := time.Minute
	c.window = 400
	c.cut(now, 1000)
	if c.window != 280 || c.most != 400 {
		t.Fatalf("cut to %.0f of %.0f", c.window, c.most)
	}
	c.cut(now+rtt, 1000)
	if c.window != 280 {
		t.Errorf("cut again at once, to %.0f", c.window)
	}
	// K = ∛(400 · 0.3 / 0.4) = 6.7 s
	at := func(d time.Duration) float64 {
		for ; now < time.Minute+d; now += rtt {
			c.round(now, rtt)
		}
		return c.window
	}
	half, whole := at(3*time.Second), at(6700*time.Millisecond)
	if half < 360 || half > 395 || whole < 395 || whole > 440 {
		t.Errorf("after 3 s %.0f, after K %.0f", half, whole)
	}
	c.cut(now, 90)
	if c.window > 90 {
		t.Errorf("%.0f in flight of which 90 arrive", c.window)
	}
}

// Slope over cut is the mean window of flows that lose together: that of n flows
// is n times that of one.
func TestCompeteWeighs(t *testing.T) {
	slope := func(weight float64) float64 {
		c := &compete{weight: weight, window: 400, most: 400}
		c.round(0, time.Millisecond) // at the foot of the curve the least growth counts
		return c.window - 400
	}
	one, four := &compete{weight: 1}, &compete{weight: 4}
	if ratio := (slope(4) / four.share()) / (slope(1) / one.share()); ratio < 3.9 || ratio > 4.1 {
		t.Errorf("four flows weigh as %.2f", ratio)
	}
}

// The curve stands still while little is in flight to see the shortest round trip: looks
// every ten seconds would otherwise keep the window from ever passing the bend.
func TestCompeteRests(t *testing.T) {
	const rtt, rest = 50 * time.Millisecond, 10 * time.Second
	c := &compete{weight: 1}
	c.begin(0, 1000)
	c.round(3*time.Second, rtt)
	rested := *c
	rested.resume(rest)
	for d := 3 * time.Second; d < 12*time.Second; d += rtt {
		c.round(d, rtt)
		rested.round(d+rest, rtt)
	}
	if d := rested.window - c.window; d > 1 || d < -1 {
		t.Errorf("after a rest the window has grown to %.0f, without to %.0f", rested.window, c.window)
	}
}

// The queue of others does not count as the path's shortest round trip, until some looks
// in a row have met it: then the path has become longer.
func TestCompeteKeepsShortestRoundTrip(t *testing.T) {
	const short, long = 50 * time.Millisecond, 200 * time.Millisecond
	b := &bbr{minRTT: short, recent: long, state: bbrCompete}
	b.rival.begin(0, 1000)
	for i := range competeRests {
		b.enter(time.Duration(i)*time.Minute, bbrRTT)
		b.rtt = long
		b.endRest(time.Duration(i)*time.Minute + time.Second)
		if b.state != bbrCompete || b.minRTT != short {
			t.Fatalf("after %d looks: %v, shortest %v", i+1, b.state, b.minRTT)
		}
	}
	b.enter(time.Hour, bbrRTT)
	b.endRest(time.Hour + time.Second)
	if b.state != bbrSteady || b.minRTT != long {
		t.Errorf("%v, shortest %v", b.state, b.minRTT)
	}
	// Without others, what is seen counts.
	b = &bbr{minRTT: short, rtt: long, state: bbrRTT}
	if b.endRest(time.Second); b.minRTT != long {
		t.Errorf("alone, shortest %v", b.minRTT)
	}
}

// A probe that gains although the link was full takes from others, who back off: the next
// one comes later, but not later than they need.
func TestProbesThatTakeBecomeRare(t *testing.T) {
	probe := func(b *bbr, crowded bool, grows float64) int {
		b.crowded, b.before, b.rate = crowded, 4000, 4000*grows
		b.planProbe()
		return b.probeEvery
	}
	path := func() *bbr {
		return &bbr{minRTT: 50 * time.Millisecond, recent: 60 * time.Millisecond, rate: 4000, probeEvery: bbrCruise}
	}
	for _, tt := range []struct {
		name    string
		crowded bool
		grows   float64
		want    int
	}{
		{"took", true, 1.1, 2 * bbrCruise},
		{"found nothing", true, 1, bbrCruise},
		{"found what nobody used", false, 1.1, bbrCruise},
	} {
		if got := probe(path(), tt.crowded, tt.grows); got != tt.want {
			t.Errorf("%s: the next one after %d round trips, want %d", tt.name, got, tt.want)
		}
	}
	b := path()
	for range 20 {
		probe(b, true, 1.1)
	}
	// 220 packets: cubic needs ∛(220 · 0.3 / 0.4) = 5.5 s of 60 ms each.
	if b.probeEvery < 180 || b.probeEvery > 186 {
		t.Errorf("probes after %d round trips at most", b.probeEvery)
	}
}
