package udt

import (
	"math/rand/v2"
	"testing"
	"time"
)

// arrive feeds n packets that start with number s; gap gives the distance of
// each from the one before. It returns the number and time that follow.
func (e *arrivalEstimator) arrive(s seqNo, at time.Duration, n int, gap func(s seqNo) time.Duration) (seqNo, time.Duration) {
	for range n {
		at += gap(s)
		e.onPacket(s, at, ownTime)
		s = s.add(1)
	}
	return s, at
}

func every(d time.Duration) func(seqNo) time.Duration {
	return func(seqNo) time.Duration { return d }
}

func TestArrivalSpeed(t *testing.T) {
	const us = time.Microsecond
	for _, tt := range []struct {
		name    string
		packets int
		gap     func(s seqNo) time.Duration
		want    float64 // packets/s
	}{
		{"20/s", 100, every(50 * time.Millisecond), 20},
		{"100/s", 100, every(10 * time.Millisecond), 100},
		{"5000/s", 1000, every(200 * us), 5000},
		{"a million/s", 50_000, every(us), 1e6},
		{"read in batches of 20", 2000, func(s seqNo) time.Duration {
			if s%20 == 0 {
				return 400 * us
			}
			return 0
		}, 50_000},
		{"sent in bursts of 20 with pauses", 5000, func(s seqNo) time.Duration {
			if s%200 == 0 {
				return 500 * time.Millisecond
			}
			return 100 * us
		}, 10_000},
		{"probe pairs back to back", 4000, func(s seqNo) time.Duration {
			if s%probeModulus == 1 {
				return 0
			}
			return 150 * us
		}, 16 / (15 * 150e-6)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e arrivalEstimator
			e.arrive(seqMask-50, time.Second, tt.packets, tt.gap)
			if got := float64(e.rate()); got < 0.95*tt.want || got > 1.05*tt.want {
				t.Errorf("%.0f packets/s, want %.0f", got, tt.want)
			}
		})
	}
}

// Silence of the sender is not slowness of the path, however long it is.
func TestArrivalSpeedAfterIdle(t *testing.T) {
	for _, idle := range []time.Duration{20 * time.Millisecond, time.Second, time.Hour} {
		var e arrivalEstimator
		s, at := e.arrive(0, time.Second, 1000, every(100*time.Microsecond))
		for range 10 {
			s, at = e.arrive(s, at+idle, 30, every(100*time.Microsecond))
			s, at = e.arrive(s, at+20*time.Millisecond, 30, every(100*time.Microsecond))
		}
		if got := e.rate(); got < 9_900 || got > 10_100 {
			t.Errorf("idle for %v: %d packets/s, want 10000", idle, got)
		}
	}
}

func TestArrivalFirstPackets(t *testing.T) {
	var e arrivalEstimator
	if e.rate() != 0 || e.capacity() != 0 {
		t.Error("an estimate of nothing")
	}
	e.onPacket(5, time.Second, ownTime)
	if e.rate() != 0 || e.capacity() != 0 {
		t.Error("an estimate of one packet")
	}
	e.onPacket(6, time.Second+100*time.Microsecond, ownTime)
	if e.rate() != 0 || e.capacity() != 0 {
		t.Error("an estimate of a single gap")
	}
	// A sender that leaves slow start at once needs the first figure soon.
	e.onPacket(7, time.Second+200*time.Microsecond, ownTime)
	if got := e.rate(); got != 10_000 {
		t.Errorf("%d packets/s after three packets, want 10000", got)
	}
}

func TestLinkCapacity(t *testing.T) {
	const us = time.Microsecond
	pairs := func(pair time.Duration) func(seqNo) time.Duration {
		return func(s seqNo) time.Duration {
			if s%probeModulus == 1 {
				return pair
			}
			return 500 * us
		}
	}
	speed := func(pair time.Duration) float64 { return 16 / (15*500*us + pair).Seconds() }
	for _, tt := range []struct {
		name    string
		packets int
		gap     func(s seqNo) time.Duration
		want    float64
	}{
		{"pairs 10 us apart", 1000, pairs(10 * us), 100_000},
		{"pairs 400 us apart", 1000, pairs(400 * us), 2500},
		{"pairs with one time stamp measure nothing", 1000, pairs(0), speed(0)},
		{"few pairs", 7 * probeModulus, pairs(10 * us), speed(10 * us)},
		{"never below the speed", 2000, func(s seqNo) time.Duration {
			if s%probeModulus == 1 {
				return 900 * us
			}
			return 50 * us
		}, 16 / (15*50*us + 900*us).Seconds()},
		{"the median, not the mean", 3000, func(s seqNo) time.Duration {
			switch {
			case s%(4*probeModulus) == 1:
				return 5 * time.Millisecond
			case s%(4*probeModulus) == 1+probeModulus:
				return us
			case s%probeModulus == 1:
				return 20 * us
			}
			return 200 * us
		}, 50_000},
		{"halves of different pairs are none", 3000, func(s seqNo) time.Duration { return 100 * us }, 10_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e arrivalEstimator
			e.arrive(0, time.Second, tt.packets, tt.gap)
			if got := float64(e.capacity()); got < 0.95*tt.want || got > 1.05*tt.want {
				t.Errorf("%.0f packets/s, want %.0f", got, tt.want)
			}
		})
	}
}

