package fetch

import (
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestRamp: what is allowed after each sample, five of them a second.
func TestRamp(t *testing.T) {
	repeat := func(rate float64, n int) (rates []float64) {
		for range n {
			rates = append(rates, rate)
		}
		return rates
	}
	for _, tt := range []struct {
		name        string
		first, most int
		rates       []float64
		want        int // in the end
	}{
		{"nothing comes", 4, 8, repeat(0, 100), 4},
		{"one try", 4, 8, repeat(10, 100), 6},
		{"one try of one", 1, 8, repeat(10, 100), 2},
		{"rises with each addition", 4, 8, slices.Concat(repeat(10, 2), repeat(15, 2), repeat(20, 2)), 8},
		{"rises slowly", 2, 8, slices.Concat(repeat(10, 3), repeat(15, 8), repeat(20, 8), repeat(25, 8)), 8},
		{"doubles as in slow start", 2, 8, []float64{1, 2, 4, 8, 16, 32, 64}, 8},
		{"rises, then does not", 2, 32, slices.Concat(repeat(10, 1), repeat(15, 2), repeat(15.2, 50)), 4},
		{"rises less than counts", 4, 8, slices.Concat(repeat(10, 2), repeat(10.4, 100)), 6},
		{"noise", 4, 16, slices.Repeat([]float64{10, 14, 8, 6, 12, 10}, 20), 6},
		{"rises above the noise", 4, 8, slices.Concat([]float64{10}, repeat(10, 4), []float64{13, 15, 10.6, 14, 13}), 8},
		{"too late to be of it", 4, 8, slices.Concat(repeat(10, 20), repeat(20, 20)), 6},
		{"another path", 4, 16, slices.Concat(repeat(10, 30), repeat(4, 5)), 9},
		{"not another path", 4, 16, slices.Concat(repeat(10, 30), repeat(6, 30)), 6},
		{"no more than asked for", 4, 5, slices.Concat(repeat(10, 2), repeat(20, 20)), 5},
		{"fewer than it begins with", 4, 1, repeat(10, 10), 1},
	} {
		now := time.Unix(1, 0)
		r := newRamp(now, tt.first, tt.most)
		for _, rate := range tt.rates {
			now = now.Add(tick)
			was, settled := r.limit, r.settled
			step := r.sample(now, int64(rate*1e6*tick.Seconds()))
			switch changed := r.limit > was || r.settled && !settled; {
			case changed != (step != nil):
				t.Errorf("%s: from %d to %d, but told %+v", tt.name, was, r.limit, step)
			case step != nil && (step.why == "" || step.rate <= 0 || (step.decision == DecisionAdded) != (r.limit > was)):
				t.Errorf("%s: from %d to %d: %+v", tt.name, was, r.limit, step)
			}
			if r.limit < was {
				t.Errorf("%s: fell from %d to %d", tt.name, was, r.limit)
			}
		}
		if r.limit != tt.want {
			t.Errorf("%s: %d allowed, want %d", tt.name, r.limit, tt.want)
		}
	}
}

// TestRampCostsNothing: a download that begins with a few connections takes hardly
// longer than one that opens all at once, and opens fewer where they bring nothing.
func TestRampCostsNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("half a minute of measuring, where the race detector's own time counts")
	}
	const mbit = 1e6 / 8
	f := &file{data: randomData(64*mib, 70), etag: `"a"`}
	for _, tt := range []struct {
		name   string
		rtt    time.Duration
		rate   float64 // bytes per second
		each   float64 // of one connection, 0 without a limit
		scheme string
		longer time.Duration // of a hundred
		fewer  bool          // connections than are possible
	}{
		{"300 Mbit/s, 100 ms", 100 * time.Millisecond, 300 * mbit, 0, "http", 1, false},
		{"300 Mbit/s, 10 ms", 10 * time.Millisecond, 300 * mbit, 0, "http", 4, false},
		{"20 Mbit/s a connection", 10 * time.Millisecond, 300 * mbit, 20 * mbit, "http", 15, false},
		{"300 Mbit/s, 100 ms over UDT", 100 * time.Millisecond, 300 * mbit, 0, "udt", 4, false},
		{"100 Mbit/s, 1 ms", time.Millisecond, 100 * mbit, 0, "http", 4, true},
		{"100 Mbit/s, 1 ms over UDT", time.Millisecond, 100 * mbit, 0, "udt", 4, true},
	} {
		var took [2]time.Duration
		var conns [2]int
		for i, ramp := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				p := &modelPath{f: f, rtt: tt.rtt, rate: tt.rate, each: tt.each, shared: tt.scheme == "udt"}
				r := pathRig(t, tt.scheme+"://h", map[string]*modelPath{"h": p})
				r.opts.Connections, r.opts.Ramp = 8, ramp
				res := r.must("x", f.data)
				took[i], conns[i] = res.Elapsed, res.Connections
			})
		}
		t.Logf("%s: %v with %d connections, ramping up to %d %v: %+.1f %%", tt.name, took[0], conns[0], conns[1], took[1],
			100*(took[1].Seconds()/took[0].Seconds()-1))
		if took[1] > took[0]*(100+tt.longer)/100 {
			t.Errorf("%s: takes %v, and %v with all connections at once", tt.name, took[1], took[0])
		}
		if tt.fewer && conns[1] >= conns[0] {
			t.Errorf("%s: opened %d connections", tt.name, conns[1])
		}
	}
}

// TestRampAlways: over a long path of TCP all connections are opened at once, unless that
// is not wanted: then as many come in the end, since each adds to the rate.
func TestRampAlways(t *testing.T) {
	const mbit = 1e6 / 8
	f := &file{data: randomData(32*mib, 71), etag: `"a"`}
	for _, always := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := &modelPath{f: f, rtt: 100 * time.Millisecond, rate: 300 * mbit, each: 10 * mbit}
			r := pathRig(t, "http://h", map[string]*modelPath{"h": p})
			r.opts.Connections, r.opts.Ramp, r.opts.RampAlways = 8, true, always
			res := r.must("x", f.data)
			var added []int
			for _, e := range r.events {
				if e.Kind == EventRamp && e.Decision == DecisionAdded {
					added = append(added, e.Connections)
				}
			}
			want := []int{6, 8}
			if !always {
				want = nil
			}
			if !slices.Equal(added, want) || res.Connections != 8 {
				t.Errorf("always %v: %v connections allowed, %d opened", always, added, res.Connections)
			}
		})
	}
}

func TestFirstConnections(t *testing.T) {
	for _, tt := range []struct {
		scheme string
		n      int
		ramp   bool
		want   int
	}{
		{"udt", 8, true, 2}, {"udts", 0, true, 2}, {"https", 8, true, 4}, {"http", 3, true, 3}, {"udt", 1, true, 1},
		{"udt", 8, false, 8}, {"http", 0, false, DefaultConnections},
	} {
		o := Options{URL: &url.URL{Scheme: tt.scheme, Host: "h"}, Connections: tt.n, Ramp: tt.ramp}
		if got := o.FirstConnections(); got != tt.want {
			t.Errorf("%+v: begins with %d", tt, got)
		}
	}
}
