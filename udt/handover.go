package udt

import "math"

// A writer that copies ahead of a busy loop does so on another processor: it has to be
// woken again and again, takes the processor from whoever has it, and leaves the bytes
// in the wrong cache. So a long write is left to the loop. It copies what it sends next,
// right before it sends it, and the writer is woken once, when that can come back with
// more before the loop has sent the rest. Before the loop waits, for the peer or the
// pacer, it has time, and takes as much as the buffer has room for.
//
// The memory of the writer is read under mu only. It has it back as soon as it leaves.

const (
	// longWrite in bytes is what is left to the loop.
	longWrite = aheadBytes / 4
	// lastPart is the rest of a long write that is taken at once.
	lastPart = aheadBytes / 2
)

// leave ends the wait of a writer. It returns how much of its memory has been taken.
func (b *sendBuffer) leave() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leaveLocked()
}

func (b *sendBuffer) leaveLocked() (taken int) {
	taken = b.taken
	b.from, b.taken = nil, 0
	return taken
}

// fetchLocked takes from the writer what makes packets of a weight of ahead wait, as
// far as there is room.
func (b *sendBuffer) fetchLocked(ahead int64) {
	for len(b.from) > 0 && (b.unsentLocked() < ahead || len(b.from) <= lastPart) {
		n := b.growLastLocked(b.from)
		if n == 0 {
			var c *chunk
			var slots slotRange
			if c, slots, n = b.planLocked(b.from); n == 0 {
				return
			}
			c.fill(slots, b.from)
			b.appendLocked(c, slots)
		}
		b.taken += n
		if b.from = b.from[n:]; len(b.from) == 0 {
			poke(b.space)
		}
	}
}

// unsentLocked returns the weight of the packets that wait to be sent.
func (b *sendBuffer) unsentLocked() int64 { return b.heldLocked() - (b.next - b.base + b.heavySent) }

// rest is called by the loop before it waits. It has to be woken then for what a writer
// leaves to it.
func (b *sendBuffer) rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fetchLocked(math.MaxInt64)
	b.resting = true
}
