package udt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

func newRecvBuffer(payload int) *recvBuffer {
	b := new(recvBuffer)
	b.init(payload)
	return b
}

func (b *recvBuffer) insert(i int64, data []byte, capacity int) insertResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.insertLocked(i, data, capacity)
}

// cut cuts a random stream into n packets of up to payload bytes, some of them
// empty; the offset of packet i is offset[i].
func cut(r *rand.Rand, n, payload int) (stream []byte, offset []int) {
	for range n {
		offset = append(offset, len(stream))
		size := payload
		switch r.Int32N(4) {
		case 0:
			size = r.IntN(payload + 1)
		case 1:
			size = min(payload, 1)
		}
		for range size {
			stream = append(stream, byte(r.Uint32()))
		}
	}
	return stream, append(offset, len(stream))
}

// Packets in random order, with duplicates and some beyond the window, while a
// reader takes random amounts, waits or gives up waiting, compared with the stream
// that they are cut from.
func TestRecvBufferAgainstStream(t *testing.T) {
	for _, tt := range []struct{ payload, capacity int }{{1, 5}, {10, 1}, {10, 64}, {7, 300}, {100, 1000}} {
		t.Run(fmt.Sprintf("payload %d, capacity %d", tt.payload, tt.capacity), func(t *testing.T) {
			const packets = 3000
			r := rand.New(rand.NewPCG(uint64(tt.payload), uint64(tt.capacity)))
			stream, offset := cut(r, packets, tt.payload)
			b := newRecvBuffer(tt.payload)
			held := make(map[int64]bool) // inserted so far, read or not
			var got []byte
			next, top := int64(0), int64(0)
			var waiting []byte // what the reader gave to be filled
			passed := 0
			for len(got) < len(stream) || next < packets {
				if r.Int32N(3) > 0 {
					i := min(max(0, next-5+r.Int64N(int64(tt.capacity)+10)), packets-1)
					if r.Int32N(4) == 0 {
						i = min(next, packets-1)
					}
					want := stored
					switch {
					case held[i]:
						want = duplicate
					case i >= b.read+int64(tt.capacity):
						want = noRoom
					}
					if res := b.insert(i, stream[offset[i]:offset[i+1]], tt.capacity); res != want {
						t.Fatalf("insert of %d: %v, want %v (read %d, next %d)", i, res, want, b.read, next)
					}
					if want == stored {
						held[i] = true
						top = max(top, i+1)
					}
					for held[next] {
						next++
					}
				} else {
					p := waiting
					if p == nil {
						p = make([]byte, r.IntN(5*tt.payload)+1)
					}
					var n int
					passed += b.direct
					if waiting != nil && r.IntN(3) == 0 {
						n = b.leave()
						waiting = nil
					} else {
						var err error
						n, _, err = b.take(p, tt.capacity)
						if err != nil || n != min(len(p), offset[next]-len(got)) {
							t.Fatalf("take of %d: %d, %v; %d are in order", len(p), n, err, offset[next]-len(got))
						}
						if waiting = nil; n == 0 {
							waiting = p
						}
					}
					got = append(got, p[:n]...)
					if !bytes.Equal(got[len(got)-n:], stream[len(got)-n:len(got)]) {
						t.Fatalf("wrong bytes before %d", len(got))
					}
				}
				if ready := b.pending + b.direct; b.next != next || b.top != top || ready != offset[next]-len(got) {
					t.Fatalf("next %d, top %d, %d to be read; want %d, %d, %d", b.next, b.top, ready, next, top, offset[next]-len(got))
				}
				if most := (b.top-b.read)/chunkPackets + 2; int64(len(b.chunks)) > most {
					t.Fatalf("%d chunks hold packets %d to %d", len(b.chunks), b.read, b.top)
				}
			}
			b.take(make([]byte, 1), tt.capacity) // passes empty packets at the end
			if passed == 0 {
				t.Error("nothing went to the reader without a stay in the buffer")
			}
			if len(b.chunks) != 0 || b.read != packets {
				t.Errorf("at packet %d of %d with %d chunks after all was read", b.read, packets, len(b.chunks))
			}
		})
	}
}

// A far packet takes one chunk, not one for each before it.
func TestRecvBufferIsSparse(t *testing.T) {
	b := newRecvBuffer(10)
	if res := b.insert(30_000, []byte("x"), 1<<15); res != stored {
		t.Fatal(res)
	}
	chunks := 0
	for _, c := range b.chunks {
		if c != nil {
			chunks++
		}
	}
	if chunks != 1 {
		t.Errorf("one packet takes %d chunks", chunks)
	}
	b.discard()
	if len(b.chunks) != 0 {
		t.Error("chunks are left after discard")
	}
	if res := b.insert(5, []byte("x"), 1<<15); res != duplicate || len(b.chunks) != 0 {
		t.Errorf("a packet from before the discard: %v", res)
	}
}

