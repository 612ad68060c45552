package udt

import (
	"sync"
	"time"
)

// sendBuffer holds the packets that are not acknowledged, in wire format.
//
// Packets are numbered from 0 over the life of the connection:
//
//	base <= next <= end
//	[base, next)  sent at least once, sealed: their bytes do not change
//	[next, end)   waiting; the last of them may still grow
//	[end, ...)    being filled by a writer, in the last chunk
//
// Writers move end under mu. The connection's loop moves next and base and is
// the only one to recycle chunks, so the bytes of a sealed packet stay valid
// outside the lock until the loop itself acknowledges it; the chunk that a writer
// fills stays, or is the writer's to recycle.
type sendBuffer struct {
	payload int           // that the handshake allows in a packet, bytes; set before use
	space   chan struct{} // capacity 1: poked when there is space again, or err is set
	mem     *Memory       // where the chunks are counted; set before use

	mu     sync.Mutex
	base   int64    // guarded by mu
	next   int64    // guarded by mu
	end    int64    // guarded by mu
	chunks []*chunk // guarded by mu; chunks[0] holds packet base
	// filling is the last chunk while a writer copies into it, without mu.
	filling *chunk // guarded by mu
	full    int    // guarded by mu; largest payload of packets to come, bytes
	// heavySent and heavyHeld are by how much the packets [base, next) and [base,
	// end) weigh more than one each, see chunk.
	heavySent, heavyHeld int64 // guarded by mu

	// What a writer that waits leaves to the loop, see handover.go.
	from    []byte // guarded by mu; the part that is not taken
	taken   int    // guarded by mu; bytes of it since the writer began to wait
	resting bool   // guarded by mu; the loop waits, and looks at from when it is woken

	err   error // guarded by mu; why writing is over
	want  int   // guarded by mu; room that a blocked writer waits for, 0 = none blocked
	limit int   // guarded by mu; weight that may be held, as of the latest write
	once  error // guarded by mu; fails one write
	held  int64 // guarded by mu; bytes of mem that the chunks take
}

// sentMark is what the loop remembers of a packet's transmissions.
type sentMark struct {
	at    time.Duration // the latest
	burst uint32        // the latest, see burstRecord
	count uint16        // transmissions, no more than 65535
	fate  fate
	probe bool // the latest was made without a sign that the one before was lost
}

// fate is what is known of a packet since its latest transmission. Without any
// of these it is in flight.
type fate uint8

const (
	// fateDelivered: the receiver has it.
	fateDelivered fate = 1 << iota
	// fateAssumed: it has probably been delivered, since later ones were and
	// nothing else was reported of it. Peers without feedback leave us to guess.
	fateAssumed
	// fateLost: it has to be sent again.
	fateLost
)

func (b *sendBuffer) init(payload int, mem *Memory) {
	b.payload, b.full, b.mem, b.resting = payload, payload, mem, true
	b.space = make(chan struct{}, 1)
}

// resize changes the largest payload of packets to come.
func (b *sendBuffer) resize(payload int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full = payload
}

// locateLocked returns the chunk and slot of packet i, base <= i < end.
func (b *sendBuffer) locateLocked(i int64) (*chunk, int) {
	return b.chunks[i/chunkPackets-b.base/chunkPackets], int(i % chunkPackets)
}

// markLocked returns what is remembered of packet i.
func (b *sendBuffer) markLocked(i int64) *sentMark {
	c, s := b.locateLocked(i)
	return &c.sent[s]
}

// weightLocked returns what is remembered of packet i, and what it counts as.
func (b *sendBuffer) weightLocked(i int64) (*sentMark, int) {
	c, s := b.locateLocked(i)
	return &c.sent[s], weigh(int(c.size[s]), b.payload)
}

// packetLocked returns header and payload of packet i. Its capacity reaches to
// the end of the chunk, so that full neighbours can be joined.
func (b *sendBuffer) packetLocked(i int64) []byte {
	c, s := b.locateLocked(i)
	off := s * c.slot
	return c.slots[off : off+headerSize+int(c.size[s])]
}

// aheadBytes is how much may wait to be sent, or as much as is unacknowledged:
// enough for a window that opens, and little enough to be in the cache when it
// is sent.
const aheadBytes = 1 << 20

// freeLocked returns the weight of packets that may be appended.
func (b *sendBuffer) freeLocked() int64 {
	sent := b.next - b.base + b.heavySent
	ahead := max(aheadBytes/int64(headerSize+b.payload), sent)
	return min(int64(b.limit)-b.heldLocked(), ahead-(b.heldLocked()-sent))
}

// heldLocked returns the weight of what is not acknowledged or not sent.
func (b *sendBuffer) heldLocked() int64 { return b.end - b.base + b.heavyHeld }

