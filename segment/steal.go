package segment

import (
	"math"
	"time"
)

// Steal opens a segment for w from the back of the open segment that will take
// longest to finish, among those that have at least minBytes unclaimed and will
// take at least minTime. w takes half of it, or, where mine, its own speed, and that
// of the victim are known, so much that both end at the same time, if that saves at
// least half of minTime. The cut falls on
// a border of the alignment, so it is larger or smaller by less than one alignment,
// and the victim keeps what it has claimed.
//
// rate tells the speed of a segment in bytes per second. 0 or less means that
// nothing is known and counts as slower than any known speed: a segment that
// does not flow is the first to be relieved.
//
// ok is false when no segment is worth stealing from.
func (p *Plan) Steal(w Worker, mine float64, minBytes int64, minTime time.Duration, rate func(Segment) float64) (stolen Segment, victim SegmentID, ok bool) {
	var (
		best    *Segment
		bestCut Range
		longest float64 // seconds
	)
	for _, s := range p.open {
		speed := rate(*s)
		cut := p.back(s, mine, speed)
		if s.Worker == w || cut.Empty() || s.End-s.Claimed < minBytes || p.Excluded(w, cut) {
			continue
		}
		left := math.Inf(1)
		if speed > 0 {
			left = float64(s.Remaining()) / speed
		}
		if left < minTime.Seconds() || mine > 0 && speed > 0 && left*mine/(mine+speed) < minTime.Seconds()/2 {
			continue
		}
		// Among equals the one with more bytes left gains more.
		if best == nil || left > longest || left == longest && s.Remaining() > best.Remaining() {
			best, bestCut, longest = s, cut, left
		}
	}
	if best == nil {
		return Segment{}, 0, false
	}
	best.End = bestCut.Start
	victim = best.ID
	p.todo.Add(bestCut)
	return p.openSegment(w, bestCut), victim, true
}

// back returns what a thief may take of s: from the first border at or above the
// point where both would meet, nothing that is claimed, and never all of it.
func (p *Plan) back(s *Segment, mine, its float64) Range {
	keeps := s.Remaining() / 2
	if mine > 0 && its > 0 {
		keeps = int64(float64(s.Remaining()) * its / (mine + its))
	}
	return Range{p.alignUp(max(s.Next+keeps, s.Claimed, s.Next+1)), s.End}
}
