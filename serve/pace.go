package serve

import "time"

// A pace decides whether a peer is fast enough: in the time that is spent
// waiting for it, it must move rate bytes per second, on the average over a
// period.
type pace struct {
	rate float64       // bytes per second; 0 means that everybody is fast enough
	over time.Duration // the period

	// Of the current period, which begins anew whenever enough was moved for all
	// of it.
	waited time.Duration
	bytes  int64
}

func newPace(l Limits) pace {
	if l.MinRateTime == 0 {
		l.MinRate = 0
	}
	return pace{rate: l.MinRate, over: l.MinRateTime}
}

// fresh returns p at the beginning of a period.
func (p *pace) fresh() *pace { return &pace{rate: p.rate, over: p.over} }

// moved counts n bytes for which we waited d, and reports whether that is fast
// enough so far.
func (p *pace) moved(d time.Duration, n int64) bool {
	if p.rate == 0 {
		return true
	}
	p.waited += d
	p.bytes += n
	if float64(p.bytes) >= p.rate*p.over.Seconds() {
		p.waited, p.bytes = 0, 0
	}
	return p.waited < p.over
}

// left returns how long we may wait before the peer has to be judged; false
// means for ever.
func (p *pace) left() (time.Duration, bool) { return max(0, p.over-p.waited), p.rate > 0 }
