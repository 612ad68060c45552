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
//
// Writers append under mu. The connection's loop moves next and base and is
// the only one to recycle chunks, so the bytes of a sealed packet stay valid
// outside the lock until the loop itself acknowledges it.
type sendBuffer struct {
	payload int           // largest payload of a packet, bytes; set before use
	space   chan struct{} // capacity 1: poked when there is space again, or err is set

	mu     sync.Mutex
	base   int64    // guarded by mu
	next   int64    // guarded by mu
	end    int64    // guarded by mu
	chunks []*chunk // guarded by mu; chunks[0] holds packet base
	err    error    // guarded by mu; why writing is over
	want   int      // guarded by mu; free slots that a blocked writer waits for, 0 = none blocked
	limit  int      // guarded by mu; packets that may be held, as of the latest write
	once   error    // guarded by mu; fails one write
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

func (b *sendBuffer) init(payload int) {
	b.payload = payload
	b.space = make(chan struct{}, 1)
}

func (b *sendBuffer) slotSize() int { return headerSize + b.payload }

// locateLocked returns the chunk and slot of packet i, base <= i < end.
func (b *sendBuffer) locateLocked(i int64) (*chunk, int) {
	return b.chunks[i/chunkPackets-b.base/chunkPackets], int(i % chunkPackets)
}

// markLocked returns what is remembered of packet i.
func (b *sendBuffer) markLocked(i int64) *sentMark {
	c, s := b.locateLocked(i)
	return &c.sent[s]
}

// packetLocked returns header and payload of packet i. Its capacity reaches to
// the end of the chunk, so that full neighbours can be joined.
func (b *sendBuffer) packetLocked(i int64) []byte {
	c, s := b.locateLocked(i)
	off := s * b.slotSize()
	return c.slots[off : off+headerSize+int(c.size[s])]
}

// aheadBytes is how much may wait to be sent, or as much as is unacknowledged:
// enough for a window that opens, and little enough to be in the cache when it
// is sent.
const aheadBytes = 1 << 20

// freeLocked returns how many packets may be appended.
func (b *sendBuffer) freeLocked() int64 {
	ahead := max(aheadBytes/int64(b.slotSize()), b.next-b.base)
	return min(int64(b.limit)-(b.end-b.base), ahead-(b.end-b.next))
}

// wantLocked returns for how many free slots a blocked writer waits. A writer
// woken for every packet would cost a switch of goroutines for each.
func (b *sendBuffer) wantLocked() int {
	return max(1, min(b.limit, aheadBytes/b.slotSize())/4)
}

// wakeLocked wakes a blocked writer if there is space enough.
func (b *sendBuffer) wakeLocked() {
	if b.want > 0 && b.freeLocked() >= int64(b.want) {
		b.want = 0
		poke(b.space)
	}
}

// write appends as much of p as limit packets allow, filling up the last
// packet if it has not been sent. It returns how much it took and whether the
// loop has to be woken: with packets waiting it is awake or has a timer.
func (b *sendBuffer) write(p []byte, limit int) (n int, wakeLoop bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, false, b.err
	}
	if b.once != nil {
		err, b.once = b.once, nil
		return 0, false, err
	}
	b.limit = limit
	wakeLoop = b.next == b.end
	for n < len(p) {
		if b.next == b.end || b.roomLocked(b.end-1) == 0 {
			if b.freeLocked() <= 0 {
				b.want = b.wantLocked()
				break
			}
			b.appendLocked()
		}
		c, s := b.locateLocked(b.end - 1)
		at := s*b.slotSize() + headerSize + int(c.size[s])
		k := copy(c.slots[at:at+b.roomLocked(b.end-1)], p[n:])
		c.size[s] += uint16(k)
		n += k
	}
	return n, wakeLoop && n > 0, nil
}

// roomLocked returns the bytes that still fit into packet i. At the start of a
// connection every initial window ends with a packet that is one byte short: a
// C++ receiver acknowledges such a packet at once, others after 10 to 100 ms
// unless 64 of them come. So does what fills the buffer, which leaves seal
// nothing to move.
func (b *sendBuffer) roomLocked(i int64) int {
	c, s := b.locateLocked(i)
	room := b.payload - int(c.size[s])
	windowEnd := i < startPackets && (i+1)%nativeInitialWindow == 0
	if b.payload > 1 && (windowEnd || b.end-b.base >= int64(b.limit)) {
		room--
	}
	return max(0, room)
}

// startPackets is where light ACKs are sure to keep a window moving.
const startPackets = 1024

func (b *sendBuffer) appendLocked() {
	if b.end%chunkPackets == 0 || len(b.chunks) == 0 {
		b.chunks = append(b.chunks, newChunk(b.slotSize()))
	}
	b.end++
	c, s := b.locateLocked(b.end - 1)
	c.size[s] = 0
	c.sent[s] = sentMark{}
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
	if c, s := b.locateLocked(i); b.next == b.end && b.payload > 1 && int(c.size[s]) == b.payload {
		p := b.packetLocked(i)
		last := p[len(p)-1]
		c.size[s]--
		b.appendLocked()
		c, s = b.locateLocked(i + 1)
		c.size[s] = 1
		c.slots[s*b.slotSize()+headerSize] = last
	}
	return i, true
}

// ack frees everything before packet n, base <= n <= next.
func (b *sendBuffer) ack(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := int(n/chunkPackets - b.base/chunkPackets)
	if n == b.end {
		done = len(b.chunks)
	}
	for _, c := range b.chunks[:done] {
		recycle(c)
	}
	rest := copy(b.chunks, b.chunks[done:])
	clear(b.chunks[rest:])
	b.chunks = b.chunks[:rest]
	b.base = n
	b.wakeLocked()
}

// waiting returns the packets not acknowledged and those not yet sent.
func (b *sendBuffer) waiting() (unacked, unsent int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end - b.base, b.end - b.next
}

// close makes every write fail with err; the first err stays. With discard,
// what is buffered is dropped: nobody will send it any more.
func (b *sendBuffer) close(err error, discard bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	if discard {
		for _, c := range b.chunks {
			recycle(c)
		}
		b.chunks, b.base, b.next = nil, b.end, b.end
	}
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
