package udt

import (
	"testing"
	"time"
)

func TestACKWindow(t *testing.T) {
	var w ackWindow
	if _, ok := w.confirmed(1); ok {
		t.Error("an ACK that was never sent is confirmed")
	}
	no := ackNo(seqMask - 10) // numbers wrap on the way
	first := no
	for i := range 2 * ackWindowSize {
		w.sent(no, time.Duration(i))
		no = no.next()
	}
	for i := range 2 * ackWindowSize {
		n := (first + ackNo(i)) & seqMask
		a, ok := w.confirmed(n)
		if want := i >= ackWindowSize; ok != want {
			t.Fatalf("ACK %d of %d is known: %v, want %v", i, 2*ackWindowSize, ok, want)
		}
		if ok && (a.no != n || a.at != time.Duration(i)) {
			t.Fatalf("ACK %d: %+v", i, a)
		}
		// The second ACK2 of one ACK would measure something else.
		if _, ok := w.confirmed(n); ok {
			t.Fatalf("ACK %d is confirmed twice", i)
		}
	}
	if _, ok := w.confirmed(no); ok {
		t.Error("an ACK of the future is confirmed")
	}
}

// A number that was never used is not confirmed by an empty slot.
func TestACKWindowZero(t *testing.T) {
	var w ackWindow
	w.sent(1, time.Second)
	if _, ok := w.confirmed(0); ok {
		t.Error("ACK 0 was never sent")
	}
}
