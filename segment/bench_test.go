package segment

import "testing"

// BenchmarkPlan drives a whole download of 1 GiB in pieces of 1 MiB by eight
// workers of different speed, with thefts at the end.
func BenchmarkPlan(b *testing.B) {
	const size, align, workers = 1 << 30, 1 << 20, 8
	b.ReportAllocs()
	b.SetBytes(size)
	for b.Loop() {
		p := New(size, align, Set{})
		var have [workers]SegmentID
		for turn := 0; !p.Complete(); turn++ {
			w := turn % workers
			if turn/workers%(w+1) != 0 {
				continue // worker w runs at 1/(w+1) of the speed of the first
			}
			if _, ok := p.Segment(have[w]); !ok {
				s, ok := p.HandOut(Worker(w), workers-w)
				if !ok {
					s, _, ok = p.Steal(Worker(w), 0, 2*align, 0, func(s Segment) (float64, int64) { return 1 / float64(s.Worker+1), s.Next })
				}
				if !ok {
					continue
				}
				have[w] = s.ID
			}
			r, _ := p.Claim(have[w])
			p.Advance(have[w], r.Len())
		}
	}
}

// BenchmarkClaimAdvance is the cost of one piece.
func BenchmarkClaimAdvance(b *testing.B) {
	const align = 1 << 20
	b.ReportAllocs()
	b.SetBytes(align)
	p := New(1<<62, align, Set{})
	s, _ := p.HandOut(1, 1)
	for b.Loop() {
		r, _ := p.Claim(s.ID)
		p.Advance(s.ID, r.Len())
	}
}
