package udt

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
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
//
// The inboxes of many connections may hold more together than there should be.
// So the reader waits while too many slabs are not recycled: the kernel's buffer
// fills, and drops what is too much. Loops wait for nobody, so it goes on.

// slabSize takes a batch of the largest reads, and many of usual size.
const slabSize = 512 << 10

// maxDatagram is the largest UDP payload; a coalesced read is not larger.
const maxDatagram = 64 << 10

type slab struct {
	refs  atomic.Int32
	owner *slabReader // that it came through, nil = none
	buf   []byte      // slabSize
}

var slabPool = sync.Pool{New: func() any { return &slab{buf: bufferMemory(slabSize)} }}

func newSlab() *slab {
	s := slabPool.Get().(*slab)
	s.refs.Store(1)
	return s
}

func (s *slab) release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	owner := s.owner
	s.owner = nil
	slabPool.Put(s)
	if owner != nil && owner.taken.Add(-1) == owner.limit-1 {
		poke(owner.freed)
	}
}

// slabReader is the read goroutine's supply of slabs.
type slabReader struct {
	slab  *slab        // nil = none taken
	used  int          // bytes of it
	taken atomic.Int32 // slabs that are not recycled yet

	limit int32         // of taken; immutable
	freed chan struct{} // capacity 1: poked when taken gets below limit
	waits func()        // called before the read goroutine waits, nil = nobody is to hear of it
}

// minSlabs is the least limit of a reader, 16 MiB.
const minSlabs = 32

// newSlabReader returns a reader for an endpoint that may buffer so many bytes,
// of which as much as a quarter may wait in slabs beside them.
func newSlabReader(memory int64) *slabReader {
	return &slabReader{limit: int32(min(max(memory/4/slabSize, minSlabs), math.MaxInt32)), freed: make(chan struct{}, 1)}
}

// await returns when there may be another slab. One read takes no more than one.
func (r *slabReader) await() {
	for r.taken.Load() >= r.limit {
		if r.waits != nil {
			r.waits()
		}
		<-r.freed
	}
}

// maxIdleSlabs bounds the slabs that are left to slow loops with little in
// them.
const maxIdleSlabs = 4

// reserve returns free space of at least need bytes, all there is in the slab.
func (r *slabReader) reserve(need int) []byte {
	if r.slab != nil && r.slab.refs.Load() == 1 {
		r.used = 0 // everything has been consumed; these bytes are in the cache
	}
	if r.slab != nil && slabSize-r.used < need {
		r.drop()
	}
	if r.slab == nil {
		r.slab, r.used = newSlab(), 0
		r.slab.owner = r
		r.taken.Add(1)
	}
	return r.slab.buf[r.used:]
}

// rest returns the free space of the slab that there is.
func (r *slabReader) rest() []byte { return r.slab.buf[r.used:] }

// take returns the first n bytes of the space reserved, which are filled now.
func (r *slabReader) take(n int) []byte {
	b := r.slab.buf[r.used : r.used+n : r.used+n]
	r.used += n
	return b
}

// idle is called before the wait for datagrams. It gives the slab back if possible: an
// endpoint that waits holds none.
func (r *slabReader) idle() {
	if r.waits != nil {
		r.waits()
	}
	if r.slab != nil && (r.slab.refs.Load() == 1 || r.taken.Load() < maxIdleSlabs) {
		r.drop()
	}
}

func (r *slabReader) drop() {
	if r.slab != nil {
		r.slab.release()
		r.slab = nil
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
	at      time.Duration // when the first of it arrived
	spread  time.Duration // how much later the last of it did
	stamp   int64         // the same as the kernel's wall clock saw it, in ns; 0 = not known
	// train: the kernel has joined the datagrams.
	train bool
}

func (r *inbound) datagrams() int { return (len(r.data) + r.segment - 1) / r.segment }

// cut returns the packets at the front that go to the same connection, whose
// id it returns, and the rest. Of a packet that is too short for an id, the
// id is 0.
func (r inbound) cut() (front, rest inbound, dst socketID) {
	end := min(r.segment, len(r.data))
	dst = destination(r.data[:end])
	for end < len(r.data) {
		next := r.data[end:min(end+r.segment, len(r.data))]
		if destination(next) != dst || dst == 0 {
			break
		}
		end += len(next)
	}
	front, rest = r, r
	front.data, rest.data = r.data[:end:end], r.data[end:]
	return front, rest, dst
}

// maxStampAge bounds what the wall clock may say of the age of a datagram:
// someone may set that clock between its arrival and its reading.
const maxStampAge = time.Second

// date sets the arrival time of a run that was read at now.
func (r *inbound) date(now time.Duration, wall int64) {
	r.at = now
	if age := time.Duration(wall - r.stamp); r.stamp != 0 && age > 0 && age < min(maxStampAge, now) {
		r.at = now - age
	}
}

// inbox is the bounded queue between the read goroutine and a loop.
type inbox struct {
	mu     sync.Mutex
	queue  []inbound // guarded by mu
	bytes  int       // guarded by mu
	limit  int       // guarded by mu; of bytes, if more than inboxLimit
	closed bool      // guarded by mu

	dropped atomic.Int64 // datagrams
}

// inboxLimit is the least bound of the bytes that wait for a loop. It covers a
// stall of the loop as the kernel's buffer covers one of the reader.
const inboxLimit = 8 << 20

// inboundOverhead is what a run costs beside its bytes.
const inboundOverhead = int(unsafe.Sizeof(inbound{}))

func (r *inbound) cost() int { return len(r.data) + inboundOverhead }

// widen lets the inbox hold a window of so many bytes: what was advertised is
// not dropped here.
func (q *inbox) widen(window int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = window + window/8
}

// put queues runs and takes a reference to their slab for each. What does not
// fit, or comes after close, is dropped. It reports whether it took any.
func (q *inbox) put(runs ...inbound) (taken bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range runs {
		r := &runs[i]
		if q.closed || q.bytes+r.cost() > max(inboxLimit, q.limit) {
			q.dropped.Add(int64(r.datagrams()))
			continue
		}
		r.slab.refs.Add(1)
		q.queue = append(q.queue, *r)
		q.bytes += r.cost()
		taken = true
	}
	return taken
}

// swap takes everything queued and leaves spare in its place, whose elements
// are of no use any more.
func (q *inbox) swap(spare []inbound) []inbound {
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
