package udt

import (
	"math"
	"time"
)

// cubic stands for TCP of Linux in tests of sharing (net/ipv4/tcp_cubic.c), on the
// acknowledgements and losses that ours sees: CUBIC (RFC 9438) with fast convergence,
// a slow start that delay ends (HyStart), and proportional rate reduction (RFC 6937).
// Losses count once in a flight, as there.
type cubic struct {
	limit     int
	window    float64
	threshold float64 // of slow start; 0 = none yet
	last      float64 // window that the latest decrease remembers, 0 before the first
	inFlight  int

	// The epoch since the latest decrease.
	begun         bool
	since         time.Duration
	origin, until float64 // window where the curve is flat, and seconds to get there
	reno          float64 // window that TCP Reno would have

	// Recovery of what was lost: of packets sent before recoverTo.
	recoverTo      time.Duration
	recovering     bool
	prior          float64 // window at its begin
	delivered, out float64 // since then

	// HyStart.
	minRTT   time.Duration
	roundEnd int64
	samples  int           // of the round
	least    time.Duration // of them
}

func newCubic() Congestion { return &cubic{} }

const (
	cubicC    = 0.4
	cubicBeta = 0.7
	// Delay is judged by the first few samples of a round, and not in small windows.
	hystartSamples = 8
	hystartWindow  = 16
	// cubicFirst is the growth in a round trip before the first loss, at least.
	cubicFirst = 1. / 20
)

func (*cubic) Name() string { return "cubic" }
func (c *cubic) State() string {
	switch {
	case c.recovering:
		return "recovery"
	case c.slow():
		return "slow-start"
	}
	return "avoidance"
}
func (c *cubic) Init(_ time.Duration, p CongestionParams) { *c = cubic{limit: p.MaxWindow, window: 10} }
func (c *cubic) SendPeriod() time.Duration                { return 0 }
func (c *cubic) Window() int                              { return min(int(c.window), c.limit) }
func (c *cubic) slow() bool                               { return c.threshold == 0 || c.window < c.threshold }

func (c *cubic) OnSend(_ time.Duration, e SendEvent) {
	c.inFlight = e.InFlight
	c.out += float64(e.New + e.Retransmitted)
}

func (c *cubic) OnTimeout(time.Duration) {
	c.decrease()
	c.window, c.recovering = 1, false
}

func (c *cubic) OnACK(now time.Duration, e ACKEvent) {
	c.inFlight = e.InFlight
	if e.Latest > 0 && (c.minRTT == 0 || e.Latest < c.minRTT) {
		c.minRTT = e.Latest
	}
	if e.Newly == 0 {
		return
	}
	if c.recovering && e.SentAt >= c.recoverTo {
		c.recovering, c.window = false, c.threshold
	}
	switch {
	case c.recovering:
		c.reduce(float64(e.Newly))
	case c.slow():
		c.hystart(e)
		c.window += float64(e.Newly)
		if c.threshold > 0 {
			c.window = min(c.window, c.threshold)
		}
	default:
		c.avoid(now, float64(e.Newly))
	}
}

// hystart ends slow start when a round trip takes an eighth longer than the shortest.
func (c *cubic) hystart(e ACKEvent) {
	if e.Sample.Prior >= c.roundEnd {
		c.roundEnd = e.Delivered + int64(e.InFlight)
		c.samples, c.least = 0, 0
	}
	if e.Latest == 0 || c.samples == hystartSamples {
		return
	}
	if c.least == 0 || e.Latest < c.least {
		c.least = e.Latest
	}
	late := min(max(c.minRTT/8, 4*time.Millisecond), 16*time.Millisecond)
	if c.samples++; c.samples == hystartSamples && c.window >= hystartWindow && c.least > c.minRTT+late {
		c.threshold = c.window
	}
}

// avoid grows the window along the curve, or as TCP Reno would.
func (c *cubic) avoid(now time.Duration, newly float64) {
	if !c.begun {
		c.begun, c.since, c.reno = true, now, c.window
		c.origin, c.until = max(c.last, c.window), math.Cbrt(max(c.last-c.window, 0)/cubicC)
	}
	t := (now - c.since + c.minRTT).Seconds()
	target := c.origin + cubicC*math.Pow(t-c.until, 3)
	each := 0.01 / c.window // growth for each packet delivered
	if target > c.window {
		each = (target - c.window) / c.window
	}
	if c.last == 0 {
		each = max(each, cubicFirst)
	}
	c.reno += 3 * (1 - cubicBeta) / (1 + cubicBeta) * newly / c.window
	each = max(each, (c.reno-c.window)/c.window)
	c.window += min(each, 0.5) * newly
}

// decrease remembers where the window was, or less than that if it was smaller than
// the time before.
func (c *cubic) decrease() {
	if c.begun = false; c.window < c.last {
		c.last = c.window * (1 + cubicBeta) / 2
	} else {
		c.last = c.window
	}
	c.threshold = max(c.window*cubicBeta, 2)
}

func (c *cubic) OnLoss(now time.Duration, e LossEvent) {
	if e.SentAt < c.recoverTo {
		return
	}
	c.prior = c.window
	c.decrease()
	c.recoverTo, c.recovering, c.delivered, c.out = now, true, 0, 0
}

// reduce sends in proportion to what is delivered, until no more than the threshold
// is in flight.
func (c *cubic) reduce(newly float64) {
	c.delivered += newly
	send := 0.0
	if flight := float64(c.inFlight); flight > c.threshold {
		send = math.Ceil(c.threshold*c.delivered/c.prior) - c.out
	} else {
		send = min(c.threshold-flight, max(c.delivered-c.out, newly)+1)
	}
	if c.out == 0 {
		send = max(send, 1)
	}
	c.window = float64(c.inFlight) + max(send, 0)
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
