package udt

import (
	"math"
	"time"
)

// cubic stands for TCP in tests of sharing: the window of CUBIC (RFC 9438), on
// the acknowledgements and losses that ours sees.
type cubic struct {
	limit     int
	window    float64
	threshold float64
	most      float64 // window before the latest decrease
	since     time.Duration
	recoverTo time.Duration // losses of packets sent before belong to the same flight
	rtt       time.Duration
	slow      bool
}

func newCubic() Congestion { return &cubic{} }

func (*cubic) Name() string    { return "cubic" }
func (c *cubic) State() string { return "" }
func (c *cubic) Init(_ time.Duration, p CongestionParams) {
	*c = cubic{limit: p.MaxWindow, window: 10, slow: true}
}
func (c *cubic) OnSend(time.Duration, SendEvent) {}
func (c *cubic) OnTimeout(time.Duration)         { c.threshold, c.window, c.slow = c.window*0.7, 2, true }
func (c *cubic) SendPeriod() time.Duration       { return 0 }
func (c *cubic) Window() int                     { return min(int(c.window), c.limit) }

func (c *cubic) OnACK(now time.Duration, e ACKEvent) {
	c.rtt = e.RTT
	if e.Newly == 0 {
		return
	}
	if c.slow {
		c.window += float64(e.Newly)
		if c.threshold > 0 && c.window > c.threshold {
			c.leave(now, c.window)
		}
		return
	}
	k := math.Cbrt(c.most * 0.3 / 0.4)
	t := (now - c.since + c.rtt).Seconds()
	target := 0.4*math.Pow(t-k, 3) + c.most
	reno := c.most*0.7 + 3*0.3/1.7*(now-c.since).Seconds()/max(c.rtt.Seconds(), 1e-3)
	target = min(max(target, reno), 1.5*c.window)
	if target > c.window {
		c.window += (target - c.window) / c.window * float64(e.Newly)
	}
}

func (c *cubic) leave(now time.Duration, most float64) { c.slow, c.most, c.since = false, most, now }

func (c *cubic) OnLoss(now time.Duration, e LossEvent) {
	if e.SentAt < c.recoverTo {
		return
	}
	c.recoverTo = now
	most := c.window
	c.window = max(2, c.window*0.7)
	c.leave(now, most)
}

// bbr1 stands for BBR of Linux TCP (version 1): eight phases of one round trip,
// no heed of losses, two bandwidth-delay products in flight.
type bbr1 struct {
	limit    int
	rates    [10]float64 // highest of each round trip
	round    int
	roundEnd int64
	full     float64
	flat     int
	filled   bool
	drained  bool
	minRTT   time.Duration
	minAt    time.Duration
	restTill time.Duration // few packets in flight until then
	phase    int
	phaseAt  time.Duration
	inFlight int
}

func newBBR1() Congestion { return &bbr1{} }

func (*bbr1) Name() string                               { return "tcp-bbr" }
func (*bbr1) State() string                              { return "" }
func (b *bbr1) Init(_ time.Duration, p CongestionParams) { *b = bbr1{limit: p.MaxWindow} }
func (b *bbr1) OnLoss(time.Duration, LossEvent)          {}
func (b *bbr1) OnTimeout(time.Duration)                  {}
func (b *bbr1) OnSend(_ time.Duration, e SendEvent)      { b.inFlight = e.InFlight }

func (b *bbr1) rate() (most float64) {
	for _, r := range b.rates {
		most = max(most, r)
	}
	return most
}

func (b *bbr1) bdp() float64 { return b.rate() * b.minRTT.Seconds() }

func (b *bbr1) OnACK(now time.Duration, e ACKEvent) {
	b.inFlight = e.InFlight
	if e.Latest > 0 && (b.minRTT == 0 || e.Latest <= b.minRTT) {
		b.minRTT, b.minAt = e.Latest, now
	}
	if e.Newly == 0 {
		return
	}
	if e.Sample != (RateSample{}) && e.Sample.Prior >= b.roundEnd {
		b.round++
		b.roundEnd = e.Delivered + int64(e.InFlight)
		b.rates[b.round%len(b.rates)] = 0
		if !b.filled {
			if b.rate() > 1.25*b.full {
				b.full, b.flat = b.rate(), 0
			} else if b.flat++; b.flat >= 3 {
				b.filled = true
			}
		}
	}
	if s := e.Sample; !s.AppLimited || s.Rate > b.rate() {
		b.rates[b.round%len(b.rates)] = max(b.rates[b.round%len(b.rates)], s.Rate)
	}
	switch {
	case !b.filled:
	case !b.drained:
		if float64(b.inFlight) <= b.bdp() {
			b.drained, b.phase, b.phaseAt = true, 2, now
		}
	case now-b.phaseAt > b.minRTT || b.phase == 1 && float64(b.inFlight) <= b.bdp():
		b.phase, b.phaseAt = (b.phase+1)%8, now
	}
	if now-b.minAt > 10*time.Second && b.restTill == 0 {
		b.restTill = now + 200*time.Millisecond + e.RTT
		b.minRTT = 0
	}
	if b.restTill != 0 && now > b.restTill {
		b.restTill, b.minAt = 0, now
	}
}

func (b *bbr1) gain() float64 {
	switch {
	case !b.filled:
		return 2.885
	case !b.drained:
		return 1 / 2.885
	case b.phase == 0:
		return 1.25
	case b.phase == 1:
		return 0.75
	}
	return 1
}

func (b *bbr1) Window() int {
	switch {
	case b.restTill != 0:
		return 4
	case b.bdp() == 0:
		return 10
	case !b.filled:
		return min(int(2.885*b.bdp())+10, b.limit)
	}
	return min(int(2*b.bdp())+6, b.limit)
}

func (b *bbr1) SendPeriod() time.Duration {
	if b.rate() == 0 {
		return 0
	}
	return time.Duration(1e9 / (b.gain() * b.rate()))
}
