package udt

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Received bytes travel from the endpoint's read goroutine to the loops of the
// connections without being copied:
//
//  1. the read goroutine owns a slab and reads datagrams into it, one behind
//     the other;
//  2. each run of datagrams for one connection goes into that connection's
//     inbox with a reference to the slab;
//  3. the loop copies payloads into its receive buffer and drops the reference;
//  4. the slab is recycled when the last reference is dropped, the reader's own
//     included.

// slabSize lets a slab take many datagrams of usual size, and at least one of
// any size.
const slabSize = 256 << 10

// maxDatagram is the largest UDP payload; a coalesced read is not larger.
const maxDatagram = 64 << 10

type slab struct {
	refs atomic.Int32
	buf  [slabSize]byte
}

var slabPool = sync.Pool{New: func() any { return new(slab) }}

func newSlab() *slab {
	s := slabPool.Get().(*slab)
	s.refs.Store(1)
	return s
}

func (s *slab) release() {
	if s.refs.Add(-1) == 0 {
		slabPool.Put(s)
	}
}

// inbound is a run of datagrams for one connection: all of size segment, but
// the last may be shorter.
type inbound struct {
	slab    *slab
	data    []byte // inside slab
	segment int
	from    netip.AddrPort
	local   netip.Addr    // the address that it came to, if known
	at      time.Duration // when it was read
}

// inbox is the bounded queue between the read goroutine and a loop.
type inbox struct {
	mu     sync.Mutex
	queue  []inbound // guarded by mu
	bytes  int       // guarded by mu
	closed bool      // guarded by mu

	dropped atomic.Int64 // datagrams
}

// inboxLimit bounds the bytes that wait for a loop. It covers a stall of the
// loop as the kernel's buffer covers one of the reader.
const inboxLimit = 8 << 20

// put queues r, whose slab reference passes to the queue. It returns false, and
// keeps nothing, when the queue is full or closed.
func (q *inbox) put(r inbound) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes+len(r.data) > inboxLimit {
		q.dropped.Add(int64((len(r.data) + r.segment - 1) / r.segment))
		return false
	}
	q.queue = append(q.queue, r)
	q.bytes += len(r.data)
	return true
}

// swap takes everything queued and leaves spare, emptied, in its place.
func (q *inbox) swap(spare []inbound) []inbound {
	clear(spare)
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.queue
	q.queue, q.bytes = spare[:0], 0
	return taken
}

// close drops what is queued and everything to come.
func (q *inbox) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, r := range q.queue {
		r.slab.release()
	}
	q.queue, q.bytes = nil, 0
}
