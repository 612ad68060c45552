package udt

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A full or closed inbox takes nothing, counts what it refuses, and leaves the
// slab to whom it belongs.
func TestInbox(t *testing.T) {
	var q inbox
	s := newSlab()
	run := func(n, segment int) inbound {
		return inbound{slab: s, data: s.buf[:n], segment: segment}
	}
	for q.bytes+60_000+inboundOverhead <= inboxLimit {
		if !q.put(run(60_000, 1500)) {
			t.Fatalf("refused with %d bytes waiting", q.bytes)
		}
	}
	taken := int32(len(q.queue))
	if q.put(run(60_000, 1500)) || q.dropped.Load() != 40 {
		t.Errorf("%d datagrams dropped, want the 40 that are too many", q.dropped.Load())
	}
	if got := s.refs.Load(); got != 1+taken {
		t.Errorf("%d references for %d runs", got, taken)
	}

	runs := q.swap(make([]inbound, 3))
	if len(runs) != int(taken) || q.bytes != 0 || len(q.queue) != 0 {
		t.Errorf("%d runs taken, %d and %d bytes left", len(runs), len(q.queue), q.bytes)
	}
	for _, r := range runs {
		r.slab.release()
	}
	if !q.put(run(10, 10)) {
		t.Error("refused although there is room again")
	}
	q.widen(2 * inboxLimit)
	for q.bytes < 2*inboxLimit {
		if !q.put(run(60_000, 1500)) {
			t.Fatalf("refused with %d bytes of a window of %d waiting", q.bytes, 2*inboxLimit)
		}
	}
	q.close()
	if got := s.refs.Load(); got != 1 {
		t.Errorf("%d references after the close", got)
	}
	if q.put(run(10, 10)) {
		t.Error("taken after the close")
	}
}

// Who reads waits while too much of what was read is held, and goes on with what
// is released.
func TestSlabsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const memory = 4 * 2 * minSlabs * slabSize
		r := newSlabReader(memory)
		var reading atomic.Bool
		reading.Store(true)
		var mu sync.Mutex
		var held []*slab // guarded by mu
		go func() {
			for reading.Load() {
				r.await()
				r.reserve(slabSize)
				r.slab.refs.Add(1) // of somebody's inbox
				mu.Lock()
				held = append(held, r.slab)
				mu.Unlock()
				r.take(slabSize)
			}
		}()
		number := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return len(held)
		}
		release := func() {
			mu.Lock()
			defer mu.Unlock()
			held[0].release() // the reader's own has gone with the next slab
			held = held[1:]
		}
		if n := number(); n != memory/4/slabSize {
			t.Fatalf("%d slabs are held, want %d", n, memory/4/slabSize)
		}
		for range 3 {
			n := number()
			release()
			if after := number(); after != n {
				t.Errorf("%d slabs are held after one of %d was released", after, n)
			}
		}
		reading.Store(false)
		for number() > 0 {
			release()
		}
		synctest.Wait()
	})
	if r := newSlabReader(1 << 20); r.limit != minSlabs {
		t.Errorf("%d slabs for an endpoint with little memory", r.limit)
	}
}

// The kernel's stamp moves the arrival back to before the read, unless the
// clock that it came from has been set.
func TestArrivalDate(t *testing.T) {
	const wall, now = int64(1e18), time.Minute
	for _, tt := range []struct{ stamp, age time.Duration }{
		{0, 0}, // none
		{time.Duration(wall), 0},
		{time.Duration(wall) - time.Millisecond, time.Millisecond},
		{time.Duration(wall) + time.Millisecond, 0},
		{time.Duration(wall) - time.Hour, 0},
	} {
		r := inbound{stamp: int64(tt.stamp)}
		if r.date(now, wall); r.at != now-tt.age {
			t.Errorf("stamp %d: arrived %v before the read, want %v", tt.stamp, now-r.at, tt.age)
		}
	}
}

// A run is cut where the connection changes.
func TestCut(t *testing.T) {
	packet := func(dst socketID, size int) []byte {
		b := make([]byte, size)
		putDataHeader(b, 1, 1, dst)
		return b
	}
	var data []byte
	for _, p := range [][]byte{packet(5, 20), packet(5, 20), packet(0, 20), packet(0, 20), packet(7, 20), packet(7, 17)} {
		data = append(data, p...)
	}
	r := inbound{data: data, segment: 20}
	for _, want := range []struct {
		dst  socketID
		size int
	}{{5, 40}, {0, 20}, {0, 20}, {7, 37}} {
		front, rest, dst := r.cut()
		if dst != want.dst || len(front.data) != want.size || front.segment != 20 {
			t.Errorf("%d bytes for %d, want %d for %d", len(front.data), dst, want.size, want.dst)
		}
		r = rest
	}
	if len(r.data) != 0 {
		t.Errorf("%d bytes left", len(r.data))
	}
	short := inbound{data: data[:20+15], segment: 20}
	front, rest, _ := short.cut()
	if _, _, dst := rest.cut(); len(front.data) != 20 || dst != 0 {
		t.Error("what is too short for an id was taken for a packet")
	}
}
