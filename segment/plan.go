package segment

import (
	"fmt"
	"iter"
	"slices"
)

// A Worker names one of those who fetch, usually one request at a time.
type Worker int

// A SegmentID names one open segment of a plan. It is never used again.
type SegmentID uint64

// A Segment is a stretch of the file that one worker has been handed.
//
//	Start ≤ Next ≤ Claimed ≤ End
//
// [Start, Next) is written, [Next, Claimed) is being written, and
// [Claimed, End) is still to be claimed and may be stolen.
type Segment struct {
	ID     SegmentID
	Worker Worker

	Start   int64 // first byte that was handed out
	Next    int64 // first byte that is not yet written
	Claimed int64 // end of what the worker may write
	End     int64 // end of the segment; moves down when it is stolen from
}

// Remaining returns the bytes of the segment that are not yet written.
func (s Segment) Remaining() int64 { return s.End - s.Next }

// Plan divides a file among workers. The zero value is not useful; see [New].
//
// Invariant: done, todo and the remaining ranges [Next, End) of the open
// segments are disjoint and together are [0, size).
type Plan struct {
	size  int64
	align int64

	limit int64 // end of what is handed out
	most  int64 // length of the longest segment

	done Set        // written
	todo Set        // nobody's
	open []*Segment // by ID, ascending

	excluded []exclusion
	lastID   SegmentID
}

// exclusion keeps one worker from one range, see [Plan.Exclude].
type exclusion struct {
	worker Worker
	r      Range
}

// New plans a file of size bytes of which done is already there. Segments are
// cut at multiples of align. It panics when size is negative, align is not
// positive, or done reaches beyond the file.
func New(size, align int64, done Set) *Plan {
	if size < 0 || align <= 0 {
		panic(fmt.Sprintf("BUG: segment.New(%d, %d)", size, align))
	}
	p := &Plan{size: size, align: align, limit: size, most: size, done: done.Clone()}
	if n := len(p.done.ranges); n > 0 && (p.done.ranges[0].Start < 0 || p.done.ranges[n-1].End > size) {
		panic(fmt.Sprintf("BUG: segment.New: done reaches beyond [0,%d)", size))
	}
	for g := range p.done.Gaps(Range{0, size}) {
		p.todo.Add(g)
	}
	return p
}

// Done returns the number of bytes that are written.
func (p *Plan) Done() int64 { return p.done.Bytes() }

// Unassigned returns the number of bytes that nobody has been handed.
func (p *Plan) Unassigned() int64 { return p.todo.Bytes() }

// Complete reports whether every byte is written.
func (p *Plan) Complete() bool { return p.done.Bytes() == p.size }

// Has reports whether every byte of r is written.
func (p *Plan) Has(r Range) bool { return p.done.Contains(r) }

// Missing yields each range that is not written, in ascending order. The plan
// must not change meanwhile.
func (p *Plan) Missing() iter.Seq[Range] { return p.done.Gaps(Range{0, p.size}) }

// Segment returns a copy of the open segment id.
func (p *Plan) Segment(id SegmentID) (Segment, bool) {
	if i, ok := p.find(id); ok {
		return *p.open[i], true
	}
	return Segment{}, false
}

// Bound keeps HandOut from bytes at end or beyond it, and from segments that are
// longer than most, rounded up to the alignment. What has been handed out stays.
func (p *Plan) Bound(end, most int64) { p.limit, p.most = end, most }

// HandOut opens a segment for w, from the first stretch that nobody has and
// that w is not excluded from. Its length is an even share of what is
// unassigned among workers (w and those who will ask next), rounded up to the
// alignment, and never crosses bytes that are done or owned.
func (p *Plan) HandOut(w Worker, workers int) (Segment, bool) {
	open := slices.Collect(p.todo.Within(Range{0, p.limit}))
	var bytes int64
	for _, r := range open {
		bytes += r.Len()
	}
	share := bytes / int64(max(workers, 1))
	if share*int64(max(workers, 1)) < bytes {
		share++
	}
	share = min(share, p.most)
	for _, r := range open {
		for f := range p.allowed(w, r) {
			// Cut at a border of the alignment, but never below one stretch.
			f.End = min(f.End, max(p.alignUp(f.Start+share), p.border(f.Start)))
			return p.openSegment(w, f), true
		}
	}
	return Segment{}, false
}

