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
// packets may come with one time stamp, out of one system call or joined by the
// kernel, so the speed is packets over busy time. A C++ sender is told the speed
// within bursts, if that is higher: it goes on with this speed at the end of its slow
// start, and is slower for many seconds if that is what slow start has reached. The capacity comes from probe
// pairs whose packets have a time each, and where the kernel joins packets,
// from the time that one run takes to the next.
type arrivalEstimator struct {
	last time.Duration // latest arrival

	// The current measurement: packets that came in busy time.
	busy    time.Duration
	packets int
	gap     time.Duration // mean gap between packets, or between groups with one time
	speed   float64       // packets/s, smoothed; 0 before the first measurement

	pairFirst time.Duration // arrival of the first half of a probe pair, 0 = none
	pairSeq   seqNo
	pairs     [pairWindow]time.Duration // ring of intervals between packets back to back
	pairCount int

	end    time.Duration // latest arrival of a packet with a time of its own, or of its run
	gaps   [gapWindow]time.Duration
	gapped int // gaps so far, of which the latest are in the ring

	train     int           // packets joined by the kernel at the time of the latest arrival
	trains    int           // since the latest interval entered pairs
	trainBest time.Duration // shortest of those, per packet
}

// arrivalTime says how true the arrival time of a packet is.
type arrivalTime int

const (
	ownTime   arrivalTime = iota // its own
	batchTime                    // that of an earlier packet which was read with it
	trainTime                    // that of the run which the kernel made of it and others
)

const (
	// A gap that is longer than shortGap and eight times the mean is silence of
	// the sender, who waits for something, and does not count as busy time.
	shortGap   = time.Millisecond
	gapOutlier = 8
	// maxGap bounds what one gap adds to the mean.
	maxGap = 100 * time.Millisecond
	// speedPeriod of busy time makes one measurement, UDT's SYN.
	speedPeriod = 10 * time.Millisecond

	// gapWindow is the number of gaps that burstRate looks at, and gapFactor by how
	// much those that count may differ from the median: the C++ library's figures.
	gapWindow = 16
	gapFactor = 8

	pairWindow    = 16
	trainsPerPair = 4
	// A packet whose number is divisible by probeModulus and its successor are
	// sent back to back.
	probeModulus = 16
)

// onPacket takes the arrival of one data packet at the given time.
func (e *arrivalEstimator) onPacket(s seqNo, at time.Duration, is arrivalTime) {
	at = max(at, e.last) // two cores may have stamped them
	if gap := at - e.last; e.last != 0 {
		if gap <= shortGap+gapOutlier*e.gap {
			e.busy += gap
			e.packets++
			if gap > 0 && e.train > 1 {
				e.addTrain(gap / time.Duration(e.train))
			}
		}
		if gap > 0 {
			e.gap += (min(gap, maxGap) - e.gap) / 16
		}
	}
	if at > e.last {
		e.train = 0
	}
	if is == trainTime {
		e.train++
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
	case is == ownTime && s%probeModulus == 0:
		e.pairFirst, e.pairSeq = at, s
		return
	case is == ownTime && s%probeModulus == 1 && e.pairFirst != 0 && s == e.pairSeq.add(1):
		if d := at - e.pairFirst; d > 0 {
			e.addPair(d)
		}
	}
	e.pairFirst = 0
}

// onRun takes n datagrams that came from at on in the time spread, evenly as far as
// is known.
func (e *arrivalEstimator) onRun(at, spread time.Duration, n int) {
	add := func(gap time.Duration) {
		e.gaps[e.gapped%gapWindow] = gap
		e.gapped++
	}
	if e.end != 0 {
		add(max(at-e.end, 0))
	}
	for range min(n-1, gapWindow) {
		add(spread / time.Duration(n-1))
	}
	e.end = at + spread
}

// burstRate returns the speed in packets/s at which packets come while they come one
// right after the other, as the C++ library reports it: the mean of those of the
// latest gaps that are near their median. 0 means that there is no such speed.
func (e *arrivalEstimator) burstRate() uint32 {
	if e.gapped < gapWindow {
		return 0
	}
	sorted := e.gaps
	slices.Sort(sorted[:])
	median := sorted[gapWindow/2]
	sum, n := time.Duration(0), 0
	for _, g := range sorted {
		if g < median*gapFactor && g > median/gapFactor {
			sum += g
			n++
		}
	}
	if n <= gapWindow/2 || sum == 0 {
		return 0
	}
	return wireRate(float64(n) / sum.Seconds())
}

func (e *arrivalEstimator) addPair(d time.Duration) {
	e.pairs[e.pairCount%pairWindow] = max(d, 1)
	e.pairCount++
}

// addTrain takes the time per packet from one train to the next. The sender may
// have paused in between, so the shortest of a few counts.
func (e *arrivalEstimator) addTrain(d time.Duration) {
	if e.trains == 0 || d < e.trainBest {
		e.trainBest = d
	}
	if e.trains++; e.trains == trainsPerPair {
		e.addPair(e.trainBest)
		e.trains = 0
	}
}

// probes reports whether the arrival time of packet p is of interest: it is
// one half of a probe pair.
func probes(p []byte) bool {
	h, ok := parseHeader(p)
	return ok && !h.control() && h.seq%probeModulus <= 1
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