// A C++ sender hears the speed within bursts, also of packets that were read together.
func TestBurstRate(t *testing.T) {
	const us = time.Microsecond
	for _, tt := range []struct {
		name        string
		runs, each  int
		gap, pause  time.Duration // within a run, and from its end to the next
		least, most float64       // packets/s
	}{
		{"bursts of 20", 3, 20, 5 * us, time.Millisecond, 199e3, 201e3},
		{"one by one", 40, 1, 0, 100 * us, 9.9e3, 10.1e3},
		{"pairs", 20, 2, 5 * us, 7 * us, 140e3, 201e3},
		{"too few", 3, 4, 5 * us, 5 * us, 0, 0},
		{"at one time", 10, 8, 0, 0, 0, 0},
		{"nothing usual", 30, 2, us, time.Second, 0, 0},
	} {
		var e arrivalEstimator
		at := time.Second
		for range tt.runs {
			spread := time.Duration(tt.each-1) * tt.gap
			e.onRun(at, spread, tt.each)
			at += spread + tt.pause
		}
		if r := float64(e.burstRate()); r < tt.least || r > tt.most {
			t.Errorf("%s: %.0f packets/s, want %.0f to %.0f", tt.name, r, tt.least, tt.most)
		}
	}
}

// The first half of one probe pair and the second of another measure nothing,
// nor do two that something came between.
func TestLinkCapacityNeedsWholePairs(t *testing.T) {
	for name, order := range map[string][]seqNo{
		"second half missing": {0, 17},
		"something between":   {0, 2, 1},
		"second before first": {1, 0},
	} {
		var e arrivalEstimator
		at := time.Second
		for i := range seqNo(50) {
			for _, s := range order {
				at += 10 * time.Microsecond
				e.onPacket(s.add(int(64*i)), at, ownTime)
			}
		}
		if e.pairCount != 0 {
			t.Errorf("%s: %d pairs", name, e.pairCount)
		}
	}
}

// Whatever comes in, the figures make sense to a C++ peer: never negative,
// capacity not below speed, and there is a speed once packets came at
// different times.
func TestArrivalNeverGarbage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	gaps := []time.Duration{0, 1, time.Microsecond, time.Millisecond, 9 * time.Millisecond, time.Second, 24 * time.Hour}
	for run := range 200 {
		var e arrivalEstimator
		s, at := seqNo(r.Uint32()&seqMask), time.Second
		known := false
		for range 500 {
			at += gaps[r.IntN(len(gaps))] * time.Duration(r.Int32N(5))
			e.onPacket(s, at, ownTime)
			s = s.add(int(r.Int32N(4)) - 1)
			speed, capacity := e.rate(), e.capacity()
			if speed > seqMask || capacity > seqMask || capacity < speed {
				t.Fatalf("run %d: speed %d, capacity %d", run, speed, capacity)
			}
			if known && speed == 0 {
				t.Fatalf("run %d: the estimate is gone", run)
			}
			known = e.speed != 0
		}
	}
}

// What comes together has one time: the speed is true all the same, and the
// capacity is that of the pairs with times of their own, or of whole trains.
func TestArrivalTogether(t *testing.T) {
	const us = time.Microsecond
	for _, tt := range []struct {
		name            string
		is              func(s seqNo) arrivalTime
		gap             func(s seqNo) time.Duration
		speed, capacity float64 // packets/s
	}{
		{"read together, pairs alone", func(s seqNo) arrivalTime {
			if s%probeModulus <= 1 {
				return ownTime
			}
			return batchTime
		}, func(s seqNo) time.Duration {
			switch s % probeModulus {
			case 0:
				return 150 * us
			case 1:
				return 10 * us
			}
			return 0
		}, 100_000, 100_000},
		{"pairs cut by a read", func(s seqNo) arrivalTime {
			if s%probeModulus == 1 {
				return ownTime
			}
			return batchTime
		}, func(s seqNo) time.Duration {
			if s%probeModulus == 1 {
				return 160 * us
			}
			return 0
		}, 100_000, 100_000},
		{"the second half of a pair follows a read", func(s seqNo) arrivalTime {
			if s%probeModulus == 1 {
				return ownTime
			}
			return batchTime
		}, func(s seqNo) time.Duration {
			switch s % probeModulus {
			case 1:
				return 5 * us
			case 2:
				return 155 * us
			}
			return 0
		}, 100_000, 100_000},
		{"the second half of a pair is in a train", func(s seqNo) arrivalTime {
			if s%probeModulus == 0 {
				return ownTime
			}
			return trainTime
		}, func(s seqNo) time.Duration {
			switch s % probeModulus {
			case 0:
				return 155 * us
			case 1:
				return 5 * us
			}
			return 0
		}, 100_000, 100_000},
		{"trains of 40 in a row", func(seqNo) arrivalTime { return trainTime }, func(s seqNo) time.Duration {
			if s%40 == 0 {
				return 40 * us
			}
			return 0
		}, 1e6, 1e6},
		{"two trains of 40 at a time", func(seqNo) arrivalTime { return trainTime }, func(s seqNo) time.Duration {
			switch s % 80 {
			case 0:
				return 760 * us
			case 40:
				return 40 * us
			}
			return 0
		}, 100_000, 1e6},
		{"trains far apart", func(seqNo) arrivalTime { return trainTime }, func(s seqNo) time.Duration {
			if s%40 == 0 {
				return 4000 * us
			}
			return 0
		}, 10_000, 10_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e arrivalEstimator
			at := time.Second
			for s := range seqNo(20_000) {
				at += tt.gap(s)
				e.onPacket(s, at, tt.is(s))
			}
			if got := float64(e.rate()); got < 0.95*tt.speed || got > 1.05*tt.speed {
				t.Errorf("%.0f packets/s, want %.0f", got, tt.speed)
			}
			if got := float64(e.capacity()); got < 0.95*tt.capacity || got > 1.05*tt.capacity {
				t.Errorf("capacity of %.0f packets/s, want %.0f", got, tt.capacity)
			}
		})
	}
}
