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
