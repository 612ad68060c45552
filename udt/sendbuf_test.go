package udt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

func newSendBuffer(payload int) *sendBuffer {
	b := new(sendBuffer)
	b.init(payload, NewMemory(1<<40))
	return b
}

func (b *sendBuffer) seal() (packet []byte, i int64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i, ok = b.sealLocked(); !ok {
		return nil, 0, false
	}
	return b.packetLocked(i), i, true
}

// writeAll writes until the buffer takes no more, in parts that are not left to the
// loop, and reports whether that had to be woken.
func (b *sendBuffer) writeAll(p []byte, limit int) (n int, woken bool, err error) {
	for {
		k, wake, err := b.write(p[n:min(n+longWrite-1, len(p))], limit)
		n += k
		woken = woken || wake
		if k == 0 || err != nil || n == len(p) {
			return n, woken, err
		}
	}
}

// Random writes, seals and acknowledgements, compared with the bytes written:
// the packets cut the stream without gaps, sealed ones do not change, and the
// last one before a pause is not full.
func TestSendBufferAgainstStream(t *testing.T) {
	for _, tt := range []struct{ payload, limit int }{{1, 8}, {2, 1}, {10, 3}, {10, 200}, {32, 1000}, {1456, 300}} {
		t.Run(fmt.Sprintf("payload %d, limit %d", tt.payload, tt.limit), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(tt.payload), uint64(tt.limit)))
			source := rand.NewChaCha8([32]byte{1})
			b := newSendBuffer(tt.payload)
			var stream []byte  // written
			var offset []int64 // of each sealed packet in stream; one more for the end
			offset = append(offset, 0)
			base := int64(0)
			check := func(i int64) {
				t.Helper()
				b.mu.Lock()
				defer b.mu.Unlock()
				p := b.packetLocked(i)
				if want := stream[offset[i]:offset[i+1]]; !bytes.Equal(p[headerSize:], want) {
					t.Fatalf("packet %d changed", i)
				}
			}
			seal := func() bool {
				p, i, ok := b.seal()
				if !ok {
					if got := offset[len(offset)-1]; got != int64(len(stream)) {
						t.Fatalf("nothing to seal after %d of %d bytes", got, len(stream))
					}
					return false
				}
				if want := int64(len(offset) - 1); i != want {
					t.Fatalf("sealed packet %d, want %d", i, want)
				}
				n := int64(len(p) - headerSize)
				if n < 1 || n > int64(tt.payload) {
					t.Fatalf("packet %d carries %d bytes", i, n)
				}
				offset = append(offset, offset[i]+n)
				if offset[i+1] == int64(len(stream)) && n == int64(tt.payload) && tt.payload > 1 {
					t.Fatalf("packet %d is the last for now, and full", i)
				}
				check(i)
				return true
			}
			ack := func(n int64) {
				b.ack(n)
				base = n
			}
			for range 4000 {
				next := int64(len(offset) - 1)
				switch r.Int32N(4) {
				case 0:
					p := make([]byte, r.IntN(4*tt.payload+2))
					source.Read(p)
					idle := b.next == b.end
					n, wake, err := b.writeAll(p, tt.limit)
					if err != nil || n > len(p) {
						t.Fatalf("write of %d bytes: %d, %v", len(p), n, err)
					}
					if wake != (idle && n > 0) {
						t.Fatalf("write of %d bytes, idle %v: wake %v", n, idle, wake)
					}
					stream = append(stream, p[:n]...)
					if full := b.end-base >= int64(tt.limit); n < len(p) && !full {
						t.Fatalf("%d of %d bytes taken with room for more", n, len(p))
					}
					// The byte that a seal moves may need a packet of its own.
					if b.end-base > int64(tt.limit)+1 {
						t.Fatalf("%d packets held, limit %d", b.end-base, tt.limit)
					}
				case 1:
					for range r.Int32N(10) {
						seal()
					}
				case 2:
					if next > base {
						check(base + r.Int64N(next-base))
					}
				case 3:
					ack(base + r.Int64N(next-base+1))
				}
				unacked, unsent := b.waiting()
				if unacked != b.end-base || unsent != b.end-int64(len(offset)-1) {
					t.Fatalf("waiting: %d, %d", unacked, unsent)
				}
				if chunks := int64(len(b.chunks)); chunks > unacked/chunkPackets+2 {
					t.Fatalf("%d chunks hold %d packets", chunks, unacked)
				}
			}
			for seal() {
			}
			ack(int64(len(offset) - 1))
			if len(b.chunks) != 0 {
				t.Errorf("%d chunks left with nothing to hold", len(b.chunks))
			}
		})
	}
}

