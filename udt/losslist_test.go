package udt

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// checkRanges reports what is wrong with ranges that are to be sorted,
// disjoint and the members of want. Only with merged ranges may none touch.
func checkRanges(ranges []seqRange, want map[seqNo]bool, merged bool) error {
	got := make(map[seqNo]bool)
	for i, r := range ranges {
		if r.len() <= 0 {
			return fmt.Errorf("empty range %v", r)
		}
		if i > 0 {
			if gap := r.start.sub(ranges[i-1].end); gap < 0 || merged && gap == 0 {
				return fmt.Errorf("ranges %v", ranges)
			}
		}
		for s := r.start; s != r.end; s = s.add(1) {
			got[s] = true
		}
	}
	if !maps.Equal(got, want) {
		return fmt.Errorf("ranges %v, want the %d members %v", ranges, len(want), slices.Sorted(maps.Keys(want)))
	}
	return nil
}

func TestLossListAgainstSet(t *testing.T) {
	for _, base := range []seqNo{0, 1000, seqMask - 100, 1<<30 - 100, 1<<31 - 1<<28} {
		r := rand.New(rand.NewPCG(uint64(base), 1))
		var l lossList
		set := make(map[seqNo]bool)
		for op := range 5000 {
			s := base.add(int(r.Int32N(200)))
			var did string
			switch r.Int32N(4) {
			case 0, 1:
				rg := seqRange{s, s.add(int(r.Int32N(12)))}
				did = fmt.Sprintf("add %v", rg)
				fresh := 0
				for s := rg.start; s != rg.end; s = s.add(1) {
					if !set[s] {
						fresh++
					}
					set[s] = true
				}
				if n := l.add(rg); n != fresh {
					t.Fatalf("base %d, op %d: %s returned %d, want %d", base, op, did, n, fresh)
				}
			case 2:
				s = base.add(int(r.Int32N(100)))
				did = fmt.Sprintf("remove before %d", s)
				l.removeBefore(s)
				maps.DeleteFunc(set, func(m seqNo, _ bool) bool { return m.less(s) })
			case 3:
				did = "pop"
				first, ok := l.first()
				if ok != (len(set) > 0) {
					t.Fatalf("base %d, op %d: first: %v, want %v", base, op, ok, len(set) > 0)
				}
				if ok {
					for m := range set {
						if m.less(first) {
							t.Fatalf("base %d, op %d: first is %d, not %d", base, op, first, m)
						}
					}
					l.pop()
					delete(set, first)
				}
			}
			if err := checkRanges(l.ranges, set, true); err != nil {
				t.Fatalf("base %d, op %d, %s: %v", base, op, did, err)
			}
			if l.count != len(set) || l.empty() != (len(set) == 0) {
				t.Fatalf("base %d, op %d, %s: count %d, want %d", base, op, did, l.count, len(set))
			}
		}
	}
}

// Nothing to add is no error: a range may have been clipped to nothing.
func TestLossListAddEmpty(t *testing.T) {
	var l lossList
	if n := l.add(seqRange{5, 5}) + l.add(seqRange{5, 3}); n != 0 || !l.empty() || len(l.ranges) != 0 {
		t.Errorf("added %d, list %v", n, l)
	}
}

func BenchmarkLossList(b *testing.B) {
	// A window of 16 Ki packets of which every fourth is lost, reported one by
	// one and sent again.
	const window = 16 << 10
	var l lossList
	isn := seqNo(seqMask - window/2)
	b.SetBytes(window * 1456)
	b.ReportAllocs()
	for b.Loop() {
		for i := 0; i < window; i += 4 {
			l.add(seqRange{isn.add(i), isn.add(i + 1)})
		}
		for !l.empty() {
			l.pop()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(window/4), "ns/loss")
}
