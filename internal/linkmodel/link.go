package linkmodel

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Config describes one direction of a link. The zero value is ideal: no delay,
// no limit, no loss. Probabilities are in 0..1 and apply to each packet on its
// own.
type Config struct {
	// Delay is the propagation delay.
	Delay time.Duration

	// Jitter adds a uniformly distributed delay in [0, Jitter) to each packet.
	// It does not reorder: a packet never overtakes an earlier one.
	Jitter time.Duration

	// Rate is the rate of the bottleneck in bits per second; 0 means unlimited.
	Rate int64

	// Queue is the size in bytes of the drop-tail queue before the bottleneck,
	// the packet in transmission included; 0 means unlimited. An idle link
	// takes any packet.
	Queue int

	// Loss is the probability that a packet is lost, each independently.
	Loss float64

	// Burst loses packets in bursts, in addition to Loss.
	Burst Burst

	// Reorder delays packets so that later ones overtake them.
	Reorder Reorder
}

// Burst is a two-state Gilbert model: the link enters the bad state with
// probability Enter and leaves it with probability Leave, evaluated at each
// packet, and loses packets in the bad state with probability Loss (0 means 1).
// With Loss 1 the share of packets lost is Enter/(Enter+Leave) and the mean
// length of a burst 1/Leave packets.
type Burst struct{ Enter, Leave, Loss float64 }

// LossShare returns the share of packets that b loses in the long run.
func (b Burst) LossShare() float64 {
	if b.Enter == 0 {
		return 0
	}
	share := b.Enter / (b.Enter + b.Leave)
	if b.Loss > 0 {
		share *= b.Loss
	}
	return share
}

// Reorder holds a packet back by ExtraDelay with the given Probability, during
// which later packets may overtake it.
type Reorder struct {
	Probability float64
	ExtraDelay  time.Duration
}

// Validate reports a value that is out of its range.
func (c Config) Validate() error {
	for _, p := range []float64{c.Loss, c.Burst.Enter, c.Burst.Leave, c.Burst.Loss, c.Reorder.Probability} {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("probability %v is not in 0..1", p)
		}
	}
	if c.Delay < 0 || c.Jitter < 0 || c.Reorder.ExtraDelay < 0 || c.Rate < 0 || c.Queue < 0 {
		return fmt.Errorf("negative value in link configuration %+v", c)
	}
	return nil
}

// Link is the state of one direction.
type Link struct {
	cfg Config
	rng *rand.Rand

	bad         bool         // state of the Gilbert model
	busyUntil   time.Time    // when the bottleneck has sent all that is queued
	queue       FIFO[queued] // packets before or in the bottleneck
	queuedBytes int
	lastArrival time.Time // latest arrival of a packet that was not reordered
}

// queued is a packet as the queue remembers it.
type queued struct {
	departure time.Time
	size      int
}

// New returns an idle link. It shares rng with the caller.
func New(cfg Config, rng *rand.Rand) *Link { return &Link{cfg: cfg, rng: rng} }

// SetConfig changes the link for the packets sent from now on. What is queued
// or in flight keeps its times.
func (l *Link) SetConfig(cfg Config) { l.cfg = cfg }

// Serialise returns when the last bit of a packet of size bytes, sent now,
// leaves the bottleneck; not ok means that the queue has no room.
func (l *Link) Serialise(size int, now time.Time) (departure time.Time, ok bool) {
	for l.queue.Len() > 0 && !l.queue.Front().departure.After(now) {
		l.queuedBytes -= l.queue.Pop().size
	}
	if l.cfg.Rate == 0 {
		return now, true
	}
	if l.cfg.Queue > 0 && l.queuedBytes > 0 && l.queuedBytes+size > l.cfg.Queue {
		return time.Time{}, false
	}
	if l.busyUntil.Before(now) {
		l.busyUntil = now
	}
	l.busyUntil = l.busyUntil.Add(time.Duration(float64(size) * 8 / float64(l.cfg.Rate) * float64(time.Second)))
	l.queue.Push(queued{l.busyUntil, size})
	l.queuedBytes += size
	return l.busyUntil, true
}

// Lose decides whether the link loses the next packet.
func (l *Link) Lose() bool {
	lost := l.chance(l.cfg.Loss)
	if b := l.cfg.Burst; b.Enter > 0 {
		if l.bad {
			l.bad = !l.chance(b.Leave)
		} else {
			l.bad = l.chance(b.Enter)
		}
		if l.bad && (b.Loss == 0 || l.chance(b.Loss)) {
			lost = true
		}
	}
	return lost
}

// Propagate returns when a packet that leaves the bottleneck at the given time
// arrives. With extra > 0, or if the link reorders it, later packets may
// overtake it; all others arrive in the order of sending.
func (l *Link) Propagate(departure time.Time, extra time.Duration) (arrival time.Time, reordered bool) {
	arrival = departure.Add(l.cfg.Delay)
	if l.cfg.Jitter > 0 {
		arrival = arrival.Add(time.Duration(l.rng.Int64N(int64(l.cfg.Jitter))))
	}
	if arrival.Before(l.lastArrival) {
		arrival = l.lastArrival
	}
	if l.chance(l.cfg.Reorder.Probability) {
		extra += l.cfg.Reorder.ExtraDelay
	}
	if extra > 0 {
		return arrival.Add(extra), true
	}
	l.lastArrival = arrival
	return arrival, false
}

func (l *Link) chance(p float64) bool { return p > 0 && l.rng.Float64() < p }
