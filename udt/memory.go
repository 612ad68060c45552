package udt

import (
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// A Memory is a number of bytes that connections share for what they buffer,
// in both directions: data that was written and is not acknowledged, data that
// has arrived and was not read, and the room that peers have been promised.
// Endpoints share it if their Config names it. What the kernel holds in socket
// buffers is not counted.
//
// A part of it belongs to each open connection, used or not: three chunks of 64
// packets for what it receives and two for what it sends. Of the rest, no
// connection can take all: one may hold as much as it leaves to the others, so
// that n that all want more than there is get 1/(n+1) of it each, and the next
// one finds as much (dynamic thresholds, Choudhury and Hahne, 1998). Who holds
// more than that, because others have come, gives back as its data is read or
// acknowledged.
//
// The limit is kept as long as the first part is no more than half of it, which
// at packets of 1500 bytes is one connection for each MiB. With more of them,
// the other half is still shared as it was.
type Memory struct {
	limit int64
	open  atomic.Int64 // bytes that belong to open connections
	used  atomic.Int64 // and what they hold or have promised beyond that
}

// NewMemory returns a Memory of so many bytes.
func NewMemory(limit int64) *Memory { return &Memory{limit: limit} }

// DefaultMemory returns the Memory of all endpoints of the process whose Config
// names no other: a quarter of the machine's memory, or of what the
// control group of the process or GOMEMLIMIT allow if that is less, and no less
// than 64 MiB. Where the machine's memory is not known, it is taken for 4 GiB,
// and for 1 GiB on 32-bit platforms.
func DefaultMemory() *Memory { return defaultMemory() }

var defaultMemory = sync.OnceValue(func() *Memory {
	machine := machineMemory()
	switch {
	case machine > 0:
	case math.MaxInt == math.MaxInt32:
		machine = 1 << 30
	default:
		machine = 4 << 30
	}
	return NewMemory(max(min(machine, debug.SetMemoryLimit(-1))/4, 64<<20))
})

// Limit returns the number of bytes that there are.
func (m *Memory) Limit() int64 { return m.limit }

// Used returns how many of them belong to open connections, are in use or are
// promised.
func (m *Memory) Used() int64 { return m.open.Load() + m.used.Load() }

// join counts a connection to which so many bytes belong, until leave.
func (m *Memory) join(own int64)  { m.open.Add(own) }
func (m *Memory) leave(own int64) { m.open.Add(-own) }

// share is the most that one direction of a connection may have that has so
// many bytes, of which up to own belong to it.
func (m *Memory) share(have, own int64) int64 { return m.shareOf(have, own, m.used.Load()) }

func (m *Memory) shareOf(have, own, used int64) int64 {
	free := m.limit - min(m.open.Load(), m.limit/2) - used
	return own + max(0, (max(0, have-own)+free)/2)
}

// resize changes a holding of have bytes to want, or to what the share allows,
// and at least to least. It returns the new holding.
func (m *Memory) resize(have, want, least, own int64) int64 {
	for {
		used := m.used.Load()
		got := max(least, min(want, m.shareOf(have, own, used)))
		change := max(0, got-own) - max(0, have-own)
		if change == 0 || m.used.CompareAndSwap(used, used+change) {
			return got
		}
	}
}

// grow adds by bytes to a holding of have, unless the share does not allow it.
func (m *Memory) grow(have, by, own int64) bool {
	for {
		used := m.used.Load()
		if have+by > m.shareOf(have, own, used) {
			return false
		}
		change := max(0, have+by-own) - max(0, have-own)
		if change == 0 || m.used.CompareAndSwap(used, used+change) {
			return true
		}
	}
}
