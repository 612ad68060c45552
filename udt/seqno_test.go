package udt

import (
	"math/rand/v2"
	"testing"
)

func TestSeqNo(t *testing.T) {
	for _, tt := range []struct {
		s    seqNo
		n    int
		want seqNo
	}{
		{0, 0, 0},
		{0, 1, 1},
		{0, -1, seqMask},
		{seqMask, 1, 0},
		{seqMask, 0, seqMask},
		{seqMask - 1, 3, 1},
		{1, -3, seqMask - 1},
		{1<<30 - 1, 1, 1 << 30},
		{1 << 30, -1, 1<<30 - 1},
		{5, maxWindow, maxWindow + 5},
		{seqMask - 5, maxWindow, maxWindow - 6},
	} {
		got := tt.s.add(tt.n)
		if got != tt.want {
			t.Errorf("%d + %d = %d, want %d", tt.s, tt.n, got, tt.want)
		}
		if d := got.sub(tt.s); d != tt.n {
			t.Errorf("%d - %d = %d, want %d", got, tt.s, d, tt.n)
		}
		if tt.s.less(got) != (tt.n > 0) || got.less(tt.s) != (tt.n < 0) {
			t.Errorf("order of %d and %d", tt.s, got)
		}
	}
}

// add and sub are inverse, and less is an order, within 2^30 of any number.
func TestSeqNoRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		s := seqNo(r.Uint32() & seqMask)
		n := int(r.Int32N(1<<30-1)) - 1<<29
		m := int(r.Int32N(1<<29-1)) - 1<<28
		u, v := s.add(n), s.add(n).add(m)
		if u > seqMask || u.sub(s) != n || s.sub(u) != -n || v.add(-m) != u || v.sub(u) != m {
			t.Fatalf("s %d, n %d, m %d: u %d, v %d", s, n, m, u, v)
		}
	}
}

func TestSeqAt(t *testing.T) {
	for _, tt := range []struct {
		isn  seqNo
		i    int64
		want seqNo
	}{
		{0, 0, 0}, {seqMask, 1, 0}, {seqMask - 10, 1 << 31, seqMask - 10}, {7, 5<<31 + 3, 10}, {seqMask, 1<<40 + 1, 0},
	} {
		if got := seqAt(tt.isn, tt.i); got != tt.want {
			t.Errorf("packet %d from %d is %d, want %d", tt.i, tt.isn, got, tt.want)
		}
	}
}

func TestAckNo(t *testing.T) {
	if n := ackNo(seqMask).next(); n != 0 {
		t.Errorf("the number after 2^31-1 is %d", n)
	}
	for _, tt := range []struct {
		a, b ackNo
		want bool
	}{{1, 0, true}, {0, 1, false}, {3, 3, false}, {0, seqMask, true}, {seqMask, 0, false}, {1 << 29, seqMask, true}} {
		if got := tt.a.newer(tt.b); got != tt.want {
			t.Errorf("%d newer than %d: %v", tt.a, tt.b, got)
		}
	}
}

// Message numbers leave out 0 and 2^29-1.
func TestMsgNo(t *testing.T) {
	for _, tt := range []struct{ m, want msgNo }{{0, 1}, {1, 2}, {0x1FFFFFFD, 0x1FFFFFFE}, {0x1FFFFFFE, 1}} {
		if got := tt.m.next(); got != tt.want {
			t.Errorf("after %#x comes %#x, want %#x", tt.m, got, tt.want)
		}
	}
}

func TestRandomNumbers(t *testing.T) {
	for range 10_000 {
		if id := randomID(); id < 1 || id > maxSocketID {
			t.Fatalf("socket id %d", id)
		}
		if s := randomISN(); s < 1 || s > seqMask-1 {
			t.Fatalf("initial sequence number %d", s)
		}
	}
}
