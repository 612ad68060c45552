package udt

import (
	"slices"
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

// A reader that has memory for more is left asleep while more waits in the socket, and
// woken before who reads that waits, or turns to others.
func TestReaderIsLeftAsleep(t *testing.T) {
	inMeasuredLab(t, simnet.LinkConfig{Delay: time.Millisecond}, nil, func(l *lab) {
		_, c := l.connect()
		_, other := l.connect()
		synctest.Wait()
		e := l.server

		const size = 1000
		visit := func(ahead int64, more bool) (asleep bool) {
			s := newSlab()
			defer s.release()
			c.rcv.mu.Lock()
			seq := seqAt(c.peerISN, c.rcv.next+ahead)
			c.rcv.mu.Unlock()
			p := s.buf[:headerSize+size]
			putDataHeader(p, seq, 1, c.id)
			c.in.put(inbound{slab: s, data: p, segment: len(p), from: c.remote, at: e.now()})
			return c.visit(more)
		}
		for _, tt := range []struct {
			name   string
			memory int
			ahead  int    // so many packets come one too early
			more   []bool // what is said at each packet
			then   func()
			want   int
		}{
			{"nothing more in the socket", 1 << 20, 0, []bool{false}, nil, size},
			{"then nothing more", 1 << 20, 0, []bool{true, true, false}, nil, 3 * size},
			{"no memory for a packet of any size", size + c.payload, 0, []bool{true, true}, nil, 2 * size},
			{"much memory", 4 << 20, 0, slices.Repeat([]bool{true}, maxAsleep/size+1), nil, (maxAsleep/size + 1) * size},
			{"a hole is filled", 1 << 20, 1, []bool{true, true}, nil, 2 * size},
			{"who reads waits", 1 << 20, 0, []bool{true, true}, e.wakeReader, 2 * size},
			{"a batch for another", 1 << 20, 0, []bool{true, true}, func() {
				s := newSlab()
				defer s.release()
				p := appendControl(s.buf[:0], ctrlKeepalive, 0, other.id)
				e.dispatch(inbound{slab: s, data: p, segment: len(p), from: other.remote, at: e.now()})
			}, 2 * size},
		} {
			got := make(chan int, 1)
			go func() {
				n, _ := c.Read(make([]byte, tt.memory))
				got <- n
			}()
			synctest.Wait()
			for i, more := range tt.more {
				if len(got) > 0 {
					l.t.Errorf("%s: woken before packet %d", tt.name, i)
				}
				ahead := int64(0)
				if i < tt.ahead {
					ahead = 1
				}
				if visit(ahead, more) {
					e.asleep = c
				}
				synctest.Wait()
			}
			if tt.then != nil {
				if len(got) > 0 {
					l.t.Errorf("%s: woken before", tt.name)
				}
				tt.then()
				synctest.Wait()
			}
			select {
			case n := <-got:
				if n != tt.want {
					l.t.Errorf("%s: %d bytes, want %d", tt.name, n, tt.want)
				}
			default:
				l.t.Errorf("%s: the reader was not woken", tt.name)
				e.wakeReader()
				<-got
			}
			e.asleep = nil
		}
	})
}
