package wan

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/chunkget/chunkget/internal/linkmodel"
)

// pipe holds the packets of one direction from the time they are sent until
// they are due. It does no I/O and reads no clock.
//
// A packet belongs to the pipe between accept and next, and otherwise to the
// caller, who returns it to the pipe's free list with recycle.
type pipe struct {
	mtu   int
	model *linkmodel.Link

	inOrder linkmodel.FIFO[*packet] // by arrival
	held    heldBack                // those that later ones may overtake
	sent    uint64                  // packets accepted, for their order

	// free packets: those with room for smallPacket bytes, such as
	// acknowledgements, and those with room for any.
	freeSmall, freeLarge []*packet

	count Direction
}

// smallPacket is the size in bytes up to which a packet does not occupy a large
// buffer while it is in flight. A long path full of acknowledgements would
// otherwise take a hundred times their size.
const smallPacket = 256

// packet is an IP packet in flight.
type packet struct {
	data    []byte
	arrival time.Time
	order   uint64
}

func newPipe(link Link, rng *rand.Rand) *pipe {
	return &pipe{mtu: link.MTU, model: linkmodel.New(link.model(), rng)}
}

// buffer returns a packet with room for the largest one.
func (p *pipe) buffer() *packet {
	if i := len(p.freeLarge) - 1; i >= 0 {
		b := p.freeLarge[i]
		p.freeLarge = p.freeLarge[:i]
		b.data = b.data[:p.mtu]
		return b
	}
	return &packet{data: make([]byte, p.mtu)}
}

// recycle takes back a packet that was delivered, dropped or not used.
func (p *pipe) recycle(b *packet) {
	if cap(b.data) >= p.mtu {
		p.freeLarge = append(p.freeLarge, b)
	} else {
		p.freeSmall = append(p.freeSmall, b)
	}
}

// accept decides the fate of the packet of size bytes in a buffer, sent now.
func (p *pipe) accept(b *packet, size int, now time.Time) {
	p.count.Sent.add(size)
	departure, ok := p.model.Serialise(size, now)
	if !ok {
		p.count.Overflow.add(size)
		p.recycle(b)
		return
	}
	if p.model.Lose() {
		p.count.Lost.add(size)
		p.recycle(b)
		return
	}
	b = p.shrink(b, size)
	var reordered bool
	b.arrival, reordered = p.model.Propagate(departure, 0)
	b.order = p.sent
	p.sent++
	if reordered {
		p.count.Reordered.add(size)
		heap.Push(&p.held, b)
	} else {
		p.inOrder.Push(b)
	}
}

// shrink moves a small packet into a small buffer.
func (p *pipe) shrink(b *packet, size int) *packet {
	if size > smallPacket || p.mtu <= smallPacket {
		b.data = b.data[:size]
		return b
	}
	var small *packet
	if i := len(p.freeSmall) - 1; i >= 0 {
		small = p.freeSmall[i]
		p.freeSmall = p.freeSmall[:i]
	} else {
		small = &packet{data: make([]byte, smallPacket)}
	}
	small.data = small.data[:size]
	copy(small.data, b.data)
	p.recycle(b)
	return small
}

// nextArrival returns when the next packet is due; not ok means that there is
// none.
func (p *pipe) nextArrival() (at time.Time, ok bool) {
	if b := p.head(); b != nil {
		return b.arrival, true
	}
	return time.Time{}, false
}

// next takes the next packet that is due by now, nil if there is none.
func (p *pipe) next(now time.Time) *packet {
	b := p.head()
	if b == nil || b.arrival.After(now) {
		return nil
	}
	if len(p.held) > 0 && p.held[0] == b {
		heap.Pop(&p.held)
	} else {
		p.inOrder.Pop()
	}
	return b
}

// head returns the packet that arrives first, nil if there is none.
func (p *pipe) head() *packet {
	var b *packet
	if p.inOrder.Len() > 0 {
		b = p.inOrder.Front()
	}
	if len(p.held) > 0 && (b == nil || p.held[0].before(b)) {
		b = p.held[0]
	}
	return b
}

func (b *packet) before(o *packet) bool {
	if b.arrival.Equal(o.arrival) {
		return b.order < o.order
	}
	return b.arrival.Before(o.arrival)
}

// heldBack is a heap of packets by arrival, then by order of sending.
type heldBack []*packet

func (h heldBack) Len() int           { return len(h) }
func (h heldBack) Less(i, j int) bool { return h[i].before(h[j]) }
func (h heldBack) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heldBack) Push(x any)        { *h = append(*h, x.(*packet)) }
func (h *heldBack) Pop() any {
	old := *h
	b := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return b
}
