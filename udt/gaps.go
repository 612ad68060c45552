package udt

import (
	"slices"
	"time"
)

// gapList is the receiver's record of missing packets: sorted, disjoint ranges
// below the highest number received, each with the time of its next report.
// UDT 4.11 reports a gap once; a lost report then costs its sender a timeout
// of 300 ms or more, so we repeat reports while a hole stays open.
type gapList struct {
	gaps []gap
	// nextDue is not later than the earliest gap.due, so that a check which
	// finds nothing to do costs one comparison. Zero: nothing to report.
	nextDue time.Duration
}

type gap struct {
	seqRange
	since    time.Duration // when it was seen
	due      time.Duration // when to report it (again)
	interval time.Duration // to the report after that; 0 before the first
}

func (l *gapList) empty() bool { return len(l.gaps) == 0 }

// open records that r is missing as of now and has to be reported after delay.
// r lies after every gap known.
func (l *gapList) open(r seqRange, now, delay time.Duration) {
	l.gaps = append(l.gaps, gap{seqRange: r, since: now, due: now + delay})
	l.schedule(now + delay)
}

func (l *gapList) schedule(due time.Duration) {
	if l.nextDue == 0 || due < l.nextDue {
		l.nextDue = due
	}
}

// fill removes s and returns the gap that it was missing in, as it was before.
func (l *gapList) fill(s seqNo) (was gap, missing bool) {
	i, _ := slices.BinarySearchFunc(l.gaps, s, func(g gap, s seqNo) int {
		if s.less(g.end) {
			return 1
		}
		return -1
	})
	if i == len(l.gaps) || s.less(l.gaps[i].start) {
		return gap{}, false
	}
	g := &l.gaps[i]
	was = *g
	switch {
	case g.len() == 1:
		l.gaps = slices.Delete(l.gaps, i, i+1)
	case s == g.start:
		g.start = s.add(1)
	case s == g.end.add(-1):
		g.end = s
	default:
		rest := *g
		rest.start = s.add(1)
		g.end = s
		l.gaps = slices.Insert(l.gaps, i+1, rest)
	}
	return was, true
}

// appendDue appends the loss report entries of all gaps that are due, at most
// maxWords of them, and schedules their repetition: first after rto, then
// growing by half up to 300 ms, the time after which the C++ sender would have
// helped itself.
func (l *gapList) appendDue(words []uint32, now, rto time.Duration, maxWords int) []uint32 {
	if l.nextDue == 0 || now < l.nextDue {
		return words
	}
	l.nextDue = 0
	for i := range l.gaps {
		g := &l.gaps[i]
		if g.due <= now && len(words)+2 <= maxWords {
			words = appendLoss(words, g.seqRange)
			switch {
			case g.interval == 0:
				g.interval = rto
			default:
				g.interval = max(rto, min(g.interval*3/2, maxNAKInterval))
			}
			g.due = now + g.interval
		}
		l.schedule(g.due)
	}
	return words
}

const maxNAKInterval = 300 * time.Millisecond

// reported tells whether a loss report named the gap.
func (g gap) reported() bool { return g.interval != 0 }