// Neighbours in a chunk can be joined: full packets lie one behind the other.
func TestSendBufferPacketsAreAdjacent(t *testing.T) {
	b := newSendBuffer(10)
	if _, _, err := b.write(make([]byte, 35), 100); err != nil {
		t.Fatal(err)
	}
	first, _, _ := b.seal()
	second, _, _ := b.seal()
	joined := first[:len(first)+len(second)]
	joined[len(first)] = 0xAA
	if second[0] != 0xAA {
		t.Error("the second packet does not follow the first")
	}
}

// A writer that waits is woken when a quarter of the limit is free, not for
// every packet.
func TestSendBufferWakesWriter(t *testing.T) {
	const limit = 16
	b := newSendBuffer(10)
	b.writeAll(make([]byte, 1000), limit)
	for range limit - 1 {
		b.seal()
	}
	for n := int64(1); n < limit; n++ {
		b.ack(n)
		woken := false
		select {
		case <-b.space:
			woken = true
		default:
		}
		if woken != (n == limit/4) {
			t.Errorf("%d packets free: woken %v", n, woken)
		}
	}
}

// wakes reports whether a writer has been woken since the latest call.
func wakes(b *sendBuffer) bool {
	select {
	case <-b.space:
		return true
	default:
		return false
	}
}

func TestSendBufferErrors(t *testing.T) {
	first, second, once := errors.New("first"), errors.New("second"), errors.New("once")
	b := newSendBuffer(10)
	b.write(make([]byte, 25), 100)
	b.seal()

	b.failOnce(once)
	if !wakes(b) {
		t.Error("a waiting writer does not hear of the error")
	}
	if n, _, err := b.write([]byte("x"), 100); n != 0 || err != once {
		t.Errorf("write: %d, %v, want the one error", n, err)
	}
	if n, _, err := b.write([]byte("x"), 100); n != 1 || err != nil {
		t.Errorf("write after the one error: %d, %v", n, err)
	}

	b.close(first)
	if !wakes(b) {
		t.Error("a waiting writer does not hear of the end")
	}
	b.close(second)
	if n, _, err := b.write([]byte("x"), 100); n != 0 || err != first {
		t.Errorf("write: %d, %v, want the first error", n, err)
	}
	if _, _, ok := b.seal(); ok || len(b.chunks) != 0 {
		t.Error("data is left after it was discarded")
	}
	if unacked, unsent := b.waiting(); unacked != 0 || unsent != 0 {
		t.Errorf("waiting: %d, %d", unacked, unsent)
	}
}

// A writer and the loop at the same time, as in a connection. All that is sealed is
// acknowledged at once, also the packets before those that are being filled.
func TestSendBufferConcurrent(t *testing.T) {
	const payload, limit = 100, 200
	b := newSendBuffer(payload)
	data := randomBytes(4<<20, 1)
	r := rand.New(rand.NewPCG(1, 1))
	done := make(chan error, 1)
	poked := make(chan struct{}, 1)
	go func() {
		for rest := data; len(rest) > 0; {
			n, wake, err := b.write(rest[:min(len(rest), 1+r.IntN(3*chunkPackets*payload))], limit)
			if err != nil {
				done <- err
				return
			}
			poke(poked)
			if rest = rest[n:]; n == 0 && !wake {
				<-b.space
			}
		}
		done <- nil
	}()
	var got []byte
	for len(got) < len(data) {
		p, i, ok := b.seal()
		if !ok {
			<-poked
			continue
		}
		got = append(got, p[headerSize:]...)
		b.ack(i + 1)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !bytes.Equal(got, data) {
		t.Error("other bytes were sent than written")
	}
}

// The end of a connection while a writer fills a chunk leaves that chunk to it: the
// race detector sees whoever else gets hold of it.
func TestSendBufferClosedWhileWriting(t *testing.T) {
	const payload = 1456
	data := randomBytes(chunkPackets*payload, 1)
	for range 200 {
		b := newSendBuffer(payload)
		closed, done := make(chan struct{}), make(chan error, 1)
		go func() {
			<-closed
			for {
				if _, _, err := b.write(data, 1<<20); err != nil {
					done <- err
					return
				}
			}
		}()
		close(closed)
		filling := func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.filling != nil
		}
		for !filling() {
			b.seal()
		}
		b.close(io.EOF)
		c := newChunk(headerSize+payload, 1)
		clear(c.slots)
		recycle(c)
		if err := <-done; err != io.EOF {
			t.Fatalf("the writer got %v", err)
		}
		if unacked, _ := b.waiting(); unacked != 0 || b.held != 0 {
			t.Fatalf("%d packets and %d bytes are left", unacked, b.held)
		}
	}
}

