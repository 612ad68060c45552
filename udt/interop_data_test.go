//go:build libudt

package udt_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/libudt"
	"github.com/chunkget/chunkget/internal/simnet"
	"github.com/chunkget/chunkget/udt"
)

// fullPayload is the data in a full packet of 1500 bytes.
const fullPayload = 1456

// ends returns the sending and the receiving end of a direction.
func ends(g *udt.Conn, cpp *libudt.Conn, fromGo bool) (from, to net.Conn) {
	if fromGo {
		return g, cpp
	}
	return cpp, g
}

// TestInteropSizes is case 15: sizes around the packet size in one write each.
func TestInteropSizes(t *testing.T) {
	g, cpp := interop{goServer: true}.start(t).connect()
	for _, n := range []int{1, 2, fullPayload - 1, fullPayload, fullPayload + 1, 2 * fullPayload, 2*fullPayload + 1, 1 << 20} {
		for _, fromGo := range []bool{true, false} {
			from, to := ends(g, cpp, fromGo)
			send(t, from, to, randomData(n))
		}
	}
	var wg sync.WaitGroup
	for _, fromGo := range []bool{true, false} {
		from, to := ends(g, cpp, fromGo)
		wg.Go(func() {
			if err := trySend(from, to, randomData(4<<20)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// renumber makes a C++ client's sequence numbers start at isn for our side, by
// moving every number on its way.
type renumber struct {
	isn   uint32
	once  sync.Once
	shift uint32 // what is added on the way to our side
}

func (r *renumber) add(p wirePacket, i int, n uint32) {
	flag := p.word(i) & (1 << 31)
	p.set(i, flag|(p.word(i)+n)&(1<<31-1))
}

// fault moves the numbers of one direction.
func (r *renumber) fault(toGo bool) fault {
	return func(p wirePacket) (v simnet.Verdict) {
		if toGo {
			r.once.Do(func() { r.shift = r.isn - p.word(hsISN) })
		}
		n := r.shift
		if !toGo {
			n = -n
		}
		switch {
		case !p.control:
			p.setSeq(p.seq + n)
		case p.is(wireHandshake):
			r.add(p, hsISN, n)
		case p.is(wireACK):
			r.add(p, 0, n)
		case p.is(wireNAK):
			for i := range p.words() {
				r.add(p, i, n)
			}
		}
		return v
	}
}

// TestInteropSequenceWrap is case 16: the sequence numbers wrap on our side,
// with losses exactly there and a loss report across.
func TestInteropSequenceWrap(t *testing.T) {
	eachDirection(t, func(t *testing.T, fromGo bool) {
		const before = 50
		r := &renumber{isn: 1<<31 - before}
		// Packets of the sender are counted from 0: these straddle the wrap.
		lose := dropNumbers(before-2, before-1, before, before+1, before+3)
		x := interop{goServer: true, renumber: r, goFault: r.fault(false)}
		if fromGo {
			x.goFault = all(lose, x.goFault)
		} else {
			x.cppFault = lose
		}
		g, cpp := x.start(t).connect()
		from, to := ends(g, cpp, fromGo)
		send(t, from, to, randomData(200*fullPayload))
		roundTrip(t, g, cpp)
	})
}

// dropNumbers drops the first transmission of the given data packets, counted
// from 0 by their sequence numbers.
func dropNumbers(numbers ...uint32) fault {
	started := false
	var isn uint32
	return func(p wirePacket) (v simnet.Verdict) {
		if p.control {
			return v
		}
		if !started {
			started, isn = true, p.seq
		}
		n := (p.seq - isn) & (1<<31 - 1)
		if i := slices.Index(numbers, n); i >= 0 {
			numbers = slices.Delete(slices.Clone(numbers), i, i+1)
			v.Drop = true
		}
		return v
	}
}

// TestInteropSmallWrites is case 17.
func TestInteropSmallWrites(t *testing.T) {
	m := interop{goServer: true}.start(t)
	g, cpp := m.connect()
	data := randomData(20000)
	go func() {
		for i := range data {
			if _, err := g.Write(data[i : i+1]); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	got := make([]byte, len(data))
	cpp.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(cpp, got); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("content differs, error %v", err)
	}
	if n := m.tap.of(true).data; n > len(data)/2 {
		t.Errorf("%d packets for %d writes of a byte: not coalesced", n, len(data))
	}
}

// TestInteropPingPong is case 18. It logs the median of a round trip.
func TestInteropPingPong(t *testing.T) {
	eachRole(t, func(t *testing.T, goServer bool) {
		g, cpp := interop{goServer: goServer}.start(t).connect()
		go io.Copy(cpp, cpp)
		buf := make([]byte, 4)
		var times []time.Duration
		g.SetDeadline(time.Now().Add(patience))
		for range 1000 {
			start := time.Now()
			if _, err := g.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(g, buf); err != nil {
				t.Fatal(err)
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		t.Logf("median %v, 99 %% %v", times[500], times[990])
	})
}

// TestInteropBurst is case 19: a burst, then silence. Close returns when the
// C++ side has acknowledged all of it; the time is logged.
func TestInteropBurst(t *testing.T) {
	for _, packets := range []int{1, 2, 3, 15, 16, 17, 64, 200} {
		t.Run(fmt.Sprint(packets), func(t *testing.T) {
			g, cpp := interop{}.start(t).connect()
			data := randomData(packets * fullPayload)
			start := time.Now()
			if _, err := g.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			t.Logf("acknowledged after %v", time.Since(start))
			if got, err := io.ReadAll(cpp); err != nil || !bytes.Equal(got, data) {
				t.Errorf("got %d of %d bytes, error %v", len(got), len(data), err)
			}
		})
	}
}

// TestInteropLoss is case 20 and 28: chosen losses in each direction.
func TestInteropLoss(t *testing.T) {
	const packets = 500
	lastPacket := func(p wirePacket) bool { return !p.control && len(p.payload) == 1000 } // see below
	numbers := func(from, to uint32) (s []uint32) {
		for ; from < to; from++ {
			s = append(s, from)
		}
		return s
	}
	for _, tt := range []struct {
		name           string
		sender, answer func() fault // for what the sender and the receiver of the data send
	}{
		{"one packet", func() fault { return dropNumbers(100) }, nil},
		{"first packet", func() fault { return dropNumbers(0) }, nil},
		{"second packet", func() fault { return dropNumbers(1) }, nil},
		{"one packet twice", func() fault { return dropNumbers(100, 100) }, nil},
		{"one packet five times", func() fault { return dropNumbers(100, 100, 100, 100, 100) }, nil},
		{"ten in a row", func() fault { return dropNumbers(numbers(100, 110)...) }, nil},
		{"every second of a hundred", func() fault {
			var s []uint32
			for n := uint32(100); n < 200; n += 2 {
				s = append(s, n)
			}
			return dropNumbers(s...)
		}, nil},
		{"early", func() fault { return dropNumbers(3, 7, 9) }, nil},
		{"last packet", func() fault { return drop(0, 1, lastPacket) }, nil},
		{"last packet twice", func() fault { return drop(0, 2, lastPacket) }, nil},
		{"loss report", func() fault { return dropNumbers(100) }, func() fault { return drop(0, 1, isControl(wireNAK)) }},
		{"acknowledgements", nil, func() fault { return drop(3, 20, isControl(wireACK)) }},
		{"first acknowledgement", nil, func() fault { return drop(0, 1, isControl(wireACK)) }},
		{"all confirmations", func() fault { return drop(0, 1<<30, isControl(wireACK2)) }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachDirection(t, func(t *testing.T, fromGo bool) {
				x := interop{goServer: true}
				// A small delay lets several packets be in flight.
				x.fromGo.Delay, x.fromCpp.Delay = 2*time.Millisecond, 2*time.Millisecond
				sender, answer := &x.cppFault, &x.goFault
				if fromGo {
					sender, answer = answer, sender
				}
				if tt.sender != nil {
					*sender = tt.sender()
				}
				if tt.answer != nil {
					*answer = tt.answer()
				}
				g, cpp := x.start(t).connect()
				from, to := ends(g, cpp, fromGo)
				start := time.Now()
				send(t, from, to, randomData((packets-1)*fullPayload+1000))
				t.Logf("%v", time.Since(start))
				roundTrip(t, g, cpp)
			})
		})
	}
}

// TestInteropDisorder is case 22.
func TestInteropDisorder(t *testing.T) {
	for _, tt := range []struct {
		name string
		link simnet.LinkConfig
	}{
		{"reordered", simnet.LinkConfig{Reorder: simnet.Reorder{Probability: 0.05, ExtraDelay: time.Millisecond}}},
		{"duplicated", simnet.LinkConfig{Duplicate: 0.1}},
		{"both and lost", simnet.LinkConfig{Loss: 0.01, Duplicate: 0.1, Reorder: simnet.Reorder{Probability: 0.05, ExtraDelay: time.Millisecond}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachDirection(t, func(t *testing.T, fromGo bool) {
				g, cpp := interop{goServer: true, fromGo: tt.link, fromCpp: tt.link}.start(t).connect()
				from, to := ends(g, cpp, fromGo)
				start := time.Now()
				send(t, from, to, randomData(2<<20))
				t.Logf("%v", time.Since(start))
			})
		})
	}
}

// TestInteropLostTail is cases 23 and 24: the last packet of the C++ side is a
// full one and is lost. The library repeats it only when we are silent for
// long enough, whether or not we have data of our own to send.
func TestInteropLostTail(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("go sends %v", busy), func(t *testing.T) {
			m := interop{goServer: true, cppFault: dropNumbers(99)}.start(t)
			g, cpp := m.connect()
			data := randomData(100 * fullPayload)
			var stop atomic.Bool
			var wg sync.WaitGroup
			if busy {
				wg.Go(func() {
					for !stop.Load() {
						if _, err := g.Write(data[:1]); err != nil {
							return
						}
					}
				})
				wg.Go(func() { io.Copy(io.Discard, cpp) })
			}
			start := time.Now()
			if _, err := cpp.Write(data); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(data))
			g.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.ReadFull(g, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("content differs, error %v", err)
			}
			t.Logf("complete after %v", time.Since(start))
			stop.Store(true)
			g.Close()
			wg.Wait()
		})
	}
}

// TestInteropSlowReader is cases 25 and 26: the receiver does not read until
// its window is closed, and nothing is lost. That our side never advertises
// more than its handshake did, the tap checks in every test.
func TestInteropSlowReader(t *testing.T) {
	eachDirection(t, func(t *testing.T, fromGo bool) {
		closed := make(chan struct{})
		var once sync.Once
		watch := func(p wirePacket) (v simnet.Verdict) {
			if p.is(wireACK) && p.words() > 3 && p.word(3) <= 2 {
				once.Do(func() { close(closed) })
			}
			return v
		}
		x := interop{
			goServer: true,
			goCfg:    &udt.Config{RecvBuffer: 64 * fullPayload},
			cppCfg:   &libudt.Config{ReceiveBuffer: 64 * 1472, Linger: -1},
		}
		if fromGo {
			x.cppFault = watch
		} else {
			x.goFault = watch
		}
		g, cpp := x.start(t).connect()
		from, to := ends(g, cpp, fromGo)
		data := randomData(1 << 20)
		written := make(chan error, 1)
		go func() {
			_, err := from.Write(data)
			written <- err
		}()
		select {
		case <-closed:
		case <-time.After(patience):
			t.Fatal("the window did not close")
		}
		start := time.Now()
		got := make([]byte, len(data))
		to.SetReadDeadline(time.Now().Add(patience))
		if n, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("content differs after %d bytes, error %v", n, err)
		}
		t.Logf("the rest took %v", time.Since(start))
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}
