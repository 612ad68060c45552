package wan

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var start = time.Unix(1_000_000, 0)

// carry sends count numbered packets of a size through a pipe, one per interval,
// asking it for what is due at every step, and returns the numbers and times of
// what comes out.
func carry(t *testing.T, link Link, count, size int, interval time.Duration) (numbers []int, arrivals []time.Duration, counted Direction) {
	t.Helper()
	p := newPipe(link.withDefaults(), rand.New(rand.NewPCG(1, 2)))
	deliver := func(now time.Time) {
		for b := p.next(now); b != nil; b = p.next(now) {
			if b.arrival.After(now) {
				t.Fatalf("a packet for %v comes out at %v", b.arrival, now)
			}
			if len(b.data) != size {
				t.Fatalf("a packet of %d bytes comes out with %d", size, len(b.data))
			}
			numbers = append(numbers, int(binary.BigEndian.Uint32(b.data)))
			arrivals = append(arrivals, b.arrival.Sub(start))
			p.count.Delivered.add(len(b.data))
			p.recycle(b)
		}
	}
	for i := range count {
		now := start.Add(time.Duration(i) * interval)
		deliver(now)
		b := p.buffer()
		if len(b.data) != p.mtu {
			t.Fatalf("a buffer of %d bytes", len(b.data))
		}
		binary.BigEndian.PutUint32(b.data, uint32(i))
		p.accept(b, size, now)
	}
	for at, ok := p.nextArrival(); ok; at, ok = p.nextArrival() {
		deliver(at)
	}
	c := p.count
	if out := c.Delivered.Packets + c.Lost.Packets + c.Overflow.Packets; out != c.Sent.Packets || c.Sent.Packets != int64(count) {
		t.Errorf("%d packets went in and %d came out: %+v", count, out, c)
	}
	if c.Sent.Bytes != int64(count*size) {
		t.Errorf("%d bytes counted of %d packets of %d", c.Sent.Bytes, count, size)
	}
	if !slices.IsSorted(arrivals) {
		t.Error("packets come out in another order than they are due")
	}
	return numbers, arrivals, c
}

func TestPipeDelivers(t *testing.T) {
	for _, size := range []int{40, smallPacket, smallPacket + 1, 1500} {
		link := Link{Rate: 1e9, RTT: 20 * time.Millisecond}
		numbers, arrivals, _ := carry(t, link, 1000, size, time.Millisecond)
		for i := range numbers {
			want := time.Duration(i)*time.Millisecond + 10*time.Millisecond + time.Duration(size*8)
			if numbers[i] != i || arrivals[i] != want {
				t.Fatalf("packet %d arrives after %v, want %d after %v", numbers[i], arrivals[i], i, want)
			}
		}
	}
}

func TestPipeKeepsOrderUnderJitter(t *testing.T) {
	link := Link{Rate: 100e6, RTT: 20 * time.Millisecond, Jitter: 15 * time.Millisecond, Loss: 0.1}
	numbers, _, c := carry(t, link, 5000, 1500, time.Millisecond)
	if !slices.IsSorted(numbers) || c.Reordered.Packets != 0 {
		t.Error("jitter changes the order")
	}
	if c.Lost.Packets < 400 || c.Lost.Packets > 600 {
		t.Errorf("%d of 5000 packets lost, want about 500", c.Lost.Packets)
	}
}

func TestPipeReorders(t *testing.T) {
	link := Link{Rate: 1e9, RTT: 20 * time.Millisecond, Reorder: Reorder{Probability: 0.05, ExtraDelay: 2500 * time.Microsecond}}
	numbers, _, c := carry(t, link, 5000, 1500, time.Millisecond)
	late, highest := int64(0), -1
	for _, n := range numbers {
		if n < highest {
			late++
		}
		highest = max(highest, n)
	}
	if c.Reordered.Packets < 150 || c.Reordered.Packets > 350 {
		t.Errorf("%d of 5000 packets held back, want about 250", c.Reordered.Packets)
	}
	// The last ones have nobody left to overtake them.
	if late < c.Reordered.Packets-3 || late > c.Reordered.Packets {
		t.Errorf("%d packets were overtaken, %d held back", late, c.Reordered.Packets)
	}
}

func TestPipeOverflows(t *testing.T) {
	// 10 packets fill the queue; twice the rate loses half of the others.
	link := Link{Rate: 12e6, RTT: 10 * time.Millisecond}
	_, arrivals, c := carry(t, link, 2000, 1500, 500*time.Microsecond)
	if got := c.Overflow.Packets; got < 980 || got > 1000 {
		t.Errorf("%d of 2000 packets at twice the rate overflow", got)
	}
	for i := range arrivals[1:] {
		if gap := arrivals[i+1] - arrivals[i]; gap != time.Millisecond {
			t.Fatalf("packets %v apart on a full link, want 1ms", gap)
		}
	}
}

func TestPipeAllocatesNothingPerPacket(t *testing.T) {
	p := newPipe(Link{Rate: 1e9, RTT: time.Millisecond, Loss: 0.01, Reorder: Reorder{Probability: 0.01, ExtraDelay: time.Millisecond}}.withDefaults(),
		rand.New(rand.NewPCG(1, 2)))
	now := start
	step := func() {
		for i := range 100 {
			now = now.Add(20 * time.Microsecond)
			p.accept(p.buffer(), 40+1460*(i%2), now)
			for b := p.next(now); b != nil; b = p.next(now) {
				p.recycle(b)
			}
		}
	}
	for range 100 {
		step()
	}
	if got := testing.AllocsPerRun(1000, step); got >= 1 {
		t.Errorf("%v allocations per 100 packets", got)
	}
}
