package segment

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSetAgainstMap compares a set with a plain array of flags.
func TestSetAgainstMap(t *testing.T) {
	const size = 64
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var s Set
		var want [size]bool
		for range 60 {
			a, b := rng.Int64N(size+1), rng.Int64N(size+1)
			r := Range{min(a, b), max(a, b)}
			add := rng.IntN(2) == 0
			if add {
				s.Add(r)
			} else {
				s.Remove(r)
			}
			for i := r.Start; i < r.End; i++ {
				want[i] = add
			}
			checkSet(t, &s, want[:])
			if t.Failed() {
				t.Fatalf("seed %d, after %v add=%v: %v", seed, r, add, s.ranges)
			}
		}
	}
}

func checkSet(t *testing.T, s *Set, want []bool) {
	t.Helper()
	got := make([]bool, len(want))
	var n int64
	last := int64(-1)
	for r := range s.All() {
		if r.Start <= last || r.Empty() {
			t.Errorf("range %v is empty, out of order, or touches the one before", r)
		}
		last = r.End
		n += r.Len()
		for i := r.Start; i < r.End; i++ {
			got[i] = true
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("bytes differ:\ngot  %v\nwant %v", got, want)
	}
	if n != s.Bytes() {
		t.Errorf("Bytes() = %d, ranges hold %d", s.Bytes(), n)
	}
	window := Range{5, int64(len(want)) - 5}
	inside := make([]int, len(want))
	for r := range s.Within(window) {
		for i := r.Start; i < r.End; i++ {
			inside[i]++
		}
	}
	for r := range s.Gaps(window) {
		for i := r.Start; i < r.End; i++ {
			inside[i] += 10
		}
	}
	all := true
	for i := window.Start; i < window.End; i++ {
		all = all && want[i]
		if expect := map[bool]int{true: 1, false: 10}[want[i]]; inside[i] != expect {
			t.Errorf("byte %d: Within and Gaps report %d, want %d", i, inside[i], expect)
		}
	}
	if s.Contains(window) != all {
		t.Errorf("Contains = %v, want %v", s.Contains(window), all)
	}
}

func TestSetCloneIsIndependent(t *testing.T) {
	var a Set
	a.Add(Range{0, 10})
	b := a.Clone()
	b.Remove(Range{0, 5})
	if a.Bytes() != 10 || b.Bytes() != 5 {
		t.Errorf("a = %v, b = %v", a.ranges, b.ranges)
	}
}