// HandOutRange opens a segment for w at r, whoever may be excluded. All of r
// must be unassigned.
func (p *Plan) HandOutRange(w Worker, r Range) (Segment, bool) {
	if r.Empty() || !p.todo.Contains(r) {
		return Segment{}, false
	}
	return p.openSegment(w, r), true
}

// Claim extends what the owner of id may write to the next border of the
// alignment, or to the end of the segment, and returns that stretch. It fails
// when the segment is not open or has nothing left to claim. What was claimed
// before must have been reported by [Plan.Advance].
func (p *Plan) Claim(id SegmentID) (Range, bool) {
	i, ok := p.find(id)
	if !ok {
		return Range{}, false
	}
	s := p.open[i]
	if s.Next != s.Claimed || s.Claimed == s.End {
		return Range{}, false
	}
	s.Claimed = min(p.border(s.Claimed), s.End)
	return Range{s.Next, s.Claimed}, true
}

// Advance records that the next n claimed bytes of id are written, and closes
// the segment when it was the last of them. It panics when the segment is not
// open or did not claim as much.
func (p *Plan) Advance(id SegmentID, n int64) {
	i, ok := p.find(id)
	if !ok || n < 0 || n > p.open[i].Claimed-p.open[i].Next {
		panic(fmt.Sprintf("BUG: segment: advance %d by %d", id, n))
	}
	s := p.open[i]
	p.done.Add(Range{s.Next, s.Next + n})
	s.Next += n
	if s.Next == s.End {
		p.open = slices.Delete(p.open, i, i+1)
	}
}

// Release closes a segment after a failure. What it had not written is
// unassigned again. Releasing a segment that is not open does nothing.
func (p *Plan) Release(id SegmentID) {
	i, ok := p.find(id)
	if !ok {
		return
	}
	s := p.open[i]
	p.open = slices.Delete(p.open, i, i+1)
	p.todo.Add(Range{s.Next, s.End})
}

// Invalidate makes written bytes of r unassigned again, because they turned
// out to be wrong. Bytes of r that are not written stay as they are.
func (p *Plan) Invalidate(r Range) {
	for _, t := range slices.Collect(p.done.Within(r)) {
		p.done.Remove(t)
		p.todo.Add(t)
	}
}

// Exclude keeps w from being handed, or from stealing, any byte of r.
// It does not touch a segment that w already has.
func (p *Plan) Exclude(w Worker, r Range) {
	e := exclusion{w, r}
	if !r.Empty() && !slices.Contains(p.excluded, e) {
		p.excluded = append(p.excluded, e)
	}
}

// Include lifts all exclusions that lie within r.
func (p *Plan) Include(r Range) {
	p.excluded = slices.DeleteFunc(p.excluded, func(e exclusion) bool {
		return r.Start <= e.r.Start && e.r.End <= r.End
	})
}

// Excluded reports whether w may not have some byte of r.
func (p *Plan) Excluded(w Worker, r Range) bool {
	for _, e := range p.excluded {
		if e.worker == w && !e.r.Intersect(r).Empty() {
			return true
		}
	}
	return false
}

// openSegment moves r from todo to a new segment of w.
func (p *Plan) openSegment(w Worker, r Range) Segment {
	p.todo.Remove(r)
	p.lastID++
	s := &Segment{ID: p.lastID, Worker: w, Start: r.Start, Next: r.Start, Claimed: r.Start, End: r.End}
	p.open = append(p.open, s)
	return *s
}

// allowed returns the parts of r that w is not excluded from.
func (p *Plan) allowed(w Worker, r Range) iter.Seq[Range] {
	var no Set
	for _, e := range p.excluded {
		if e.worker == w {
			no.Add(e.r)
		}
	}
	return no.Gaps(r)
}

func (p *Plan) find(id SegmentID) (int, bool) {
	return slices.BinarySearchFunc(p.open, id, func(s *Segment, id SegmentID) int {
		switch {
		case s.ID < id:
			return -1
		case s.ID > id:
			return 1
		}
		return 0
	})
}

// border returns the first multiple of the alignment above off, or the end of
// the file.
func (p *Plan) border(off int64) int64 {
	next := off - off%p.align
	if next > p.size-p.align {
		return p.size
	}
	return next + p.align
}

// alignUp returns the first multiple of the alignment at or above off, or the
// end of the file.
func (p *Plan) alignUp(off int64) int64 {
	if off >= p.size {
		return p.size
	}
	if off%p.align == 0 {
		return off
	}
	return p.border(off)
}
