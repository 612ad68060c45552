package udt

import (
	"math"
	"time"
)

// compete is what bbr does beside flows that do not keep queues short: a window
// in the manner of CUBIC (RFC 9438) takes the place of the model, which would
// either starve them or be starved. Its owner is bbr.
//
// A queue that stays although we hold none of it, or losses beyond the random
// ones of what was sent at no more than the model's rate, are the signs of such
// a flow. It is over when the queue has gone while we rested, or when the window
// has grown beyond where it last lost without meeting a queue.
type compete struct {
	weight  float64       // flows that we may weigh as
	window  float64       // packets in flight
	most    float64       // window before the latest cut
	since   time.Duration // latest cut, or the begin
	drained bool          // a drain is over, and the round that tells its effect is not
	stays   int           // drains in a row that left a queue
	calm    int           // rounds in a row without a queue
	run     int           // rounds with losses in a row
	lossy   float64       // share of the latest rounds with losses
	former  float64       // window at the latest end
	ended   time.Duration // when that was
	rests   int           // looks at the shortest round trip in a row that met a queue
	refill  int           // rounds from such a look on in which less than a window is delivered
}

const (
	// competeStays is the number of drains that have to leave a queue.
	competeStays = 2
	// competeEnter is the share of what is in flight to begin with: the flow may
	// just have taken it from the others.
	competeEnter = 0.6
	// competeCubic is CUBIC's C in packets/s³. A cut takes competeCut of the window,
	// and the least growth is competeSlope packets per round trip: those of one
	// flow of CUBIC. For a weight of n flows, the cut is divided and the slope
	// multiplied by √n; since the mean window of flows that lose together goes with
	// slope over cut, it is n times that of one.
	competeCubic = 0.4
	competeCut   = 0.3
	competeSlope = 0.53
	// competeRest is the least time between cuts. A flow that backs off at losses
	// makes them less often; one that does not would leave nothing to us.
	competeRest = time.Second
	// competePace is how much faster than a window per round trip packets leave.
	competePace = 1.1
	// competeCalm is the number of rounds without a queue that ends it.
	competeCalm = 10
	// competeShortest is the shortest round trip with which others are looked for:
	// where packets travel for less, they wait for processors longer than that.
	competeShortest = bbrMinQueue
	// competeReturn is how soon after its end it goes on where it was.
	competeReturn = 5 * time.Second
	// competeRests is the number of looks at the shortest round trip that may meet a
	// queue, each after twice the time, before the path is taken to have become longer.
	competeRests = 3
	// competeMemory is the number of rounds over which those with losses are
	// counted, and competeLossy the share of them beyond which the others do not
	// heed losses: flows that do make them in one of many. Of a run of rounds with
	// losses only the first counts, and those after competeRun. competeDoubt of the
	// share is what is left of it after a rest at most.
	competeMemory = 48
	competeLossy  = 0.09
	competeRun    = 6
	competeDoubt  = 0.9
	// insistWindow is what is in flight beside flows that do not heed losses, in
	// bandwidth-delay products, as with them.
	insistWindow = 2
)

// begin takes over with the window that is delivered in a round trip, or with what
// there was before a rest that has not driven the others away.
func (c *compete) begin(now time.Duration, window float64) {
	enter := window * competeEnter
	if c.former > 0 && now-c.ended < competeReturn {
		enter, window = max(enter, c.former), max(window, c.former)
	}
	*c = compete{window: enter, most: window, since: now, lossy: c.lossy, weight: c.weight, rests: c.rests}
}

// afterDrain follows the first round of packets sent after we have drained what
// was ours of a queue. stays says that one stands nevertheless.
func (c *compete) afterDrain(stays bool) {
	c.drained = false
	if !stays {
		c.stays = 0
		return
	}
	c.stays++
}

// end lets the next rounds tell anew who is there. Of whether the others heed
// losses it keeps a suspicion.
func (c *compete) end(now time.Duration) {
	*c = compete{weight: c.weight, lossy: min(c.lossy, competeDoubt*competeLossy), former: c.window, ended: now}
}

// resume goes on after a rest in which others have kept the queue. The curve has
// stood still in the meantime.
func (c *compete) resume(rested time.Duration) {
	c.since += rested
	c.rests++
	c.refill = 2
}