func TestRecvBufferEnd(t *testing.T) {
	cutShort := errors.New("cut short")
	for _, tt := range []struct {
		name    string
		packets []int64
		want    string
		wantErr error
	}{
		{"nothing came", nil, "", io.EOF},
		{"all came", []int64{1, 0, 2}, "012", io.EOF},
		{"a hole", []int64{0, 1, 3}, "01", cutShort},
	} {
		b := newRecvBuffer(10)
		for _, i := range tt.packets {
			b.insert(i, fmt.Append(nil, i), 100)
		}
		b.close(io.EOF, cutShort)
		b.close(errors.New("second"), nil)
		var got []byte
		var err error
		for p := make([]byte, 2); err == nil; {
			var n int
			n, _, err = b.take(p, 100)
			got = append(got, p[:n]...)
		}
		if string(got) != tt.want || err != tt.wantErr {
			t.Errorf("%s: %q, %v, want %q, %v", tt.name, got, err, tt.want, tt.wantErr)
		}
		// A zero-byte read tells nothing about the stream.
		if n, _, err := b.take(nil, 100); n != 0 || err != nil {
			t.Errorf("%s: empty read: %d, %v", tt.name, n, err)
		}
	}
}

// ready is poked when a reader waits and there is something to read, no
// sooner and once.
func TestRecvBufferWakesReader(t *testing.T) {
	b := newRecvBuffer(10)
	woken := func() bool {
		b.mu.Lock()
		b.wakeLocked()
		b.mu.Unlock()
		select {
		case <-b.ready:
			return true
		default:
			return false
		}
	}
	p := make([]byte, 5)
	b.insert(0, []byte("abc"), 100)
	if woken() {
		t.Error("woken although nobody waits")
	}
	b.take(p, 100)
	b.take(p, 100) // waits from here on
	b.insert(2, []byte("ghi"), 100)
	if woken() {
		t.Error("woken for data out of order")
	}
	b.insert(1, []byte("def"), 100)
	if !woken() || woken() {
		t.Error("not woken once for data in order")
	}
	b.take(p, 100)
	b.take(p, 100)
	b.take(p, 100)
	b.close(io.EOF, io.ErrUnexpectedEOF)
	if !woken() {
		t.Error("not woken by the end")
	}
}

// Whoever advertised a nearly closed window hears of it once there is room for
// a quarter of the buffer, or 256 packets.
func TestRecvBufferReopens(t *testing.T) {
	for _, tt := range []struct{ capacity, room int }{{4, 2}, {32, 8}, {400, 100}, {5000, 256}} {
		b := newRecvBuffer(1)
		for i := range int64(tt.capacity) {
			b.insert(i, []byte{1}, tt.capacity)
		}
		b.reopen = true
		p := make([]byte, 1)
		for n := 1; n <= tt.capacity; n++ {
			_, reopened, err := b.take(p, tt.capacity)
			if want := n == tt.room; reopened != want || err != nil {
				t.Errorf("capacity %d, room for %d: %v, %v", tt.capacity, n, reopened, err)
			}
		}
	}
}

// One goroutine inserts, one reads, as in a connection.
func TestRecvBufferConcurrent(t *testing.T) {
	const packets, payload, capacity = 20_000, 50, 100
	r := rand.New(rand.NewPCG(1, 1))
	stream, offset := cut(r, packets, payload)
	b := newRecvBuffer(payload)
	room := make(chan struct{}, 1)
	go func() {
		for done := int64(0); done < packets; {
			// Pairs come swapped.
			refused := false
			for _, i := range []int64{done + 1, done} {
				if i < packets && b.insert(i, stream[offset[i]:offset[i+1]], capacity) == noRoom {
					refused = true
				}
			}
			b.mu.Lock()
			b.wakeLocked()
			done = b.next
			b.mu.Unlock()
			if refused {
				<-room
			}
		}
		b.close(io.EOF, io.ErrUnexpectedEOF)
	}()
	var got []byte
	p := make([]byte, 333)
	for {
		n, _, err := b.take(p, capacity)
		got = append(got, p[:n]...)
		poke(room)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			<-b.ready
		}
	}
	if !bytes.Equal(got, stream) {
		t.Error("other bytes were read than sent")
	}
}

