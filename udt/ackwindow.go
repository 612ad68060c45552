package udt

import "time"

// ackWindow remembers when the latest full ACKs were sent, so that the ACK2 of
// one of them measures a round trip.
type ackWindow struct {
	ring []sentACK // allocated with the first ACK; indexed by number
}

type sentACK struct {
	no   ackNo
	used bool
	at   time.Duration
}

// ackWindowSize bounds the history. At 2 ms an ACK it spans half a second;
// an ACK2 that takes longer is not worth a sample.
const ackWindowSize = 256

func (w *ackWindow) sent(no ackNo, now time.Duration) {
	if w.ring == nil {
		w.ring = make([]sentACK, ackWindowSize)
	}
	w.ring[no%ackWindowSize] = sentACK{no: no, used: true, at: now}
}

// confirmed returns the ACK that an ACK2 names, once.
func (w *ackWindow) confirmed(no ackNo) (a sentACK, ok bool) {
	if w.ring == nil {
		return sentACK{}, false
	}
	e := &w.ring[no%ackWindowSize]
	if !e.used || e.no != no {
		return sentACK{}, false
	}
	a = *e
	e.used = false
	return a, true
}
