package simnet

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/chunkget/chunkget/internal/linkmodel"
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

// Burst and Reorder are those of the link model.
type (
	Burst   = linkmodel.Burst
	Reorder = linkmodel.Reorder
)

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
	if err := c.model().Validate(); err != nil {
		panic("simnet: " + err.Error())
	}
	for _, p := range []float64{c.Duplicate, c.Corrupt.Probability} {
		if !(p >= 0 && p <= 1) {
			panic(fmt.Sprintf("simnet: probability %v is not in 0..1", p))
		}
	}
	if c.MTU < 0 || c.Corrupt.Bits < 0 {
		panic(fmt.Sprintf("simnet: negative value in link configuration %+v", c))
	}
}

// model returns the part of c that the link model knows.
func (c LinkConfig) model() linkmodel.Config {
	return linkmodel.Config{
		Delay: c.Delay, Jitter: c.Jitter, Rate: c.Rate, Queue: c.Queue,
		Loss: c.Loss, Burst: c.Burst, Reorder: c.Reorder,
	}
}

// link is the state of one direction; guarded by Network.mu.
type link struct {
	cfg      LinkConfig
	rng      *rand.Rand
	model    *linkmodel.Link // draws from rng
	counters Counters
}

func newLink(seed uint64, d direction, cfg LinkConfig) *link {
	h := fnv.New64a()
	from, to := d.from.As16(), d.to.As16()
	h.Write(from[:])
	h.Write(to[:])
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	return &link{cfg: cfg, rng: rng, model: linkmodel.New(cfg.model(), rng)}
}

func (l *link) setConfig(cfg LinkConfig) {
	l.cfg = cfg
	l.model.SetConfig(cfg.model())
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
	departure, ok := l.model.Serialise(size, now)
	if !ok {
		l.counters.Overflow.add(size)
		return fate{}
	}
	if l.model.Lose() {
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
	arrival, reordered := l.model.Propagate(departure, verdict.Delay)
	if reordered {
		l.counters.Reordered.add(size)
	}
	return fate{deliver: true, arrival: arrival, copies: copies}
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

func (l *link) chance(p float64) bool { return p > 0 && l.rng.Float64() < p }
