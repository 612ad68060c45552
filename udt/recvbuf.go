package udt

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
)

// recvBuffer orders arriving packets into a byte stream.
//
// Packets are numbered from 0 as in the send buffer:
//
//	read <= next
//	[read, next)  in order, waiting for the reader
//	[next, ...)   out of order, up to read + the capacity
//
// The capacity is a weight, see chunk: of large packets fewer fit.
//
// The connection's loop inserts, readers take, both under mu. Data is readable
// as soon as it is in order; acknowledgements have a schedule of their own.
//
// While a reader waits, its memory is the buffer's: a packet that is next and fits
// is copied there and not held here.
type recvBuffer struct {
	payload int           // that the handshake allows in a packet, bytes; set before use
	ready   chan struct{} // capacity 1: poked when there is data, or err is set
	// capacity is the packets that it offers to hold; the loop's, readers look.
	capacity atomic.Int64

	mu      sync.Mutex
	read    int64    // guarded by mu; packet that the reader is at
	readOff int      // guarded by mu; bytes of it that are taken
	next    int64    // guarded by mu; first packet that is missing
	top     int64    // guarded by mu; one past the highest packet held
	chunks  []*chunk // guarded by mu; chunks[0] holds packet read; nil = nothing came for it
	err     error    // guarded by mu; what a reader gets after the last byte
	blocked bool     // guarded by mu; a reader waits for data
	// into is the memory of that reader, of which the first direct bytes are filled.
	into   []byte // guarded by mu
	direct int    // guarded by mu
	// reopen is set while the window advertised last was nearly closed: the
	// reader that makes room then wakes the loop to say so.
	reopen bool // guarded by mu
	// pending is the number of bytes in order.
	pending int // guarded by mu
	large   int // guarded by mu; largest payload that is taken, bytes
	// heavy is by how much the packets [read, next) weigh more than one each,
	// taken the weight of all slots.
	heavy, taken int // guarded by mu
	// left is the least weight that a reader has left in order since lookLocked.
	left int // guarded by mu
	// passed is the weight of all packets before next.
	passed int64 // guarded by mu
	// release gives back the memory of a connection that has ended.
	release func() // guarded by mu
}

func (b *recvBuffer) init(payload int) {
	b.payload, b.large, b.left = payload, payload, nothingTaken
	b.ready = make(chan struct{}, 1)
}

func (b *recvBuffer) chunkLocked(i int64) *chunk {
	k := int(i/chunkPackets - b.read/chunkPackets)
	if k >= len(b.chunks) {
		return nil
	}
	return b.chunks[k]
}

// heldLocked returns the weight of what waits for the reader.
func (b *recvBuffer) heldLocked() int { return int(b.next-b.read) + b.heavy }

// slotsLocked returns the chunk for packet i of the given size, nil if there
// is no room for it. A chunk becomes what the largest of its packets needs: the
// sender may begin with large ones in the midst of it.
func (b *recvBuffer) slotsLocked(i int64, size, capacity int) *chunk {
	k := int(i/chunkPackets - b.read/chunkPackets)
	for k >= len(b.chunks) {
		b.chunks = append(b.chunks, nil)
	}
	old := b.chunks[k]
	if old != nil && size <= old.slot {
		return old
	}
	slot, weight := b.slotLocked(size)
	more := chunkPackets * weight
	if old != nil {
		more -= chunkPackets * old.weight
	}
	// Of the first and the last chunk only a part counts in the window.
	if weight > 1 && b.taken+more > capacity+2*chunkPackets*weight && i/chunkPackets != b.next/chunkPackets {
		return nil
	}
	c := newChunk(slot, weight)
	if old != nil {
		c.size, c.held = old.size, old.held
		for s := range chunkPackets {
			if old.held>>s&1 != 0 {
				copy(c.slots[s*c.slot:], old.slots[s*old.slot:][:old.size[s]])
			}
		}
		first := i - i%chunkPackets
		if n := min(b.next, first+chunkPackets) - max(b.read, first); n > 0 {
			b.heavy += int(n) * (weight - old.weight)
			b.passed += n * int64(weight-old.weight)
		}
		recycle(old)
	}
	b.chunks[k] = c
	b.taken += more
	return c
}

