package udt

import (
	"sync"
	"unsafe"
)

// Both buffers of a connection hold packets in chunks: chunkPackets slots of
// one packet each, allocated when the first of them is needed and recycled
// when the last one is done with. A connection without data in flight holds
// none, so the limits on buffers cost nothing until they are used.
//
// Each chunk has slots of its own size, since the packets of a connection may
// become larger and smaller (pathsize.go). What is limited in packets, windows
// and buffers, counts a slot by its weight: how many packets of the size agreed
// in the handshake it takes as much as.
//
// Ownership: a chunk belongs to the buffer that took it, until that buffer
// gives it back; nothing may keep a slice of it beyond that.
type chunk struct {
	slots  []byte // chunkPackets slots of one size
	slot   int    // that size, bytes
	weight int    // of a slot
	size   [chunkPackets]uint16
	sent   [chunkPackets]sentMark // send buffer only
	held   uint64                 // receive buffer only: bit i is set if slot i is filled
}

const chunkPackets = 64

// chunkCost is what a chunk with slots of the given size takes, in bytes.
func chunkCost(slot int) int64 { return int64(chunkPackets*slot) + int64(unsafe.Sizeof(chunk{})) }

// Chunks of large packets have a pool of their own, or either kind would be
// allocated anew after the other.
var chunkPool, largeChunkPool = sync.Pool{New: newEmptyChunk}, sync.Pool{New: newEmptyChunk}

func newEmptyChunk() any { return new(chunk) }

func poolFor(slot int) *sync.Pool {
	if slot > usualSlot {
		return &largeChunkPool
	}
	return &chunkPool
}

// usualSlot is more than a packet of 1500 bytes takes.
const usualSlot = 2048

// newChunk returns a chunk with slots of the given size in bytes and weight.
// Their content is undefined.
func newChunk(slot, weight int) *chunk {
	c := poolFor(slot).Get().(*chunk)
	if n := slot * chunkPackets; cap(c.slots) < n || cap(c.slots) > 2*n {
		c.slots = bufferMemory(n)
	} else {
		c.slots = c.slots[:n]
	}
	c.slot, c.weight, c.held = slot, weight, 0
	return c
}

func recycle(c *chunk) { poolFor(c.slot).Put(c) }

// weigh returns how many packets with base bytes of payload one of size bytes
// counts as. What is less than an eighth too large counts nothing.
func weigh(size, base int) int {
	if size <= base {
		return 1
	}
	one := base + mssOverhead
	return max(1, (size+mssOverhead+one-one/8-1)/one)
}
