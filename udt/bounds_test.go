package udt

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// inSink runs f with an endpoint to which nothing comes but what f dispatches.
func inSink(t *testing.T, f func(t *testing.T, e *Endpoint, s *sink)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		e, err := NewEndpoint(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		f(t, e, s)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Peers are remembered after their last connection, but not too many of them, and
// none of those that have connections is forgotten.
func TestGroupsAreBounded(t *testing.T) {
	inSink(t, func(t *testing.T, e *Endpoint, _ *sink) {
		join := func(port int) *group {
			c := &Conn{ep: e, remote: netip.AddrPortFrom(clientHost, uint16(port)), payload: 1456, peerChecks: true}
			return e.join(e.now(), c, CongestionParams{MSS: 1500, MaxWindow: 8192})
		}
		connected := join(1)
		for i := range 3 * maxGroups {
			g := join(2 + i)
			g.begin(e.now())
			g.sent(e.now(), SendEvent{New: 1}, false, false)
			g.leave(e.now(), 1, false)
			if n := len(e.groups); n > maxGroups+1 {
				t.Fatalf("%d groups", n)
			}
			if len(g.meter.ring) != 0 {
				t.Fatal("a peer without connections keeps records of bursts")
			}
		}
		if join(1) != connected {
			t.Error("a peer with a connection was forgotten")
		}
	})
}

// A flood of packets for connections that are not there is answered a hundred
// times a second.
func TestResetsAreBounded(t *testing.T) {
	inSink(t, func(t *testing.T, e *Endpoint, s *sink) {
		for second := range int64(2) {
			for i := range 1000 {
				p := appendUser(nil, feedbackType, 1, socketID(100+i), 1, 2, 3)
				p[1] = byte(ctrlKeepalive) // of which strays are answered
				putCheck(p)
				b := newSlab()
				n := copy(b.buf, p)
				e.dispatch(inbound{slab: b, data: b.buf[:n], segment: n, from: netip.AddrPortFrom(clientHost, uint16(1+i)), at: e.now()})
				b.release()
			}
			if want := (second + 1) * maxResetsPerSecond * (headerSize + 4); s.sent.Load() != want {
				t.Errorf("after %d s %d bytes were sent, want %d", second+1, s.sent.Load(), want)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestToldIsBounded(t *testing.T) {
	var a asker
	a.begin(Ask{}, time.Now())
	for i := range 3 * maxTold {
		peer := netip.AddrPortFrom(clientHost, uint16(1+i))
		if !a.tell(peer, 7) || a.tell(peer, 7) {
			t.Fatalf("peer %d: the answer is news twice, or never", i)
		}
		if len(a.told) > maxTold {
			t.Fatalf("%d peers are remembered", len(a.told))
		}
	}
}

// What stands behind a hole when a connection ends is let go of, whether anybody
// reads the rest or not.
func TestBehindTheHoleIsDropped(t *testing.T) {
	const capacity = 100 * chunkPackets
	for _, inOrder := range []int64{0, 1, chunkPackets, chunkPackets + 1} {
		b := newRecvBuffer(100)
		for i := range inOrder {
			b.insertLocked(i, make([]byte, 100), capacity)
		}
		for i := inOrder + 1; i < capacity; i += chunkPackets {
			b.insertLocked(i, make([]byte, 100), capacity)
		}
		b.close(errDeadline, ErrReset)
		released := false
		b.settle(func() { released = true })
		if want := (inOrder + chunkPackets - 1) / chunkPackets * chunkCost(100); b.bytesHeld() != want || released != (inOrder == 0) {
			t.Errorf("%d packets in order: %d bytes held, want %d; released: %v", inOrder, b.bytesHeld(), want, released)
		}
		n := int64(0)
		for err := error(nil); err == nil; {
			var k int
			k, _, err = b.take(make([]byte, 1000), capacity)
			if n += int64(k); err != nil && err != ErrReset {
				t.Error(err)
			}
		}
		if n != inOrder*100 || !released || b.bytesHeld() != 0 || b.taken != 0 {
			t.Errorf("%d packets in order: %d bytes read, released: %v, %d held", inOrder, n, released, b.bytesHeld())
		}
		b.discard()
	}
}
