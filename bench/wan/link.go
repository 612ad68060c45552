package wan

import (
	"fmt"
	"time"

	"github.com/chunkget/chunkget/internal/linkmodel"
)

// Burst is the two-state Gilbert model of losses in bursts; Reorder holds back
// single packets.
type (
	Burst   = linkmodel.Burst
	Reorder = linkmodel.Reorder
)

const (
	defaultMTU = 1500
	minMTU     = 576 // RFC 791: every host must be prepared to accept as much
	maxMTU     = 9000
	maxRate    = 100_000_000_000
	maxDelay   = 10 * time.Second

	// minQueue is the least number of full packets that a queue holds, lest a
	// short link have none.
	minQueue = 4

	maxGrain = 100 * time.Microsecond
)

// Link describes a link whose two directions are alike.
type Link struct {
	// Rate of the bottleneck in bit/s of IP packets, each way.
	Rate int64

	// RTT is the round trip time of a packet that meets no queue, half of it
	// each way, without the time that its own bits take at Rate.
	RTT time.Duration

	// Jitter lengthens the delay of each packet, each way, by a uniformly
	// distributed time in [0, Jitter). It does not reorder.
	Jitter time.Duration

	// Loss is the probability in 0..1 that a packet is lost, each independently,
	// each way.
	Loss float64

	// Burst loses packets in bursts, in addition to Loss.
	Burst Burst

	// Reorder holds packets back so that later ones overtake them.
	Reorder Reorder

	// Queue is the size of the drop-tail queue before the bottleneck in
	// bandwidth-delay products, that is in Rate × RTT; 0 means 1. It always has
	// room for 4 full packets.
	Queue float64

	// MTU is the largest IP packet in bytes; 0 means 1500.
	MTU int

	// Seed determines the random decisions of the link; 0 means a random one.
	Seed uint64
}

// withDefaults fills in what the zero values stand for, except Seed.
func (l Link) withDefaults() Link {
	if l.Queue == 0 {
		l.Queue = 1
	}
	if l.MTU == 0 {
		l.MTU = defaultMTU
	}
	return l
}

// Validate reports a value that is out of its range: Rate 10 kbit/s to 100
// Gbit/s, times 0 to 10 s, probabilities 0 to 1, MTU 576 to 9000 bytes.
func (l Link) Validate() error {
	l = l.withDefaults()
	switch {
	case l.Rate < 10_000 || l.Rate > maxRate:
		return fmt.Errorf("rate %d bit/s is not between 10 kbit/s and 100 Gbit/s", l.Rate)
	case l.RTT < 0 || l.RTT > maxDelay || l.Jitter < 0 || l.Jitter > maxDelay || l.Reorder.ExtraDelay < 0 || l.Reorder.ExtraDelay > maxDelay:
		return fmt.Errorf("RTT %v, jitter %v or reordering delay %v is not between 0 and %v", l.RTT, l.Jitter, l.Reorder.ExtraDelay, maxDelay)
	case !(l.Queue > 0 && l.Queue <= 1000):
		return fmt.Errorf("queue of %v bandwidth-delay products is not between 0 and 1000", l.Queue)
	case l.MTU < minMTU || l.MTU > maxMTU:
		return fmt.Errorf("MTU %d is not between %d and %d bytes", l.MTU, minMTU, maxMTU)
	}
	return l.model().Validate()
}

// QueueBytes returns the size of the queue in bytes.
func (l Link) QueueBytes() int {
	l = l.withDefaults()
	return max(int(float64(l.Rate)/8*l.RTT.Seconds()*l.Queue), minQueue*l.MTU)
}

// LossShare returns the share of packets that the link loses each way in the
// long run, independently and in bursts, without those that find the queue full.
func (l Link) LossShare() float64 {
	return 1 - (1-l.Loss)*(1-l.Burst.LossShare())
}

// Grain is the least time between two wake-ups of the emulator in one
// direction, and so the time by which it may delay a packet more than asked,
// once when taking it and once when delivering it.
func (l Link) Grain() time.Duration { return min(l.RTT/400, maxGrain) }

// lateAfter is the lateness from which on a packet counts as late.
func (l Link) lateAfter() time.Duration {
	return min(max(l.RTT/20, 200*time.Microsecond), 5*time.Millisecond)
}

func (l Link) model() linkmodel.Config {
	l = l.withDefaults()
	return linkmodel.Config{
		Delay: l.RTT / 2, Jitter: l.Jitter, Rate: l.Rate, Queue: l.QueueBytes(),
		Loss: l.Loss, Burst: l.Burst, Reorder: l.Reorder,
	}
}

// String describes the link in a line.
func (l Link) String() string {
	l = l.withDefaults()
	s := fmt.Sprintf("%s, %v RTT", formatRate(l.Rate), l.RTT)
	if l.Jitter > 0 {
		s += fmt.Sprintf(" + %v jitter", l.Jitter)
	}
	if l.Loss > 0 {
		s += fmt.Sprintf(", %.4g %% loss", 100*l.Loss)
	}
	if share := l.Burst.LossShare(); share > 0 {
		s += fmt.Sprintf(", %.4g %% loss in bursts of %.3g", 100*share, 1/l.Burst.Leave)
	}
	if l.Reorder.Probability > 0 {
		s += fmt.Sprintf(", %.4g %% held back by %v", 100*l.Reorder.Probability, l.Reorder.ExtraDelay)
	}
	return s + fmt.Sprintf(", queue %.4g BDP", l.Queue)
}

func formatRate(rate int64) string {
	switch r := float64(rate); {
	case r >= 1e9:
		return fmt.Sprintf("%.4g Gbit/s", r/1e9)
	case r >= 1e6:
		return fmt.Sprintf("%.4g Mbit/s", r/1e6)
	default:
		return fmt.Sprintf("%.4g kbit/s", r/1e3)
	}
}
