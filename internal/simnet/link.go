package simnet

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"
)

// LinkConfig describes one direction between two hosts. The zero value is
// ideal: no delay, no limit, no loss. Probabilities are in 0..1 and apply to
// each packet on its own.
type LinkConfig struct {
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

	// Duplicate is the probability that a packet arrives twice.
	Duplicate float64

	// Corrupt flips bits.
	Corrupt Corrupt

	// MTU is the largest packet in bytes, headers included, that the link
	// carries; larger ones vanish. 0 means unlimited.
	MTU int

	// Filter decides over each packet before the link does. It is called with
	// one packet at a time, by the goroutine that sends, with the network
	// locked: it must neither block nor call into the network.
	Filter func(Packet) Verdict
}

// Burst is a two-state Gilbert model: the link enters the bad state with
// probability Enter and leaves it with probability Leave, evaluated at each
// packet, and loses packets in the bad state with probability Loss (0 means 1).
// With Loss 1 the share of packets lost is Enter/(Enter+Leave) and the mean
// length of a burst 1/Leave packets.
type Burst struct{ Enter, Leave, Loss float64 }

// Reorder holds a packet back by ExtraDelay with the given Probability, during
// which later packets may overtake it.
type Reorder struct {
	Probability float64
	ExtraDelay  time.Duration
}

// Corrupt flips Bits random bits (0 means 1) of a packet with the given
// Probability.
type Corrupt struct {
	Probability float64
	Bits        int
	HeaderOnly  bool // only within the first 16 bytes of the payload
}

// corruptHeader is the size of a UDT header, in bytes.
const corruptHeader = 16

// Packet is a datagram as a Filter sees it.
type Packet struct {
	From, To netip.AddrPort
	Time     time.Time // when it was sent
	Number   uint64    // 0 for the first packet of this direction, then counting
	Data     []byte    // the payload, which the filter may change in place but not keep
}

// Verdict is the decision of a Filter; the zero value passes the packet on.
type Verdict struct {
	Drop       bool
	Duplicates int           // additional copies that arrive with the packet
	Delay      time.Duration // additional delay, during which later packets may overtake
}

// Count is a number of packets and their size on the link.
type Count struct{ Packets, Bytes int64 }

func (c *Count) add(size int) {
	c.Packets++
	c.Bytes += int64(size)
}

// Counters tell what happened to the packets of one direction. Every packet
// sent or duplicated ends in exactly one of Delivered, Filtered, TooBig,
// Overflow, Lost, Unreachable and Overrun, or is still in flight.
type Counters struct {
	Sent        Count // handed to the link by its host
	Delivered   Count // reached a socket
	Filtered    Count // dropped by Filter
	TooBig      Count // larger than MTU
	Overflow    Count // did not fit into the queue
	Lost        Count // random or burst loss
	Unreachable Count // arrived where no socket listened
	Overrun     Count // arrived at a socket whose receive buffer was full

	Duplicated Count // additional copies made
	Corrupted  Count // changed on the way, whatever became of them
	Reordered  Count // held back so that later ones could overtake
}

func (c LinkConfig) validate() {
	for _, p := range []float64{c.Loss, c.Burst.Enter, c.Burst.Leave, c.Burst.Loss, c.Reorder.Probability, c.Duplicate, c.Corrupt.Probability} {
		if !(p >= 0 && p <= 1) {
			panic(fmt.Sprintf("simnet: probability %v is not in 0..1", p))
		}
	}
	if c.Delay < 0 || c.Jitter < 0 || c.Reorder.ExtraDelay < 0 || c.Rate < 0 || c.Queue < 0 || c.MTU < 0 || c.Corrupt.Bits < 0 {
		panic(fmt.Sprintf("simnet: negative value in link configuration %+v", c))
	}
}

// link is the state of one direction; guarded by Network.mu.
type link struct {
	cfg      LinkConfig
	rng      *rand.Rand
	counters Counters

	bad         bool         // state of the Gilbert model
	busyUntil   time.Time    // when the bottleneck has sent all that is queued
	queue       fifo[queued] // packets before or in the bottleneck
	queuedBytes int
	lastArrival time.Time // latest arrival of a packet that was not reordered
}

// queued is a packet as the queue remembers it.
type queued struct {
	departure time.Time
	size      int
}

func newLink(seed uint64, d direction, cfg LinkConfig) *link {
	h := fnv.New64a()
	from, to := d.from.As16(), d.to.As16()
	h.Write(from[:])
	h.Write(to[:])
	return &link{cfg: cfg, rng: rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// fate is what becomes of a packet.
type fate struct {
	deliver bool
	arrival time.Time
	copies  int
}

// admit decides the fate of a packet sent now, and may change its bytes.
func (l *link) admit(p *packet, now time.Time) fate {
	size := p.wireSize()
	number := uint64(l.counters.Sent.Packets)
	l.counters.Sent.add(size)
	var verdict Verdict
	if l.cfg.Filter != nil {
		verdict = l.cfg.Filter(Packet{From: p.from, To: p.to, Time: now, Number: number, Data: p.data})
		if verdict.Drop {
			l.counters.Filtered.add(size)
			return fate{}
		}
	}
	if l.cfg.MTU > 0 && size > l.cfg.MTU {
		l.counters.TooBig.add(size)
		return fate{}
	}
	departure, ok := l.serialise(size, now)
	if !ok {
		l.counters.Overflow.add(size)
		return fate{}
	}
	if l.lose() {
		l.counters.Lost.add(size)
		return fate{}
	}
	if l.corrupt(p.data) {
		l.counters.Corrupted.add(size)
	}
	copies := verdict.Duplicates
	if l.chance(l.cfg.Duplicate) {
		copies++
	}
	for range copies {
		l.counters.Duplicated.add(size)
	}
	return fate{deliver: true, arrival: l.propagate(departure, verdict.Delay, size), copies: copies}
}

// serialise returns when the last bit of the packet leaves the bottleneck; not
// ok means that the queue has no room.
func (l *link) serialise(size int, now time.Time) (departure time.Time, ok bool) {
	for l.queue.len() > 0 && !l.queue.front().departure.After(now) {
		l.queuedBytes -= l.queue.pop().size
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
	l.queue.push(queued{l.busyUntil, size})
	l.queuedBytes += size
	return l.busyUntil, true
}

func (l *link) lose() bool {
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

func (l *link) corrupt(data []byte) bool {
	c := l.cfg.Corrupt
	if !l.chance(c.Probability) || len(data) == 0 {
		return false
	}
	if c.HeaderOnly && len(data) > corruptHeader {
		data = data[:corruptHeader]
	}
	// Distinct bits: flipping one twice would restore it.
	bits := min(max(c.Bits, 1), 8*len(data))
	flipped := make(map[int]bool, bits)
	for len(flipped) < bits {
		bit := l.rng.IntN(8 * len(data))
		if !flipped[bit] {
			flipped[bit] = true
			data[bit/8] ^= 1 << (bit % 8)
		}
	}
	return true
}

// propagate returns when a packet that left the bottleneck arrives.
func (l *link) propagate(departure time.Time, extra time.Duration, size int) time.Time {
	arrival := departure.Add(l.cfg.Delay)
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
		l.counters.Reordered.add(size)
		return arrival.Add(extra)
	}
	l.lastArrival = arrival
	return arrival
}

func (l *link) chance(p float64) bool { return p > 0 && l.rng.Float64() < p }
