package udt

import "math"

// What a path loses by itself tells ledbat nothing of others. It is the least that
// was lost in one of the latest blocks of packets; what is lost beyond it counts as
// congestion. Its owner is ledbat.

const (
	// ledbatBlock is the number of packets over which loss is measured,
	// ledbatBlocks how many such measurements are remembered, and ledbatLoss the
	// share beyond the least of them that counts as congestion. ledbatNewLoss is
	// the share that counts while none has been made.
	ledbatBlock   = 256
	ledbatBlocks  = 8
	ledbatLoss    = 0.02
	ledbatNewLoss = 0.3
)

// lossy reports whether more was lost than the path loses by itself, and learns
// what that is.
func (l *ledbat) lossy() bool {
	n := l.roundLost + l.roundArrived
	if n < ledbatFirst || l.roundLost < 2 {
		l.learnLoss()
		return false
	}
	share := float64(l.roundLost) / float64(n)
	limit := ledbatNewLoss
	if l.blockCount > 0 {
		// Losses come in bursts: chance needs more room than two standard
		// deviations of independent ones.
		q := max(l.random(), 1.0/ledbatBlock)
		limit = q + ledbatLoss + 5*math.Sqrt(q*(1-q)/float64(n))
	}
	l.learnLoss()
	return share > limit && (n >= 4*ledbatFirst || l.queue > l.target()/2)
}

// learnLoss measures what is lost while the window rests.
func (l *ledbat) learnLoss() {
	if l.state == ledbatStart || l.state == ledbatSlow {
		l.blockLost, l.blockArrived = 0, 0
		return
	}
	if n := l.blockLost + l.blockArrived; n >= ledbatBlock {
		l.blocks[l.blockCount%ledbatBlocks] = float64(l.blockLost) / float64(n)
		l.blockCount++
		l.blockLost, l.blockArrived = 0, 0
	}
}

// random is the least share of packets lost in the latest blocks.
func (l *ledbat) random() float64 {
	least := 1.0
	for _, b := range l.blocks[:min(l.blockCount, ledbatBlocks)] {
		least = min(least, b)
	}
	if l.blockCount == 0 {
		return 0
	}
	return least
}