// heavyLocked returns by how much the packets [from, to) weigh more than one
// each.
func (b *sendBuffer) heavyLocked(from, to int64) (heavy int64) {
	if b.heavyHeld == 0 {
		return 0
	}
	for from < to {
		c, _ := b.locateLocked(from)
		end := min(to, (from/chunkPackets+1)*chunkPackets)
		heavy += (end - from) * int64(c.weight-1)
		from = end
	}
	return heavy
}

// wantLocked returns for how much room a blocked writer waits. A writer
// woken for every packet would cost a switch of goroutines for each.
func (b *sendBuffer) wantLocked() int {
	return max(1, min(b.limit, aheadBytes/(headerSize+b.payload))/4)
}

// wakeLocked wakes a blocked writer if there is space enough.
func (b *sendBuffer) wakeLocked() {
	if b.want > 0 && b.freeLocked() >= int64(b.want) {
		b.want = 0
		poke(b.space)
	}
}

// write appends as much of p as a weight of limit allows, filling up the last
// packet if it has not been sent. It returns how much it took and whether the
// loop has to be woken: with packets waiting it is awake or has a timer. Only one
// write may be under way. If it took nothing, the caller waits for space, and calls
// write with the same p again, or leave.
func (b *sendBuffer) write(p []byte, limit int) (n int, wakeLoop bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = b.leaveLocked()
	if b.err != nil {
		return n, false, b.err
	}
	if b.once != nil {
		err, b.once = b.once, nil
		return n, false, err
	}
	b.limit = limit
	if len(p)-n >= longWrite {
		b.from = p[n:]
		return n, b.resting, nil
	}
	for n < len(p) && !wakeLoop {
		k := b.growLastLocked(p[n:])
		if k == 0 {
			k, wakeLoop = b.addLocked(p[n:])
		}
		if k == 0 && b.err == nil {
			b.want = b.wantLocked()
		}
		if k == 0 {
			break
		}
		n += k
	}
	return n, wakeLoop, b.err
}

// growLastLocked fills up the last packet, unless it has been sent.
func (b *sendBuffer) growLastLocked(p []byte) (n int) {
	if b.next == b.end {
		return 0
	}
	c, s := b.locateLocked(b.end - 1)
	size := int(c.size[s])
	n = copy(c.slots[s*c.slot+headerSize+size:][:b.roomLocked(b.end-1, c, size, b.heldLocked())], p)
	c.size[s] += uint16(n)
	return n
}

// addLocked appends packets with the front of p, as many as one chunk takes, and
// returns how much that was. The lock is given up while they are filled, so that
// the loop does not wait for the copy; until then they are behind end, and belong
// to the writer. idle reports whether all before them had been sent.
func (b *sendBuffer) addLocked(p []byte) (n int, idle bool) {
	c, slots, n := b.planLocked(p)
	if n == 0 {
		return 0, false
	}
	b.filling = c
	b.mu.Unlock()
	c.fill(slots, p)
	b.mu.Lock()
	b.filling = nil
	if b.err != nil {
		recycle(c) // close has left it
		return 0, false
	}
	idle = b.next == b.end
	b.appendLocked(c, slots)
	return n, idle
}

// slotRange is a part of the slots of a chunk.
type slotRange struct{ from, to int }

// planLocked sets the sizes of packets to come behind end for the front of p, as many
// as their chunk takes. n is how many bytes they are for, 0 if there is no room.
func (b *sendBuffer) planLocked(p []byte) (c *chunk, slots slotRange, n int) {
	free := b.freeLocked()
	if free <= 0 {
		return nil, slotRange{}, 0
	}
	if c = b.lastLocked(false); c == nil {
		return nil, slotRange{}, 0
	}
	i, held := b.end, b.heldLocked()
	first := int(i % chunkPackets)
	s := first
	for ; s < chunkPackets && n < len(p) && free > 0; s++ {
		free -= int64(c.weight)
		held += int64(c.weight)
		size := min(b.roomLocked(i, c, 0, held), len(p)-n)
		c.size[s], c.sent[s] = uint16(size), sentMark{}
		n += size
		i++
	}
	return c, slotRange{first, s}, n
}

// fill copies the front of p to packets that have their sizes.
func (c *chunk) fill(slots slotRange, p []byte) {
	for s := slots.from; s < slots.to; s++ {
		p = p[copy(c.slots[s*c.slot+headerSize:][:c.size[s]], p):]
	}
}

// appendLocked has packets that were planned and filled wait to be sent.
func (b *sendBuffer) appendLocked(c *chunk, slots slotRange) {
	n := slots.to - slots.from
	b.end += int64(n)
	b.heavyHeld += int64(n * (c.weight - 1))
}

