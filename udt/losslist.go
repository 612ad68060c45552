package udt

import "slices"

// lossList is a set of sequence numbers kept as sorted, disjoint, non-adjacent
// ranges. The sender keeps what it must send again in one. All members lie
// within one window, so that seqNo comparisons are a total order.
type lossList struct {
	ranges []seqRange
	count  int // members
}

func (l *lossList) empty() bool { return l.count == 0 }

// search returns the index of the first range that ends after s.
func (l *lossList) search(s seqNo) int {
	i, _ := slices.BinarySearchFunc(l.ranges, s, func(r seqRange, s seqNo) int {
		if s.less(r.end) {
			return 1
		}
		return -1
	})
	return i
}

// add puts r into the set and returns how many of its members are new.
func (l *lossList) add(r seqRange) int {
	if r.len() <= 0 {
		return 0
	}
	// [i, j) are the ranges that touch or overlap r.
	i := l.search(r.start)
	if i > 0 && l.ranges[i-1].end == r.start {
		i--
	}
	j, covered := i, 0
	merged := r
	for ; j < len(l.ranges) && !r.end.less(l.ranges[j].start); j++ {
		covered += l.ranges[j].len()
		if l.ranges[j].start.less(merged.start) {
			merged.start = l.ranges[j].start
		}
		if merged.end.less(l.ranges[j].end) {
			merged.end = l.ranges[j].end
		}
	}
	added := merged.len() - covered
	l.ranges = slices.Replace(l.ranges, i, j, merged)
	l.count += added
	return added
}

// removeBefore drops every member before s.
func (l *lossList) removeBefore(s seqNo) {
	i := l.search(s)
	for _, r := range l.ranges[:i] {
		l.count -= r.len()
	}
	l.ranges = slices.Delete(l.ranges, 0, i)
	if len(l.ranges) > 0 && l.ranges[0].start.less(s) {
		l.count -= s.sub(l.ranges[0].start)
		l.ranges[0].start = s
	}
}

// first returns the smallest member without removing it.
func (l *lossList) first() (seqNo, bool) {
	if len(l.ranges) == 0 {
		return 0, false
	}
	return l.ranges[0].start, true
}

// pop removes the smallest member.
func (l *lossList) pop() {
	r := &l.ranges[0]
	r.start = r.start.add(1)
	l.count--
	if r.start == r.end {
		l.ranges = l.ranges[1:]
	}
}
