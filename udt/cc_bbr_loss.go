package udt

import (
	"math"
	"time"
)

const (
	// bbrMaxLoss bounds what is compensated, bbrUnproved before packets have shown it
	// that were sent while we sent less than the path carries. What is compensated and
	// comes of sending too much makes itself true: a path with a short queue loses just
	// what is sent in addition.
	bbrMaxLoss  = 0.35
	bbrUnproved = 0.1
	// bbrCalm is the part of the delivery rate that is sent at most while random loss
	// is measured, compensation included.
	bbrCalm = 0.9
)

// calm reports whether a packet was sent while we sent less than the path
// carries.
func (b *bbr) calm(sentAt time.Duration) bool {
	return sentAt >= b.calmFrom && (sentAt < b.calmTo || b.calmTo == 0) && b.calmFrom != 0
}

// learnLoss brings the share of random loss up to date. All loss is the upper
// bound; what is lost while we send less than the path carries is the measure,
// as far as it has seen enough packets.
func (b *bbr) learnLoss() {
	const (
		half   = 2048 // packets after which older ones count half
		enough = 256
		few    = 64 // of those sent less than the path carries; chance has its room below
	)
	if n := b.allLost + b.allArrived; n > half {
		b.allLost, b.allArrived = b.allLost/2, b.allArrived/2
	}
	if n := b.calmLost + b.calmArrived; n > half {
		b.calmLost, b.calmArrived = b.calmLost/2, b.calmArrived/2
	}
	p := 0.0
	if n := b.allLost + b.allArrived; n >= enough {
		p = b.allLost / n
	}
	if n := b.calmLost + b.calmArrived; n >= few {
		// Losses come in bursts, so that chance needs more room than two standard
		// deviations of independent ones.
		q := max(b.calmLost, 1) / n
		p = min(p, q+5*math.Sqrt(q*(1-q)/n))
	} else {
		p = min(p, bbrUnproved)
	}
	b.random = min(p, bbrMaxLoss)
}

// compensation is the share of loss to make up for by sending more. While a
// queue stands the link is full anyway, and sending more only loses more.
func (b *bbr) compensation() float64 {
	few := max(b.minRTT/8, 4*time.Millisecond)
	queue := max(0, b.recent-b.minRTT)
	return b.random * min(max(2-float64(queue)/float64(few), 0), 1)
}

// beyondChance reports whether more of n packets were lost than the path's random
// losses explain: more than three standard deviations, and one packet, beyond
// their mean.
func (b *bbr) beyondChance(lost, n int) bool {
	mean := float64(n) * b.random
	return float64(lost) > mean+3*math.Sqrt(mean+1)
}