// note counts a round. A path that has become narrower loses in some rounds in a
// row, which count as one.
func (c *compete) note(lost bool) {
	x := 0.0
	if !lost {
		c.run = 0
	} else if c.run++; c.run == 1 || c.run > competeRun {
		x = 1
	}
	c.lossy += (x - c.lossy) / competeMemory
}

// deaf reports whether rounds go on losing although we back off: the others do
// not heed losses, and whoever does is left nothing.
func (c *compete) deaf() bool { return c.lossy > competeLossy }

// round grows the window for a round trip in which it was used.
func (c *compete) round(now, rtt time.Duration) {
	k := math.Cbrt(c.most * c.share() / competeCubic)
	t := (now - c.since + rtt).Seconds()
	target := c.most + competeCubic*math.Pow(t-k, 3)
	c.window = max(c.window+competeSlope*math.Sqrt(c.weight), min(target, 1.25*c.window))
}

// cut answers losses in a round that has delivered the given number of packets:
// more than they are in flight to no end.
func (c *compete) cut(now time.Duration, delivered float64) {
	c.window = max(min(c.window, delivered), bbrMinWindow)
	if now-c.since < competeRest {
		return
	}
	c.most, c.since = c.window, now
	c.window = max(c.window*(1-c.share()), bbrMinWindow)
}

// share is the part of the window that a cut takes.
func (c *compete) share() float64 { return competeCut / math.Sqrt(c.weight) }

// passed reports whether the window has grown beyond where it last lost.
func (c *compete) passed(now time.Duration) bool {
	return now-c.since > 3*competeRest && c.window > c.most
}

// insistGains are the paces of insisting, a round each, in multiples of the rate.
var insistGains = [8]float64{1.25, 0.75, 1, 1, 1, 1, 1, 1}

// insist keeps what flows keep in flight that do not heed losses.
func (c *compete) insist(bdp float64) {
	c.window = max(insistWindow*bdp, bbrMinWindow)
	c.most = c.window
}

// contend follows the signs of flows that fill the queue, once a round. pressed
// says that one stands.
func (b *bbr) contend(now time.Duration, pressed bool) {
	c := &b.rival
	lost := pressed && b.beyondChance(b.cruiseLost, b.lost+b.delivered) && b.state != bbrStart && b.state != bbrDrain
	b.cruiseLost = 0
	c.note(lost)
	if b.state != bbrCompete {
		if b.minRTT < competeShortest {
			return
		}
		if lost && b.state != bbrRTT || c.stays >= competeStays {
			c.begin(now, min(max(b.latest, b.rate*0.5)*b.recent.Seconds(), float64(b.inFlight)))
			b.enter(now, bbrCompete)
		}
		return
	}
	delivered := float64(b.delivered)
	if c.refill > 0 {
		c.refill--
		delivered = c.window
	}
	if c.deaf() {
		c.insist(b.rate * b.minRTT.Seconds())
	} else if lost {
		c.cut(now, delivered)
	} else if !b.limited {
		c.round(now, b.recent)
	}
	if pressed {
		c.calm = 0
	} else {
		c.calm++
	}
	if c.calm >= competeCalm && c.passed(now) {
		c.end(now)
		b.bound = 0
		b.enter(now, bbrSteady)
	}
}

// planProbe makes probes rarer that only lost packets, or found more although the link
// was full: where a flow of TCP fills what we leave, each of them makes it back off.
func (b *bbr) planProbe() {
	lost := b.beyondChance(b.upLost, 2*b.bdp(bbrProbeUp))
	took := b.crowded && b.rate > b.before*bbrTook
	if lost || took {
		b.probeEvery = min(2*b.probeEvery, b.maxCruise())
	} else {
		b.probeEvery = max(b.probeEvery*3/4, bbrCruise)
	}
	b.upLost = 0
}

// maxCruise is the most round trips between probes: a flow of TCP cubic with as much in
// flight as ours makes up for having backed off in half of them.
func (b *bbr) maxCruise() int {
	window := float64(b.bdp(1))
	rounds := competeCut * window / competeSlope
	curve := math.Cbrt(window*competeCut/competeCubic) / max(b.recent, time.Millisecond).Seconds()
	return max(int(2*min(rounds, curve)), bbrMaxCruise)
}
