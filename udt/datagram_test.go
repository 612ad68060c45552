package udt

import "testing"

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
	q.close()
	if got := s.refs.Load(); got != 1 {
		t.Errorf("%d references after the close", got)
	}
	if q.put(run(10, 10)) {
		t.Error("taken after the close")
	}
}
