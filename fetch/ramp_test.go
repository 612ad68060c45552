package fetch

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestRamp: what is allowed after each sample, four of them a second until the rate of
// the path is found, and five then.
func TestRamp(t *testing.T) {
	repeat := func(rate float64, n int) (rates []float64) {
		for range n {
			rates = append(rates, rate)
		}
		return rates
	}
	found := func(rate float64) []float64 { return repeat(rate, 1+startupLooks) } // by one addition
	for _, tt := range []struct {
		name        string
		first, most int
		rates       []float64
		want        int // in the end
	}{
		{"nothing comes", 4, 8, repeat(0, 100), 4},
		{"one try", 4, 8, repeat(10, 100), 6},
		{"one try of one", 1, 8, repeat(10, 100), 2},
		{"doubles as in slow start", 2, 8, []float64{1, 1.5, 2, 3}, 8},
		{"comes in lumps", 2, 9, []float64{1, 0, 2, 0, 4, 0, 8}, 9},
		{"rises from time to time", 4, 32, []float64{10, 10, 10, 10, 20, 20, 20, 20, 40}, 24},
		{"rises too little for slow start", 4, 16, []float64{10, 11, 12, 12.4, 12.5}, 6},
		{"rises too late for slow start", 4, 16, slices.Concat(found(10), repeat(20, 1)), 6},
		{"rises with each addition", 4, 16, slices.Concat(found(10), repeat(15, 2), repeat(20, 2)), 13},
		{"rises slowly", 2, 8, slices.Concat(found(10), repeat(10, 3), repeat(11, 8), repeat(12, 8), repeat(13, 8)), 8},
		{"rises, then does not", 2, 32, slices.Concat(found(10), repeat(15, 2), repeat(15.2, 50)), 4},
		{"rises less than counts", 4, 8, slices.Concat(repeat(10, 2), repeat(10.4, 100)), 6},
		{"noise", 4, 16, slices.Repeat([]float64{10, 12, 8, 6, 12, 10}, 20), 6},
		{"rises above the noise", 4, 8, slices.Concat(found(10), repeat(10, 3), []float64{13, 15, 10.6, 14, 13}), 8},
		{"has not lasted", 4, 32, slices.Concat(found(10), repeat(5, 20)), 9},
		{"has not lasted while it was found", 4, 32, slices.Concat([]float64{10, 20}, repeat(12, startupLooks), repeat(12, 20)), 18},
		{"has not lasted, and lasts less", 4, 32, slices.Concat(found(10), repeat(5, 3), repeat(3, 20)), 9},
		{"what is left rises", 4, 32, slices.Concat(found(10), repeat(5, 3), repeat(7, 20)), 13},
		{"what is left rises, and has not lasted", 4, 32, slices.Concat(found(10), repeat(5, 3), repeat(7, 2), repeat(6, 20)), 19},
		{"falls too shortly", 4, 32, slices.Concat(found(10), slices.Repeat([]float64{10, 5, 5, 10, 10}, 4)), 6},
		{"falls by less than counts", 4, 32, slices.Concat(found(10), repeat(9.6, 20)), 6},
		{"falls by no more than its noise", 4, 32, slices.Concat(found(10), slices.Repeat([]float64{10, 7}, 10)), 6},
		{"falls where all are in use", 4, 6, slices.Concat(found(10), repeat(5, 20)), 6},
		{"too late to be of it", 4, 8, slices.Concat(repeat(10, 20), repeat(20, 20)), 6},
		{"another path", 4, 16, slices.Concat(repeat(10, 30), repeat(4, 5)), 9},
		{"not another path", 4, 16, slices.Concat(repeat(10, 30), repeat(6, 30)), 6},
		{"no more than asked for", 4, 5, slices.Concat(repeat(10, 2), repeat(20, 20)), 5},
		{"fewer than it begins with", 4, 1, repeat(10, 10), 1},
	} {
		now, bytes := time.Unix(1, 0), int64(0)
		r := newRamp(now, tt.first, tt.most, 500*time.Millisecond)
		for i, rate := range tt.rates {
			every := r.every
			now = now.Add(every)
			bytes += int64(rate * 1e6 * every.Seconds())
			if step := r.sample(now.Add(-1), bytes, true); step != nil {
				t.Errorf("%s: %d: decided too early: %+v", tt.name, i, step)
			}
			was, settled := r.limit, r.settled
			step := r.sample(now, bytes, true)
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

// TestRampLooks: how often the rate is looked at while it is being found, then, and when
// there are enough connections.
func TestRampLooks(t *testing.T) {
	for round, want := range map[time.Duration][3]time.Duration{
		0:                      {startupLeast, rampEvery, tick},
		time.Millisecond:       {startupLeast, rampEvery, tick},
		120 * time.Millisecond: {60 * time.Millisecond, 120 * time.Millisecond, tick},
		600 * time.Millisecond: {300 * time.Millisecond, tick, tick},
	} {
		now, bytes := time.Unix(1, 0), int64(0)
		r := newRamp(now, 4, 8, round)
		for i, until := range []func() bool{func() bool { return true }, func() bool { return !r.startup }, func() bool { return r.settled }} {
			for !until() {
				now = now.Add(r.every)
				bytes += int64(1e6 * r.every.Seconds())
				r.sample(now, bytes, true)
			}
			if at, more := r.due(); !more || at.Sub(now) != want[i] {
				t.Errorf("with a round trip of %v: %d: %v, %v", round, i, at.Sub(now), more)
			}
		}
	}
}

// TestRampAtTheEnd: the rate falls with the number of requests when there is nothing left
// to ask for, which is not the path's.
func TestRampAtTheEnd(t *testing.T) {
	now, bytes := time.Unix(1, 0), int64(0)
	r := newRamp(now, 4, 32, 100*time.Millisecond)
	for i := range 100 {
		now = now.Add(r.every)
		rate := 10e6
		if i > 10 {
			rate = 3e6
		}
		bytes += int64(rate * r.every.Seconds())
		r.sample(now, bytes, i <= 10)
	}
	if r.limit != 6 {
		t.Errorf("%d allowed", r.limit)
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
		most   int
		rtt    time.Duration
		rate   float64 // bytes per second
		each   float64 // of one connection, 0 without a limit
		loss   float64 // of a packet
		scheme string
		longer time.Duration // of a hundred
		opened int           // connections at most, 0 for any number
	}{
		{"50 Mbit/s, 600 ms", 8, 600 * time.Millisecond, 50 * mbit, 0, 0, "http", 5, 0},
		{"1 Gbit/s, 200 ms", 8, 200 * time.Millisecond, 1000 * mbit, 0, 0, "http", 5, 0},
		{"300 Mbit/s, 200 ms", 8, 200 * time.Millisecond, 300 * mbit, 0, 0, "http", 4, 0},
		{"300 Mbit/s, 200 ms", 16, 200 * time.Millisecond, 300 * mbit, 0, 0, "http", 5, 0},
		{"300 Mbit/s, 200 ms", 32, 200 * time.Millisecond, 300 * mbit, 0, 0, "http", 6, 0},
		{"300 Mbit/s, 100 ms", 8, 100 * time.Millisecond, 300 * mbit, 0, 0, "http", 2, 0},
		{"300 Mbit/s, 100 ms", 16, 100 * time.Millisecond, 300 * mbit, 0, 0, "http", 3, 0},
		{"300 Mbit/s, 100 ms", 32, 100 * time.Millisecond, 300 * mbit, 0, 0, "http", 5, 0},
		{"300 Mbit/s, 20 ms", 8, 20 * time.Millisecond, 300 * mbit, 0, 0, "http", 2, 0},
		{"300 Mbit/s, 20 ms", 32, 20 * time.Millisecond, 300 * mbit, 0, 0, "http", 3, 24},
		{"300 Mbit/s, 10 ms", 8, 10 * time.Millisecond, 300 * mbit, 0, 0, "http", 2, 0},
		{"300 Mbit/s, 10 ms", 32, 10 * time.Millisecond, 300 * mbit, 0, 0, "http", 2, 12},
		{"300 Mbit/s, 200 ms, loss of 1 %", 8, 200 * time.Millisecond, 300 * mbit, 0, 0.01, "http", 5, 0},
		{"300 Mbit/s, 100 ms, loss of 1 %", 8, 100 * time.Millisecond, 300 * mbit, 0, 0.01, "http", 5, 0},
		{"300 Mbit/s, 100 ms, loss of 1 %", 32, 100 * time.Millisecond, 300 * mbit, 0, 0.01, "http", 8, 0},
		{"300 Mbit/s, 20 ms, loss of 1 %", 8, 20 * time.Millisecond, 300 * mbit, 0, 0.01, "http", 5, 0},
		{"300 Mbit/s, 20 ms, loss of 1 %", 16, 20 * time.Millisecond, 300 * mbit, 0, 0.01, "http", 8, 0},
		{"300 Mbit/s, 20 ms, loss of 1 %", 32, 20 * time.Millisecond, 300 * mbit, 0, 0.01, "http", 9, 0},
		{"300 Mbit/s, 10 ms, loss of 1 %", 8, 10 * time.Millisecond, 300 * mbit, 0, 0.01, "http", 5, 0},
		{"300 Mbit/s, 10 ms, loss of 1 %", 16, 10 * time.Millisecond, 300 * mbit, 0, 0.01, "http", 9, 0},
		{"300 Mbit/s, 10 ms, loss of 1 %", 32, 10 * time.Millisecond, 300 * mbit, 0, 0.01, "http", 9, 0},
		// The whole rate from the start; what differs is when the last requests end.
		{"300 Mbit/s, 5 ms, loss of 1 %", 16, 5 * time.Millisecond, 300 * mbit, 0, 0.01, "http", 11, 0},
		{"20 Mbit/s a connection", 8, 10 * time.Millisecond, 300 * mbit, 20 * mbit, 0, "http", 5, 0},
		{"300 Mbit/s, 100 ms over UDT", 8, 100 * time.Millisecond, 300 * mbit, 0, 0, "udt", 1, 0},
		{"100 Mbit/s, 1 ms", 8, time.Millisecond, 100 * mbit, 0, 0, "http", 1, 6},
		{"100 Mbit/s, 1 ms", 32, time.Millisecond, 100 * mbit, 0, 0, "http", 1, 6},
		{"100 Mbit/s, 1 ms, loss of 1 %", 32, time.Millisecond, 100 * mbit, 0, 0.01, "http", 2, 6},
		{"100 Mbit/s, 1 ms over UDT", 8, time.Millisecond, 100 * mbit, 0, 0, "udt", 1, 3},
		{"100 Mbit/s, 1 ms over UDT", 32, time.Millisecond, 100 * mbit, 0, 0, "udt", 1, 3},
	} {
		seeds := 1
		if tt.loss > 0 {
			seeds = 4
		}
		if tt.loss > 0 && tt.most > 8 {
			seeds = 8
		}
		var took [2]time.Duration
		var conns [2]int
		for i, ramp := range []bool{false, true} {
			for seed := range seeds {
				synctest.Test(t, func(t *testing.T) {
					p := &modelPath{f: f, rtt: tt.rtt, rate: tt.rate, each: tt.each, shared: tt.scheme == "udt", loss: tt.loss, seed: uint64(seed)}
					r := pathRig(t, tt.scheme+"://h", map[string]*modelPath{"h": p})
					r.opts.Connections, r.opts.Ramp = tt.most, ramp
					res := r.must("x", f.data)
					took[i] += res.Elapsed / time.Duration(seeds)
					conns[i] = max(conns[i], res.Connections)
				})
			}
		}
		name := fmt.Sprintf("%s, of %d", tt.name, tt.most)
		t.Logf("%s: %v with %d connections, ramping up to %d %v: %+.1f %%", name, took[0], conns[0], conns[1], took[1],
			100*(took[1].Seconds()/took[0].Seconds()-1))
		if took[1] > took[0]*(100+tt.longer)/100 {
			t.Errorf("%s: takes %v, and %v with all connections at once", name, took[1], took[0])
		}
		if tt.opened > 0 && conns[1] > tt.opened {
			t.Errorf("%s: opened %d connections", name, conns[1])
		}
	}
}

// TestRampAdds: where a server limits each connection they are added step by step, at
// rates that rise, up to as many as there may be.
func TestRampAdds(t *testing.T) {
	const mbit = 1e6 / 8
	f := &file{data: randomData(32*mib, 71), etag: `"a"`}
	for _, tt := range []struct {
		most int
		ramp bool
		want []int
	}{{8, true, []int{6, 8}}, {20, true, []int{6, 12, 20}}, {8, false, nil}} {
		synctest.Test(t, func(t *testing.T) {
			p := &modelPath{f: f, rtt: 100 * time.Millisecond, rate: 300 * mbit, each: 10 * mbit}
			r := pathRig(t, "http://h", map[string]*modelPath{"h": p})
			r.opts.Connections, r.opts.Ramp = tt.most, tt.ramp
			res := r.must("x", f.data)
			var added []int
			for _, e := range r.events {
				if e.Kind == EventRamp && e.Decision == DecisionAdded {
					added = append(added, e.Connections)
					if e.RateNow <= e.RateBefore {
						t.Errorf("of %d: %d at %.0f bytes per second, after %.0f", tt.most, e.Connections, e.RateNow, e.RateBefore)
					}
				}
			}
			if !slices.Equal(added, tt.want) || res.Connections != tt.most {
				t.Errorf("of %d: %v connections allowed, %d opened", tt.most, added, res.Connections)
			}
		})
	}
}

// TestRampShares: the requests that come later find as much left as the earlier ones have
// got, the slot of the first request included. So nobody has to take it from another, which
// over TCP costs that one its connection.
func TestRampShares(t *testing.T) {
	const mbit = 1e6 / 8
	f := &file{data: randomData(64*mib, 72), etag: `"a"`}
	for _, ramp := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := pathRig(t, "http://h", map[string]*modelPath{"h": {f: f, rtt: 100 * time.Millisecond, rate: 300 * mbit}})
			r.opts.Connections, r.opts.Ramp = 8, ramp
			if res := r.must("x", f.data); res.Connections != 8 || r.count(EventSteal) > 0 || res.BytesHedged > 0 {
				t.Errorf("ramping up %v: %d connections, %d thefts, %d bytes hedged", ramp, res.Connections, r.count(EventSteal), res.BytesHedged)
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