// A reader that waits gets what comes in order in its own memory, and nothing is
// held for it; it gets that also if it gives up, and whatever ends the stream.
func TestRecvBufferPassesDirectly(t *testing.T) {
	for _, tt := range []struct {
		name  string
		then  func(b *recvBuffer, p []byte) int
		wantN int
	}{
		{"reads on", func(b *recvBuffer, p []byte) int { n, _, _ := b.take(p, 100); return n }, 8},
		{"gives up", func(b *recvBuffer, p []byte) int { return b.leave() }, 6},
		{"after the end", func(b *recvBuffer, p []byte) int {
			b.close(io.EOF, io.EOF)
			n, _, _ := b.take(p, 100)
			return n
		}, 8},
	} {
		b := newRecvBuffer(10)
		p := make([]byte, 8)
		b.take(p, 100)
		b.insert(0, []byte("abc"), 100)
		b.insert(1, []byte("def"), 100)
		if b.direct != 6 || b.pending != 0 || len(b.chunks) != 0 {
			t.Errorf("%s: %d bytes went directly, %d wait in %d chunks", tt.name, b.direct, b.pending, len(b.chunks))
		}
		b.insert(2, []byte("ghi"), 100) // does not fit
		if b.direct != 6 || b.pending != 3 {
			t.Errorf("%s: %d bytes went directly, %d wait", tt.name, b.direct, b.pending)
		}
		if n := tt.then(b, p); n != tt.wantN || string(p[:n]) != "abcdefgh"[:n] {
			t.Errorf("%s: got %q, want %d bytes", tt.name, p[:n], tt.wantN)
		}
		was := string(p)
		b.insert(3, []byte("XYZ"), 100)
		if string(p) != was {
			t.Errorf("%s: the memory of a reader that does not wait was written to", tt.name)
		}
	}
}

func BenchmarkRecvBuffer(b *testing.B) {
	const packets, payload = 64, 1456
	data := make([]byte, payload)
	p := make([]byte, 64<<10)
	for _, bb := range []struct {
		name  string
		order func(i int64) int64
	}{
		{"in order", func(i int64) int64 { return i }},
		{"reversed", func(i int64) int64 { return packets - 1 - i }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			buf := newRecvBuffer(payload)
			base := int64(0)
			b.SetBytes(packets * payload)
			b.ReportAllocs()
			for b.Loop() {
				buf.mu.Lock()
				for i := range int64(packets) {
					if res := buf.insertLocked(base+bb.order(i), data, 1<<15); res != stored {
						b.Fatal(res)
					}
				}
				buf.mu.Unlock()
				base += packets
				for n := 0; n < packets*payload; {
					k, _, err := buf.take(p, 1<<15)
					if err != nil {
						b.Fatal(err)
					}
					n += k
				}
			}
		})
	}
}

// Packets of two sizes, in any order, come out in order, and what they weigh is
// counted back to nothing.
func TestRecvBufferSizesMix(t *testing.T) {
	const payload, large, packets, capacity = 10, 73, 2000, 300
	r := rand.New(rand.NewPCG(3, 4))
	b := newRecvBuffer(payload)
	b.large = large
	var stream []byte
	sizes := make([][]byte, packets)
	for i := range sizes {
		n := r.IntN(payload + 1)
		if i/150%2 == 1 { // changes in the midst of chunks
			n = r.IntN(large + 1)
		}
		sizes[i] = make([]byte, n)
		for k := range sizes[i] {
			sizes[i][k] = byte(r.Int())
		}
		stream = append(stream, sizes[i]...)
	}
	var got []byte
	buf := make([]byte, 500)
	for len(got) < len(stream) {
		b.mu.Lock()
		for range 20 {
			if i := b.next + int64(r.IntN(40)); i < packets {
				b.insertLocked(i, sizes[i], capacity)
			}
		}
		if b.next < packets {
			b.insertLocked(b.next, sizes[b.next], capacity)
		}
		b.mu.Unlock()
		if r.IntN(3) == 0 {
			n, _, _ := b.take(buf, capacity)
			got = append(got, buf[:n]...)
		}
		want, chunks := 0, 0
		for i := b.read; i < b.next; i++ {
			want += b.chunkLocked(i).weight
		}
		for _, c := range b.chunks {
			if c != nil {
				chunks += chunkPackets * c.weight
			}
		}
		if held := b.heldLocked(); held != want || chunks != b.taken {
			t.Fatalf("weight %d, want %d; of chunks %d, want %d", held, want, b.taken, chunks)
		}
	}
	if !bytes.Equal(got, stream) {
		t.Error("content differs")
	}
	b.take(buf, capacity) // packets without bytes at the end
	if b.heavy != 0 || b.taken != 0 {
		t.Errorf("in the end %d and %d are left", b.heavy, b.taken)
	}
}

// However few large packets a peer sends, what they make us hold is bounded by
// the capacity.
func TestRecvBufferLargeIsBounded(t *testing.T) {
	const payload, large, capacity = 1456, 8956, 4096
	b := newRecvBuffer(payload)
	b.large = large
	for i := int64(1); i < capacity; i += chunkPackets {
		b.insertLocked(i, make([]byte, large), capacity)
	}
	if most := capacity + 2*6*chunkPackets; b.taken > most {
		t.Errorf("a weight of %d is held, want %d at most", b.taken, most)
	}
	if b.insertLocked(0, make([]byte, large), capacity) != stored {
		t.Error("the packet that everything waits for was refused")
	}
}