// roomLocked returns the bytes that still fit into packet i, which is in c and has
// size of them, if a weight of held is in the buffer. At the start of a
// connection every initial window ends with a packet that is one byte short: a
// C++ receiver acknowledges such a packet at once, others after 10 to 100 ms
// unless 64 of them come. So does what fills the buffer, which leaves seal
// nothing to move.
func (b *sendBuffer) roomLocked(i int64, c *chunk, size int, held int64) int {
	room := b.mostLocked(c) - size
	windowEnd := i < lightPackets && (i+1)%nativeInitialWindow == 0
	if b.payload > 1 && (windowEnd || held >= int64(b.limit)) {
		room--
	}
	return max(0, room)
}

// mostLocked returns the largest payload of a packet that c takes now.
func (b *sendBuffer) mostLocked(c *chunk) int { return min(c.slot-headerSize, b.full) }

// lightPackets is where light ACKs are sure to keep a window moving.
const lightPackets = 1024

// ownMemory is what belongs to the buffer in any case, in bytes.
func (b *sendBuffer) ownMemory() int64 { return sendOwnChunks * chunkCost(headerSize+b.payload) }

// lastLocked returns the chunk that packet end belongs to, nil if that takes memory
// that there is not. If it must be, or nothing is held, then even so.
func (b *sendBuffer) lastLocked(must bool) *chunk {
	if b.end%chunkPackets == 0 || len(b.chunks) == 0 {
		cost := chunkCost(headerSize + b.full)
		if !b.mem.grow(b.held, cost, b.ownMemory()) {
			if !must && len(b.chunks) > 0 {
				return nil
			}
			b.mem.resize(b.held, b.held+cost, b.held+cost, b.ownMemory())
		}
		b.held += cost
		b.chunks = append(b.chunks, newChunk(headerSize+b.full, weigh(b.full, b.payload)))
	}
	return b.chunks[len(b.chunks)-1]
}

// dropLocked gives the first n chunks back.
func (b *sendBuffer) dropLocked(n int) {
	freed := int64(0)
	for _, c := range b.chunks[:n] {
		freed += chunkCost(c.slot)
		if c != b.filling {
			recycle(c)
		}
	}
	rest := b.held - freed
	b.mem.resize(b.held, rest, rest, b.ownMemory())
	b.held = rest
	left := copy(b.chunks, b.chunks[n:])
	clear(b.chunks[left:])
	b.chunks = b.chunks[:left]
}

// sealLocked takes the next waiting packet to be sent. If it is the last one
// and full, its last byte moves to a packet of its own: only a packet that is
// not full makes the C++ receiver acknowledge at once.
func (b *sendBuffer) sealLocked() (i int64, ok bool) {
	if b.next == b.end {
		return 0, false
	}
	i = b.next
	b.next++
	c, s := b.locateLocked(i)
	b.heavySent += int64(c.weight - 1)
	if b.next == b.end && b.filling == nil && b.payload > 1 && int(c.size[s]) == b.mostLocked(c) {
		p := b.packetLocked(i)
		last := p[len(p)-1]
		c.size[s]--
		c = b.lastLocked(true)
		s = int(b.end % chunkPackets)
		c.size[s], c.sent[s] = 1, sentMark{}
		c.slots[s*c.slot+headerSize] = last
		b.end++
		b.heavyHeld += int64(c.weight - 1)
	}
	return i, true
}

// ack frees everything before packet n, base <= n <= next.
func (b *sendBuffer) ack(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	heavy := b.heavyLocked(b.base, n)
	b.heavySent -= heavy
	b.heavyHeld -= heavy
	done := int(n/chunkPackets - b.base/chunkPackets)
	if n == b.end && b.filling == nil {
		done = len(b.chunks)
	}
	if done > 0 {
		b.dropLocked(done)
	}
	b.base = n
	b.wakeLocked()
}

// waiting returns the packets not acknowledged and those not yet sent.
func (b *sendBuffer) waiting() (unacked, unsent int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end - b.base, b.end - b.next
}

// close makes every write fail with err; the first err stays. What is buffered is
// dropped: nobody will send it any more.
func (b *sendBuffer) close(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.from = nil
	b.dropLocked(len(b.chunks))
	b.chunks, b.base, b.next = nil, b.end, b.end
	b.heavySent, b.heavyHeld = 0, 0
	b.want = 0
	poke(b.space)
}

// failOnce makes the next write fail with err, or the one that waits.
func (b *sendBuffer) failOnce(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.once = err
	poke(b.space)
}

// poke puts a token into a channel of capacity 1 unless there is one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
