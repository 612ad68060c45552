package main

import (
	"slices"
	"testing"
	"time"
)

// However late a look comes, each rate is that of its interval, and a flow that never sends
// faster than the link is never said to.
func TestLateLooks(t *testing.T) {
	const perSecond = 8000 // bytes, by either flow while it runs
	const late = time.Duration(2 * shareInterval)
	flow := func(at, delay time.Duration) int64 { return int64(max(0, at-delay).Seconds() * perSecond) }
	for name, looks := range map[string][]time.Duration{
		"in time": {250, 500, 750, 1000, 1250, 1500},
		"late":    {260, 749, 751, 1240, 1499, 1500},
		"few":     {500, 1400, 1500},
		"twice":   {250, 250, 500, 1500, 1500},
	} {
		m := newShareMeter([]contender{{name: "a"}, {name: "b"}}, []time.Duration{0, late})
		for _, ms := range looks {
			at := ms * time.Millisecond
			m.look(at, []int64{flow(at, 0), flow(at, late)})
		}
		for i, want := range [][]float64{slices.Repeat([]float64{8 * perSecond}, 6), slices.Repeat([]float64{8 * perSecond}, 4)} {
			got := m.shares[i].Rates
			if len(got) != len(want) {
				t.Errorf("%s: flow %d has the rates %v, want %v", name, i, got, want)
				continue
			}
			for k := range got {
				if !near(got[k], want[k]) {
					t.Errorf("%s: flow %d has the rates %v, want %v", name, i, got, want)
					break
				}
			}
		}
	}
}

func TestPairs(t *testing.T) {
	for _, tt := range []struct {
		o    options
		want int
	}{
		{options{}, len(sharing)},
		{options{reps: 1, contenders: []string{"chunkget-udt"}}, len(sharing)},
		{options{contenders: []string{"chunkget-udt"}}, 2},
		{options{contenders: []string{"chunkget-udt", "curl-bbr"}}, 5},
		{options{contenders: []string{"aria2-bbr"}}, 0},
	} {
		if got := tt.o.pairs(); len(got) != tt.want {
			t.Errorf("reps %d, contenders %q: %d pairs, want %d", tt.o.reps, tt.o.contenders, len(got), tt.want)
		}
	}
}
