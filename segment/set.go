package segment

import (
	"fmt"
	"iter"
	"slices"
	"sort"
)

// A Range is the half-open byte range [Start, End).
type Range struct {
	Start, End int64 // bytes from the start of the file
}

// Len returns the number of bytes in r, 0 for an empty or inverted range.
func (r Range) Len() int64 { return max(r.End-r.Start, 0) }

// Empty reports whether r holds no byte.
func (r Range) Empty() bool { return r.End <= r.Start }

// Intersect returns the bytes that are in both ranges.
func (r Range) Intersect(o Range) Range {
	return Range{max(r.Start, o.Start), min(r.End, o.End)}
}

// String formats r as "[start,end)".
func (r Range) String() string { return fmt.Sprintf("[%d,%d)", r.Start, r.End) }

// A Set is a set of bytes, kept as ranges that are sorted, disjoint and not
// adjacent. The zero value is the empty set. Sets do not share memory after
// [Set.Clone]; a plain copy does.
type Set struct {
	ranges []Range
	bytes  int64 // sum of the lengths of ranges
}

// Add puts the bytes of r into the set.
func (s *Set) Add(r Range) {
	if r.Empty() {
		return
	}
	// [i, j) are the ranges that r overlaps or touches.
	i := sort.Search(len(s.ranges), func(k int) bool { return s.ranges[k].End >= r.Start })
	j := i
	for j < len(s.ranges) && s.ranges[j].Start <= r.End {
		r.Start = min(r.Start, s.ranges[j].Start)
		r.End = max(r.End, s.ranges[j].End)
		s.bytes -= s.ranges[j].Len()
		j++
	}
	s.bytes += r.Len()
	s.ranges = slices.Replace(s.ranges, i, j, r)
}

// Remove takes the bytes of r out of the set.
func (s *Set) Remove(r Range) {
	if r.Empty() {
		return
	}
	i := sort.Search(len(s.ranges), func(k int) bool { return s.ranges[k].End > r.Start })
	j := i
	var rest [2]Range // what stays of the first and the last range touched
	n := 0
	for j < len(s.ranges) && s.ranges[j].Start < r.End {
		t := s.ranges[j]
		s.bytes -= t.Len()
		if t.Start < r.Start {
			rest[n] = Range{t.Start, r.Start}
			n++
		}
		if t.End > r.End {
			rest[n] = Range{r.End, t.End}
			n++
		}
		j++
	}
	for _, t := range rest[:n] {
		s.bytes += t.Len()
	}
	s.ranges = slices.Replace(s.ranges, i, j, rest[:n]...)
}

// Contains reports whether every byte of r is in the set.
func (s *Set) Contains(r Range) bool {
	if r.Empty() {
		return true
	}
	i := sort.Search(len(s.ranges), func(k int) bool { return s.ranges[k].End > r.Start })
	return i < len(s.ranges) && s.ranges[i].Start <= r.Start && r.End <= s.ranges[i].End
}

// Bytes returns the number of bytes in the set.
func (s *Set) Bytes() int64 { return s.bytes }

// All yields the ranges of the set in ascending order. The set must not change
// meanwhile.
func (s *Set) All() iter.Seq[Range] { return slices.Values(s.ranges) }

// Gaps yields, in ascending order, the ranges within r that are not in the set.
// The set must not change meanwhile.
func (s *Set) Gaps(r Range) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		at := r.Start
		i := sort.Search(len(s.ranges), func(k int) bool { return s.ranges[k].End > r.Start })
		for ; i < len(s.ranges) && s.ranges[i].Start < r.End; i++ {
			if at < s.ranges[i].Start && !yield(Range{at, s.ranges[i].Start}) {
				return
			}
			at = s.ranges[i].End
		}
		if at < r.End {
			yield(Range{at, r.End})
		}
	}
}

// Within yields, in ascending order, the parts of r that are in the set. The
// set must not change meanwhile.
func (s *Set) Within(r Range) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		i := sort.Search(len(s.ranges), func(k int) bool { return s.ranges[k].End > r.Start })
		for ; i < len(s.ranges) && s.ranges[i].Start < r.End; i++ {
			if !yield(s.ranges[i].Intersect(r)) {
				return
			}
		}
	}
}

// Clone returns a copy that shares no memory with s.
func (s *Set) Clone() Set { return Set{slices.Clone(s.ranges), s.bytes} }