// slotLocked returns the size and the weight of the slots of a chunk for a packet of
// the given size.
func (b *recvBuffer) slotLocked(size int) (slot, weight int) {
	slot = b.payload
	if size > slot {
		slot = max(b.large, size)
	}
	return slot, weigh(slot, b.payload)
}

// insertResult says what became of a packet.
type insertResult int

const (
	stored insertResult = iota
	duplicate
	noRoom
)

// insertLocked stores packet i unless it is a duplicate or more than capacity
// packets ahead of the reader.
func (b *recvBuffer) insertLocked(i int64, data []byte, capacity int) insertResult {
	switch {
	case i < b.next:
		return duplicate
	case i >= b.read+int64(capacity):
		return noRoom
	}
	s := int(i % chunkPackets)
	c := b.chunkLocked(i)
	if c != nil && c.held>>s&1 != 0 {
		return duplicate
	}
	if i == b.read && b.readOff == 0 && len(data) <= len(b.into)-b.direct {
		b.passLocked(c, data)
		return stored
	}
	if c == nil || len(data) > c.slot {
		if c = b.slotsLocked(i, len(data), capacity); c == nil {
			return noRoom
		}
	}
	c.held |= 1 << s
	c.size[s] = uint16(copy(c.slots[s*c.slot:(s+1)*c.slot], data))
	b.top = max(b.top, i+1)
	if i == b.next {
		b.advanceLocked()
	}
	return stored
}

// passLocked hands packet read to the reader that waits. c is the chunk it belongs
// to, nil if that has no packet.
func (b *recvBuffer) passLocked(c *chunk, data []byte) {
	b.direct += copy(b.into[b.direct:], data)
	weight := 0
	if c != nil {
		weight = c.weight
	} else {
		_, weight = b.slotLocked(len(data))
	}
	b.passed += int64(weight)
	b.read++
	b.next++
	b.top = max(b.top, b.next)
	b.left = 0
	if (b.read%chunkPackets == 0 || b.read == b.top) && len(b.chunks) > 0 {
		b.dropFirstLocked()
	}
	b.advanceLocked()
}

// advanceLocked moves next over what is held without a hole.
func (b *recvBuffer) advanceLocked() {
	for c := b.chunkLocked(b.next); c != nil; c = b.chunkLocked(b.next) {
		s := int(b.next % chunkPackets)
		run := bits.TrailingZeros64(^(c.held >> s))
		run = min(run, chunkPackets-s)
		for _, size := range c.size[s : s+run] {
			b.pending += int(size)
		}
		b.next += int64(run)
		b.heavy += run * (c.weight - 1)
		b.passed += int64(run * c.weight)
		if s+run < chunkPackets {
			return
		}
	}
}

// progressLocked counts the packets that the reader has taken and those that it
// could not, for they stand behind a hole: what it kept up with. What it has left
// lying does not count.
func (b *recvBuffer) progressLocked() int64 { return b.read + b.top - b.next }

// nothingTaken is the value of left where no reader came.
const nothingTaken = math.MaxInt

// leftLocked returns the weight that readers have always left in order since the
// last call of lookLocked, or what waits for one if none came.
func (b *recvBuffer) leftLocked() int { return min(b.left, b.heldLocked()) }

// awayLocked reports whether no reader has come since, although data waits.
func (b *recvBuffer) awayLocked() bool { return b.left == nothingTaken && b.heldLocked() > 0 }

// lookLocked begins to measure what readers leave.
func (b *recvBuffer) lookLocked() { b.left = nothingTaken }

// wakeLocked tells a waiting reader that there is something to read.
func (b *recvBuffer) wakeLocked() {
	if b.blocked && (b.pending > 0 || b.direct > 0 || b.err != nil) {
		b.blocked = false
		poke(b.ready)
	}
}

// maxAsleep is how many bytes come into the memory of a reader before it is woken,
// although it has space for more and more waits in the socket.
const maxAsleep = 1 << 20

