package udt

import (
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

func TestGather(t *testing.T) {
	const us, ms = time.Microsecond, time.Millisecond
	run := func(datagrams, size int) []inbound {
		return []inbound{{data: make([]byte, datagrams*size), segment: size, stamp: 1}}
	}
	unstamped := run(3, 1472)
	unstamped[0].stamp = 0
	for _, tt := range []struct {
		name  string
		rtt   time.Duration
		since time.Duration
		runs  []inbound
		more  bool // is waiting in the socket
		want  time.Duration
	}{
		{"a steady flow", 40 * ms, 100 * us, run(3, 1472), false, ms},
		{"the same, gathered", 40 * ms, 1100 * us, run(27, 1472), false, ms},
		{"a short path", 16 * ms, 100 * us, run(3, 1472), false, 800 * us},
		{"a very short path", ms, 100 * us, run(3, 1472), false, 0},
		{"a path that is not known", 0, 100 * us, run(3, 1472), false, 0},
		{"a slow flow", 40 * ms, 2 * ms, run(3, 1472), false, 0},
		{"a fast flow", 40 * ms, 100 * us, run(8, 1472), false, 400 * us},
		{"a very fast flow", 40 * ms, 100 * us, run(30, 1472), false, 0},
		{"reports", 40 * ms, 100 * us, run(3, 60), false, 0},
		{"a socket with more", 40 * ms, 100 * us, run(3, 1472), true, 0},
		{"no stamps", 40 * ms, 100 * us, unstamped, false, 0},
		{"nothing", 40 * ms, 100 * us, nil, false, 0},
	} {
		g := gatherer{since: time.Second, most: 32}
		g.near(tt.rtt)
		if got := g.pause(time.Second+tt.since, tt.runs, !tt.more); got.Round(us) != tt.want {
			t.Errorf("%s: a pause of %v, want %v", tt.name, got, tt.want)
		}
	}
}

// How much may come in a pause follows the kernel's buffer.
func TestGatherFollowsTheBuffer(t *testing.T) {
	for buffer, most := range map[int]int{0: 32, 100 << 10: 32, 1 << 20: 128, 2 << 20: 256, 64 << 20: 256} {
		g := newGatherer(buffer)
		if g.most != most {
			t.Errorf("%d bytes: %d datagrams, want %d", buffer, g.most, most)
		}
		// 120 in a millisecond.
		g.since = time.Second
		g.near(time.Second)
		twelve := []inbound{{data: make([]byte, 12*1472), segment: 1472, stamp: 1}}
		want := time.Duration(most) * time.Millisecond / 120
		if want > maxGather {
			want = maxGather
		}
		if d := g.pause(time.Second+100*time.Microsecond, twelve, true); d.Round(time.Microsecond) != want.Round(time.Microsecond) {
			t.Errorf("%d bytes: a pause of %v, want %v", buffer, d, want)
		}
	}
}

// A peer without feedback hears of us every 10 ms, so that its packets may wait for a
// part of that however short the path is.
func TestGatherWithoutFeedback(t *testing.T) {
	for _, plain := range []bool{false, true} {
		inLab(t, simnet.LinkConfig{Delay: 100 * time.Microsecond}, &Config{PlainUDT: plain}, func(l *lab) {
			c, s := l.connect()
			l.exchange(c, s, make([]byte, 1<<20), nil)
			for _, e := range []*Endpoint{l.client, l.server} {
				// Who has only received from a peer with feedback has measured nothing.
				near := time.Duration(e.gather.nearest.Load())
				if plain && near <= syn || !plain && near > syn || e == l.client && near == 0 {
					t.Errorf("plain %v: %v", plain, near)
				}
			}
		})
	}
}

// What several reads have brought counts as one.
func TestGatherCountsReads(t *testing.T) {
	g := gatherer{since: time.Second, most: 32}
	g.near(time.Second)
	eight := []inbound{{data: make([]byte, 8*1472), segment: 1472, stamp: 1}}
	now := time.Second + time.Millisecond
	for range 3 {
		if d := g.pause(now, eight, false); d != 0 {
			t.Fatalf("a pause of %v with more to read", d)
		}
		now += 10 * time.Microsecond
	}
	// 32 in a little more than a millisecond.
	if d := g.pause(now, eight, true); d != time.Millisecond {
		t.Errorf("a pause of %v", d)
	}
}

// A flow that is faster than its reader is woken for is read in pauses over any path,
// once it has been for a while. What is slow, or ends, begins anew.
func TestGatherBriefly(t *testing.T) {
	const us = time.Microsecond
	for _, tt := range []struct {
		name   string
		most   int
		in50us int // datagrams
		want   time.Duration
	}{
		{"fast", 256, 44, 100 * us},
		{"barely fast", 256, 16, 100 * us},
		{"not so fast", 256, 15, 0},
		{"faster than the buffer fills", 128, 96, 66 * us},
		{"so fast that the buffer is small", 64, 96, 0},
	} {
		g := gatherer{since: time.Second, most: tt.most}
		now := time.Second
		look := func(elapsed time.Duration) time.Duration {
			now += elapsed
			return g.pause(now, []inbound{{data: make([]byte, tt.in50us*1472), segment: 1472, stamp: 1}}, true)
		}
		for range 2 {
			for i := range briefAfter {
				if d := look(50 * us); d != 0 {
					t.Errorf("%s: a pause of %v at look %d", tt.name, d, i)
				}
			}
			for range 3 {
				if d := look(50 * us); d.Truncate(us) != tt.want {
					t.Errorf("%s: a pause of %v, want %v", tt.name, d, tt.want)
				}
			}
			if d := look(10 * time.Millisecond); d != 0 {
				t.Errorf("%s: a pause of %v after silence", tt.name, d)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	var g gatherer
	for _, rtt := range []time.Duration{0, 30, 50, -1, 20, 0} {
		g.near(rtt)
	}
	if n := g.nearest.Load(); n != 20 {
		t.Errorf("%d, want 20", n)
	}
}
