package udt

import (
	"math/bits"
	"sync"
)

// recvBuffer orders arriving packets into a byte stream.
//
// Packets are numbered from 0 as in the send buffer:
//
//	read <= next
//	[read, next)  in order, waiting for the reader
//	[next, ...)   out of order, up to read + the capacity
//
// The connection's loop inserts, readers take, both under mu. Data is readable
// as soon as it is in order; acknowledgements have a schedule of their own.
type recvBuffer struct {
	payload int           // largest payload of a packet, bytes; set before use
	ready   chan struct{} // capacity 1: poked when there is data, or err is set

	mu      sync.Mutex
	read    int64    // guarded by mu; packet that the reader is at
	readOff int      // guarded by mu; bytes of it that are taken
	next    int64    // guarded by mu; first packet that is missing
	top     int64    // guarded by mu; one past the highest packet held
	chunks  []*chunk // guarded by mu; chunks[0] holds packet read; nil = nothing came for it
	err     error    // guarded by mu; what a reader gets after the last byte
	blocked bool     // guarded by mu; a reader waits for data
	// reopen is set while the window advertised last was nearly closed: the
	// reader that makes room then wakes the loop to say so.
	reopen bool // guarded by mu
	// pending is the number of bytes in order.
	pending int // guarded by mu
}

func (b *recvBuffer) init(payload int) {
	b.payload = payload
	b.ready = make(chan struct{}, 1)
}

func (b *recvBuffer) chunkLocked(i int64) *chunk {
	k := int(i/chunkPackets - b.read/chunkPackets)
	if k >= len(b.chunks) {
		return nil
	}
	return b.chunks[k]
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
	k := int(i/chunkPackets - b.read/chunkPackets)
	for k >= len(b.chunks) {
		b.chunks = append(b.chunks, nil)
	}
	c := b.chunks[k]
	if c == nil {
		c = newChunk(b.payload)
		b.chunks[k] = c
	}
	s := int(i % chunkPackets)
	if c.held>>s&1 != 0 {
		return duplicate
	}
	c.held |= 1 << s
	c.size[s] = uint16(copy(c.slots[s*b.payload:(s+1)*b.payload], data))
	b.top = max(b.top, i+1)
	if i == b.next {
		b.advanceLocked()
	}
	return stored
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
		if s+run < chunkPackets {
			return
		}
	}
}

// wakeLocked tells a waiting reader that there is something to read.
func (b *recvBuffer) wakeLocked() {
	if b.blocked && (b.pending > 0 || b.err != nil) {
		b.blocked = false
		poke(b.ready)
	}
}

// take copies bytes in order to p. Without any it returns the error of the
// stream's end, or 0 and nil, and then pokes ready once there is something.
// reopened asks the caller to have the new window advertised; minRoom is the
// room in packets from which that is worth it, capacity the buffer's.
func (b *recvBuffer) take(p []byte, capacity int) (n int, reopened bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n < len(p) && b.read < b.next {
		c := b.chunks[0]
		s := int(b.read % chunkPackets)
		data := c.slots[s*b.payload : s*b.payload+int(c.size[s])]
		k := copy(p[n:], data[b.readOff:])
		n += k
		if b.readOff += k; b.readOff < len(data) {
			break
		}
		b.readOff = 0
		b.read++
		if b.read%chunkPackets == 0 {
			b.dropFirstLocked()
		}
	}
	b.pending -= n
	if b.read == b.top && len(b.chunks) > 0 {
		b.dropFirstLocked() // idle connections hold no chunk
	}
	if b.reopen && int(b.read)+capacity-int(b.next) >= reopenRoom(capacity) {
		b.reopen = false
		reopened = true
	}
	if n == 0 && len(p) > 0 {
		if b.err != nil {
			return 0, reopened, b.err
		}
		b.blocked = true
	}
	return n, reopened, nil
}

// reopenRoom is the free room in packets at which a closed window is worth
// advertising again.
func reopenRoom(capacity int) int { return max(minAdvertised, min(capacity/4, 256)) }

func (b *recvBuffer) dropFirstLocked() {
	if c := b.chunks[0]; c != nil {
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
	b.pending = 0
	b.read, b.next, b.readOff = b.top, b.top, 0
}
