package udt

import (
	"math"
	"slices"
	"time"
)

// arrivalEstimator measures what a receiver reports in its ACKs: the packet
// arrival speed and the capacity of the link.
//
// The C++ library takes both from gaps between single packets. Here several
// packets may come out of one system call with one time stamp, so the speed is
// packets over busy time, and only pairs that came in separate reads measure
// the capacity.
type arrivalEstimator struct {
	last time.Duration // latest arrival

	// The current measurement: packets that came in busy time.
	busy    time.Duration
	packets int
	gap     time.Duration // mean gap between packets
	speed   float64       // packets/s, smoothed; 0 before the first measurement

	pairFirst time.Duration // arrival of the first half of a probe pair, 0 = none
	pairSeq   seqNo
	pairs     [pairWindow]time.Duration // ring of pair intervals
	pairCount int
}

const (
	// A gap that is longer than shortGap and eight times the mean is silence of
	// the sender, who waits for something, and does not count as busy time.
	shortGap   = time.Millisecond
	gapOutlier = 8
	// maxGap bounds what one gap adds to the mean.
	maxGap = 100 * time.Millisecond
	// speedPeriod of busy time makes one measurement, UDT's SYN.
	speedPeriod = 10 * time.Millisecond

	pairWindow = 16
	// A packet whose number is divisible by probeModulus and its successor are
	// sent back to back.
	probeModulus = 16
)

// onPacket takes the arrival of one data packet at the given time.
func (e *arrivalEstimator) onPacket(s seqNo, at time.Duration) {
	if gap := at - e.last; e.last != 0 {
		if gap <= shortGap+gapOutlier*e.gap {
			e.busy += gap
			e.packets++
		}
		e.gap += (min(gap, maxGap) - e.gap) / 16
	}
	e.last = at
	if e.busy >= speedPeriod {
		sample := float64(e.packets) / e.busy.Seconds()
		if e.speed == 0 {
			e.speed = sample
		} else {
			e.speed += (sample - e.speed) / 8
		}
		e.busy, e.packets = 0, 0
	}

	switch {
	case s%probeModulus == 0:
		e.pairFirst, e.pairSeq = at, s
	case s%probeModulus == 1 && e.pairFirst != 0 && s == e.pairSeq.add(1):
		if d := at - e.pairFirst; d > 0 {
			e.pairs[e.pairCount%pairWindow] = d
			e.pairCount++
		}
		fallthrough
	default:
		e.pairFirst = 0
	}
}

// rate returns the arrival speed in packets/s, 0 if there is no estimate. It
// does not wait for a full measurement: a sender that leaves slow start early
// continues at the first speed that it hears of.
func (e *arrivalEstimator) rate() uint32 {
	if e.speed != 0 {
		return wireRate(e.speed)
	}
	if e.packets >= 2 && e.busy > 0 {
		return wireRate(float64(e.packets) / e.busy.Seconds())
	}
	return 0
}

// capacity returns the link's capacity in packets/s, 0 if unknown. It is never
// below the arrival speed.
func (e *arrivalEstimator) capacity() uint32 {
	n := min(e.pairCount, pairWindow)
	if n < pairWindow/2 {
		return e.rate()
	}
	var sorted [pairWindow]time.Duration
	copy(sorted[:], e.pairs[:n])
	slices.Sort(sorted[:n])
	return max(wireRate(1/sorted[n/2].Seconds()), e.rate())
}

func wireRate(r float64) uint32 { return uint32(min(math.Ceil(r), math.MaxInt32)) }
