package udt

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// Packets for a connection that has the socket for itself are handled by who reads
// them, and by its own goroutine if that has the turn. Of what comes for several
// connections nothing is handled by the reader.
func TestVisit(t *testing.T) {
	// With one processor no other goroutine runs before this one waits.
	inMeasuredLab(t, simnet.LinkConfig{Delay: time.Millisecond}, nil, func(l *lab) {
		_, first := l.connect()
		_, second := l.connect()
		time.Sleep(time.Second)
		synctest.Wait()

		e := l.server
		dispatch := func(to ...*Conn) {
			var runs []inbound
			for _, c := range to {
				s := newSlab()
				defer s.release()
				p := appendControl(s.buf[:0], ctrlKeepalive, 0, c.id)
				runs = append(runs, inbound{slab: s, data: p, segment: len(p), from: c.remote, at: e.now()})
			}
			e.dispatch(runs...)
		}
		waits := func(c *Conn) bool {
			c.in.mu.Lock()
			defer c.in.mu.Unlock()
			return len(c.in.queue) > 0
		}

		dispatch(first) // the first batch for it
		synctest.Wait()
		first.turn.Lock()
		dispatch(first)
		if !waits(first) {
			l.t.Error("somebody ran a connection whose turn is taken")
		}
		first.turn.Unlock()
		synctest.Wait()
		if waits(first) {
			l.t.Error("the goroutine of the connection was not woken")
		}

		dispatch(first)
		if waits(first) {
			l.t.Error("the reader left a packet to the goroutine of a connection that has the socket for itself")
		}

		e.sock.prompt = false
		dispatch(first)
		if !waits(first) {
			l.t.Error("the reader does what may have to wait for a peer")
		}
		synctest.Wait()
		e.sock.prompt = true

		for _, both := range [][]*Conn{{first, second}, {second, first}, {first, second}} {
			// With the turns taken, packets that the reader has not left to others would
			// be there.
			first.turn.Lock()
			second.turn.Lock()
			dispatch(both...)
			if e.alone != 0 || !waits(first) || !waits(second) {
				l.t.Error("a batch for two connections counts as one for one")
			}
			first.turn.Unlock()
			second.turn.Unlock()
			synctest.Wait()
		}

		first.Abort()
		dispatch(first) // the end of a connection may cross its packets
		first.Close()
	})
}