func BenchmarkSendBuffer(b *testing.B) {
	const packets, payload = 64, 1456
	buf := newSendBuffer(payload)
	data := make([]byte, packets*payload)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if n, _, err := buf.write(data, 1<<20); n != len(data) || err != nil {
			b.Fatal(n, err)
		}
		buf.mu.Lock()
		i, ok := buf.sealLocked()
		for next := i; ok; next, ok = buf.sealLocked() {
			i = next
			putDataHeader(buf.packetLocked(i), seqAt(5, i), 1, 2)
			*buf.markLocked(i) = sentMark{at: time.Second, count: 1}
		}
		buf.mu.Unlock()
		buf.ack(i + 1)
	}
}

// A writer does not run ahead of the sender by more than what the sender could
// need at once, however large the buffer may become.
func TestWriterStaysAhead(t *testing.T) {
	const payload, limit = 1456, 30_000
	var b sendBuffer
	b.init(payload, NewMemory(1<<40))
	send := func(n int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for range n {
			if _, ok := b.sealLocked(); !ok {
				t.Fatal("nothing is waiting")
			}
		}
		b.wakeLocked()
	}
	rest := make([]byte, 20<<20)
	write := func() (packets int64) {
		before := b.end
		n, _, _ := b.writeAll(rest, limit)
		rest = rest[n:]
		return b.end - before
	}
	ahead := int64(aheadBytes / (headerSize + b.payload))
	if n := write(); n != ahead {
		t.Fatalf("%d packets taken, want %d", n, ahead)
	}
	send(int(ahead/4) - 1)
	if wakes(&b) {
		t.Error("woken for less than a quarter")
	}
	send(1)
	if !wakes(&b) {
		t.Error("not woken when a quarter was sent")
	}
	for b.next < 2000 {
		write()
		send(100)
	}
	write()
	if waiting, sent := b.end-b.next, b.next-b.base; waiting != sent {
		t.Errorf("%d packets wait, %d are unacknowledged", waiting, sent)
	}
	wakes(&b) // by the last burst, before the buffer was filled up again
	b.ack(1000)
	if wakes(&b) {
		t.Error("woken although no more may wait")
	}
}

// The size of packets to come changes at any time; what they weigh is counted
// back to nothing, and the limit counts it.
func TestSendBufferResize(t *testing.T) {
	const payload, limit = 100, 400
	r := rand.New(rand.NewPCG(5, 6))
	b := newSendBuffer(payload)
	var stream, got []byte
	for range 3000 {
		switch r.IntN(8) {
		case 0:
			b.resize([]int{payload, 3 * payload, 620}[r.IntN(3)])
		case 1, 2, 3:
			p := randomBytes(r.IntN(3000), byte(r.Int()))
			n, _, err := b.write(p, limit)
			if err != nil {
				t.Fatal(err)
			}
			stream = append(stream, p[:n]...)
		case 4, 5, 6:
			for range r.IntN(10) {
				i, ok := b.sealLocked()
				if !ok {
					break
				}
				got = append(got, b.packetLocked(i)[headerSize:]...)
			}
		case 7:
			b.ack(b.base + r.Int64N(b.next-b.base+1))
		}
		sent, held := int64(0), int64(0)
		for i := b.base; i < b.end; i++ {
			c, _ := b.locateLocked(i)
			held += int64(c.weight)
			if i < b.next {
				sent += int64(c.weight)
			}
		}
		if held != b.heldLocked() || sent != b.next-b.base+b.heavySent {
			t.Fatalf("weights %d and %d, want %d and %d", b.heldLocked(), b.next-b.base+b.heavySent, held, sent)
		}
		if held > limit+10 {
			t.Fatalf("a weight of %d is held", held)
		}
	}
	for {
		i, ok := b.sealLocked()
		if !ok {
			break
		}
		got = append(got, b.packetLocked(i)[headerSize:]...)
	}
	if !bytes.Equal(got, stream) {
		t.Error("content differs")
	}
	b.ack(b.end)
	if b.heavySent != 0 || b.heavyHeld != 0 {
		t.Errorf("in the end %d and %d are left", b.heavySent, b.heavyHeld)
	}
}