// letSleepLocked reports whether a reader waits for whom all that there is to read has
// been put in its memory, which has space for more.
func (b *recvBuffer) letSleepLocked() bool {
	return b.blocked && b.err == nil && b.pending == 0 &&
		b.direct > 0 && b.direct < maxAsleep && b.direct+b.large <= len(b.into)
}

// wake is wakeLocked.
func (b *recvBuffer) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wakeLocked()
}

// take copies bytes in order to p. Without any it returns the error of the
// stream's end, or 0 and nil, and then pokes ready once there is something. Until
// then p is the buffer's: the reader calls take with the same p again, or leave.
// reopened asks the caller to have the new window advertised. capacity is that of
// the buffer.
func (b *recvBuffer) take(p []byte, capacity int) (n int, reopened bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	direct := b.leaveLocked()
	n = direct
	for n < len(p) && b.read < b.next {
		c := b.chunks[0]
		s := int(b.read % chunkPackets)
		data := c.slots[s*c.slot : s*c.slot+int(c.size[s])]
		k := copy(p[n:], data[b.readOff:])
		n += k
		if b.readOff += k; b.readOff < len(data) {
			break
		}
		b.readOff = 0
		b.read++
		b.heavy -= c.weight - 1
		if b.read%chunkPackets == 0 {
			b.dropFirstLocked()
		}
	}
	b.pending -= n - direct
	if b.read == b.top && len(b.chunks) > 0 {
		b.dropFirstLocked() // idle connections hold no chunk
	}
	if n > 0 {
		b.left = min(b.left, b.heldLocked())
	}
	b.settleLocked()
	if b.reopen && capacity-b.heldLocked() >= reopenRoom(capacity) {
		b.reopen = false
		reopened = true
	}
	if n == 0 && len(p) > 0 {
		if b.err != nil {
			return 0, reopened, b.err
		}
		b.blocked, b.into = true, p
	}
	return n, reopened, nil
}

// leave ends the wait of a reader. It returns how much of its memory has been filled.
func (b *recvBuffer) leave() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leaveLocked()
}

func (b *recvBuffer) leaveLocked() (filled int) {
	filled = b.direct
	b.blocked, b.into, b.direct = false, nil, 0
	return filled
}

// reopenRoom is the free room in packets at which a closed window is worth
// advertising again.
func reopenRoom(capacity int) int { return max(minAdvertised, min(capacity/4, 256)) }

func (b *recvBuffer) dropFirstLocked() {
	if c := b.chunks[0]; c != nil {
		b.taken -= chunkPackets * c.weight
		recycle(c)
	}
	rest := copy(b.chunks, b.chunks[1:])
	b.chunks[rest] = nil
	b.chunks = b.chunks[:rest]
}

// close ends the stream: what is in order stays readable, then readers get
// err. A hole in front of data that came means that the stream was cut short.
func (b *recvBuffer) close(err, cutShort error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return
	}
	b.err = err
	if b.top > b.next {
		b.err = cutShort
	}
	b.blocked = false
	poke(b.ready)
}

// discard drops everything: the reader is gone.
func (b *recvBuffer) discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.chunks {
		if c != nil {
			recycle(c)
		}
	}
	b.chunks = nil
	b.pending, b.heavy, b.taken = 0, 0, 0
	b.read, b.next, b.readOff = b.top, b.top, 0
	b.settleLocked()
}

// settle ends the use of the buffer by the connection. What stands behind a hole
// is dropped, for nobody will fill it; once the last byte in order has been read,
// release is called.
func (b *recvBuffer) settle(release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	readable := 0
	if b.read < b.next {
		readable = int((b.next-1)/chunkPackets-b.read/chunkPackets) + 1
	}
	for i, c := range b.chunks[min(readable, len(b.chunks)):] {
		if c != nil {
			b.taken -= chunkPackets * c.weight
			recycle(c)
			b.chunks[readable+i] = nil
		}
	}
	b.chunks = b.chunks[:min(readable, len(b.chunks))]
	b.top = b.next
	b.release = release
	b.settleLocked()
}

func (b *recvBuffer) settleLocked() {
	if b.release != nil && b.read == b.next {
		b.release()
		b.release = nil
	}
}
