package udt

import "sync"

// Both buffers of a connection hold packets in chunks: chunkPackets slots of
// one packet each, allocated when the first of them is needed and recycled
// when the last one is done with. A connection without data in flight holds
// none, so the limits on buffers cost nothing until they are used.
//
// Ownership: a chunk belongs to the buffer that took it, until that buffer
// gives it back; nothing may keep a slice of it beyond that.
type chunk struct {
	slots []byte // chunkPackets slots of one size
	size  [chunkPackets]uint16
	sent  [chunkPackets]sentMark // send buffer only
	held  uint64                 // receive buffer only: bit i is set if slot i is filled
}

const chunkPackets = 64

var chunkPool = sync.Pool{New: func() any { return new(chunk) }}

// newChunk returns a chunk with slots of the given size in bytes. Their
// content is undefined.
func newChunk(slot int) *chunk {
	c := chunkPool.Get().(*chunk)
	if n := slot * chunkPackets; cap(c.slots) < n || cap(c.slots) > 2*n {
		c.slots = make([]byte, n)
	} else {
		c.slots = c.slots[:n]
	}
	c.held = 0
	return c
}

func recycle(c *chunk) { chunkPool.Put(c) }
