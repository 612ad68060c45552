package segment

import (
	"math"
	"time"
)

// Steal opens a segment for w from the back of the open segment that will take
// longest to finish, among those that have at least minBytes unclaimed and will
// take at least minTime. w takes half of it, or, where mine, its own speed, is known,
// so much that both end at the same time. The cut falls on that border of the alignment
// beside it with which they end earlier, and the victim keeps what it has claimed. Nothing is stolen that
// does not end earlier by half of minTime.
//
// progress tells the speed of a segment in bytes per second, and the first byte that is
// not yet written, which may be more than has been told to Advance. A speed of 0 or
// less means that nothing is known and counts as slower than any known speed: a segment
// that does not flow is the first to be relieved.
//
// ok is false when no segment is worth stealing from.
func (p *Plan) Steal(w Worker, mine float64, minBytes int64, minTime time.Duration, progress func(Segment) (speed float64, next int64)) (stolen Segment, victim SegmentID, ok bool) {
	var (
		best    *Segment
		bestCut Range
		longest float64 // seconds
		most    int64   // remaining of best
	)
	for _, open := range p.open {
		at := *open
		s := &at
		speed, next := progress(at)
		s.Next = max(s.Next, min(next, s.Claimed))
		cut := p.back(s, mine, speed)
		if s.Worker == w || cut.Empty() || s.End-s.Claimed < minBytes || p.Excluded(w, cut) {
			continue
		}
		left := math.Inf(1)
		if speed > 0 {
			left = float64(s.Remaining()) / speed
		}
		if left < minTime.Seconds() || left-after(s, cut, mine, speed) < minTime.Seconds()/2 {
			continue
		}
		// Among equals the one with more bytes left gains more.
		if best == nil || left > longest || left == longest && s.Remaining() > most {
			best, bestCut, longest, most = open, cut, left, s.Remaining()
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

// after returns how long both take for s when a thief has taken cut of it, in seconds.
// One whose speed is not known is as fast as the victim.
func after(s *Segment, cut Range, mine, its float64) float64 {
	if its <= 0 {
		return 0
	}
	if mine <= 0 {
		mine = its
	}
	return max(float64(cut.Start-s.Next)/its, float64(cut.Len())/mine)
}

// back returns what a thief may take of s: from one of the borders beside the point
// where both would meet, nothing that is claimed, and never all of it.
func (p *Plan) back(s *Segment, mine, its float64) Range {
	keeps := s.Remaining() / 2
	if mine > 0 && its > 0 {
		keeps = int64(float64(s.Remaining()) * its / (mine + its))
	}
	least := p.alignUp(max(s.Claimed, s.Next+1))
	meet := s.Next + keeps
	above := Range{max(p.alignUp(meet), least), s.End}
	below := Range{max(meet-meet%p.align, least), s.End}
	if after(s, below, mine, its) < after(s, above, mine, its) {
		return below
	}
	return above
}
