package udt

import "time"

// NewBBR returns the default controller: a model of the path made of the
// highest delivery rate and the shortest round trip seen lately, in the manner
// of BBR (draft-ietf-ccwg-bbr), with these differences:
//
//   - Loss is compensated as long as it looks random: the rate is divided by
//     (1 − p), where p is what the path loses even while we send less than it
//     carries. Only loss together with a queue, or loss that grows with what we
//     send, makes the controller yield.
//   - The start takes the rate from the spacing of the first packets at the
//     receiver instead of doubling its way up to it.
//   - The queue is watched: what stands longer than a fraction of the shortest
//     round trip is drained. Beside flows that fill it nevertheless, a window as
//     of CUBIC takes the place of the model.
//
// See docs/congestion.md for the reasons and the measurements.
func NewBBR() Congestion { return &bbr{} }

const (
	bbrName = "bbr"

	bbrInitialWindow = 64 // packets of the first flight, which is sent at once
	bbrMinWindow     = 8  // packets
	bbrProbeUp       = 1.25
	bbrProbeDown     = 0.75
	bbrWindow        = 1.75 // in bandwidth-delay products
	// bbrCruise is how many round trips lie between a probe and the next one.
	// A probe that only harmed doubles it, up to bbrMaxCruise or more, see maxCruise.
	bbrCruise    = 6
	bbrMaxCruise = 64
	// bbrGrowth is the growth by which more rate was found.
	bbrGrowth = 1.15
	// bbrTook is the growth that a full link shows only if others leave it to us.
	bbrTook = 1.04

	// The highest rate of so many round trips counts, each taken for bbrRateTime at
	// least: a few round trips of a short path are over while others have the processor.
	bbrRateRounds = 10
	bbrRateTime   = 5 * time.Millisecond
	bbrRTTLife    = 10 * time.Second
	bbrProbeRTT   = 200 * time.Millisecond

	// bbrQueue is the queueing delay that counts as congestion, as a share of
	// the shortest round trip, and bbrMinQueue its least.
	bbrQueue    = 0.25
	bbrMinQueue = 5 * time.Millisecond
	// bbrLoss is the share of packets lost beyond what is random that counts as
	// congestion (2 % as in BBR version 3).
	bbrLoss = 0.02
	// bbrQueued is the number of packets that a flow keeps in a queue that it
	// shares, for each flow that it may weigh as, bbrShortQueue the delay from which on it counts as one, and
	// bbrBalance by how much the rate is changed for it.
	bbrQueued     = 16
	bbrShortQueue = time.Millisecond
	bbrBalance    = 0.1

	// bbrBusy is how long it takes to hear of a delivery when processors are
	// waited for, and bbrEven the part of the rate that who has more than others
	// gives up then, at most.
	bbrBusy = 2 * time.Millisecond
	bbrEven = 0.75

	// After a congested round bbrYield of the rate that it delivered is left, but
	// no less than bbrLeast of what was allowed.
	bbrYield  = 0.9
	bbrLeast  = 0.7
	bbrRegain = 1.1 // and its growth in each round without
)

type bbrState int

const (
	bbrStart bbrState = iota
	bbrDrain
	bbrUp
	bbrDown
	bbrSteady
	bbrRTT     // little in flight, to see the shortest round trip
	bbrCompete // beside flows that fill the queue, see compete
)

func (s bbrState) String() string {
	return [...]string{"start", "drain", "probe-up", "probe-down", "cruise", "probe-rtt", "compete"}[s]
}

type bbr struct {
	p     CongestionParams
	state bbrState
	since time.Duration // when the state began

	rates  [bbrRateRounds]float64 // highest rate of each round that was not limited by the application, packets/s
	slot   int                    // of the current round in rates
	slotAt time.Duration          // since when
	rate   float64                // highest of them
	latest float64                // highest rate of the round so far
	bound  float64                // the rate that congestion left us, 0 = no bound
	minRTT time.Duration
	minAt  time.Duration // when minRTT was seen

	// A round trip ends when a packet is delivered that was sent after its begin, or
	// with a peer without feedback after a tick of that, whichever is later.
	round    int64
	roundEnd int64
	roundAt  time.Duration // when it began
	limited  bool          // the application limited the round
	rtt      time.Duration // shortest of the round so far
	lastRTT  time.Duration // and of the round before
	recent   time.Duration // mean of the latest
	turn     time.Duration // until a delivery is known
	relative float64       // see ACKEvent

	overflowed int64 // latest round trip that lost more than bbrLoss

	// Of the round so far.
	lost, delivered int

	// Random loss: what is lost of packets sent while we sent less than the
	// path carries.
	calmFrom, calmTo      time.Duration // they were sent between these times
	nowLost, nowArrived   float64       // of the latest such time
	calmLost, calmArrived float64       // of all that are over
	allLost, allArrived   float64
	random                float64 // share, 0..bbrMaxLoss
	exact                 bool    // the peer says what has arrived

	// The start.
	first      int64 // packets of the first flight
	train      trainMeter
	target     float64 // rate to send at, packets/s
	hint       float64 // rate that is remembered, 0 = none
	full       float64 // rate that the growth is measured from
	fullRounds int

	cruised  int     // round trips of steady state since the latest probe
	before   float64 // rate before a probe
	inFlight int

	rival compete
	// Packets sent between upFrom and upTo were sent by a probe, or by the start.
	upFrom, upTo time.Duration
	upLost       int  // of them, of the latest probe
	probed       bool // the latest probe-down followed a probe
	crowded      bool // a queue stood before the latest probe
	cruiseLost   int  // of the round so far, of all others
	probeEvery   int  // round trips of steady state between probes
}

func (b *bbr) Name() string { return bbrName }
func (b *bbr) State() string {
	if b.state == bbrCompete && b.rival.deaf() {
		return "insist"
	}
	return b.state.String()
}

func (b *bbr) Init(now time.Duration, p CongestionParams) {
	*b = bbr{p: p, overflowed: -bbrCareful - 1, since: now, minAt: now, minRTT: p.MinRTT, probeEvery: bbrCruise, roundAt: now - syn}
	b.rival.weight = max(p.Share, 1)
	if p.Rate > 0 {
		if b.hint = p.Rate; !p.Measured {
			b.target = p.Rate * bbrRemembered
		} else {
			b.hint = 0
			b.rates[0], b.rate = p.Rate, p.Rate
			b.enter(now, bbrSteady)
		}
	}
}

func (b *bbr) OnSend(now time.Duration, e SendEvent) {
	b.inFlight = e.InFlight
	if b.allArrived == 0 {
		b.first += int64(e.New)
		if b.hint > 0 {
			b.first = min(b.first, bbrInitialWindow) // what follows is no flight of its own
		}
	}
}

func (b *bbr) OnLoss(now time.Duration, e LossEvent) {
	b.lost += e.Lost
	b.allLost += float64(e.Lost)
	if e.SentAt >= b.upFrom && (e.SentAt < b.upTo || b.upTo == 0) {
		b.upLost += e.Lost
	} else {
		b.cruiseLost += e.Lost
	}
	if b.calm(e.SentAt) {
		b.nowLost += float64(e.Lost)
	}
}

func (b *bbr) OnTimeout(now time.Duration) {
	// Nothing came back for a while. What the path has shown may not hold any
	// more.
	if b.state != bbrStart {
		b.bound = b.rate / 2
	}
}

func (b *bbr) OnACK(now time.Duration, e ACKEvent) {
	b.inFlight = e.InFlight
	if e.Latest > 0 {
		if b.minRTT == 0 || e.Latest < b.minRTT {
			b.minRTT = e.Latest
		}
		if e.Latest < b.minRTT+b.minRTT/20 {
			b.minAt, b.rival.rests = now, 0
		}
		if b.recent == 0 {
			b.recent = e.Latest
		}
		b.recent += (e.Latest - b.recent) / 8
		if b.rtt == 0 || e.Latest < b.rtt {
			b.rtt = e.Latest
		}
	}
	if e.Newly == 0 {
		return
	}
	b.exact, b.turn, b.relative = e.Exact, e.Turn, e.Relative
	b.delivered += e.Newly
	b.allArrived += float64(e.Newly)
	if b.calm(e.SentAt) {
		b.nowArrived += float64(e.Newly)
	}
	if b.state == bbrStart && b.round == 0 {
		b.train.arrived(e.Delivered, e.DeliveredAt)
	}
	newRound := e.Sample != RateSample{} && e.Sample.Prior >= b.roundEnd
	if b.round == 0 {
		newRound = b.allArrived+b.allLost >= 0.75*float64(b.first) || e.Sample.Prior > 0
	}
	newRound = newRound && now-b.roundAt >= b.tick()
	if newRound {
		b.endRound(now, e.Delivered)
	}
	b.limited = b.limited || e.Sample.AppLimited
	b.latest = max(b.latest, e.Sample.Rate)
	if s := e.Sample; s.Rate > 0 && (!s.AppLimited || s.Rate > b.rate) {
		b.rates[b.slot] = max(b.rates[b.slot], s.Rate)
		b.rate = max(b.rate, s.Rate)
	}
	b.step(now, newRound, e.Sample.AppLimited)
}

// endRound closes the books of a round trip.
func (b *bbr) endRound(now time.Duration, delivered int64) {
	share := float64(b.lost) / float64(max(1, b.lost+b.delivered))
	if share > bbrLoss {
		b.overflowed = b.round
	}
	queue := b.queue()
	pressed := queue > b.pressure()
	b.contend(now, pressed)
	congested := pressed && share > b.random+max(bbrLoss, b.random/2)
	if congested && b.state != bbrUp && b.state != bbrStart && b.state != bbrCompete && b.delivered > 0 {
		had := b.rate
		if b.bound > 0 {
			had = min(had, b.bound)
		}
		b.bound = max(b.latest*bbrYield, had*bbrLeast)
	} else if b.bound > 0 {
		if b.bound *= bbrRegain; b.bound > b.rate {
			b.bound = 0
		}
	}
	b.learnLoss()
	b.latest = 0

	b.round++
	b.roundAt = now
	b.roundEnd = delivered + int64(b.inFlight)
	b.lastRTT, b.rtt = b.rtt, 0
	b.lost, b.delivered = 0, 0
	if b.limited {
		b.limited = false
		return
	}
	if now-b.slotAt < bbrRateTime {
		return
	}
	b.slot, b.slotAt = (b.slot+1)%bbrRateRounds, now
	b.rates[b.slot] = 0
	b.rate = 0
	for _, r := range b.rates {
		b.rate = max(b.rate, r)
	}
}

// queue is the time that packets of the latest round trips stood in queues.
func (b *bbr) queue() time.Duration {
	r := b.rtt
	if r == 0 {
		r = b.lastRTT
	}
	return max(0, r-b.minRTT)
}

// pressure is the queueing delay that counts as congestion.
func (b *bbr) pressure() time.Duration {
	return max(time.Duration(float64(b.minRTT)*bbrQueue), bbrMinQueue)
}

// flight is the time that a packet and the answer to it take. The shortest round trip
// would be too short where it is the processors that packets wait for.
func (b *bbr) flight() time.Duration { return max(b.minRTT, b.recent) }

// tick is how much later the effect of what is sent may be known: a peer without
// feedback acknowledges at its own tick.
func (b *bbr) tick() time.Duration {
	if b.exact {
		return 0
	}
	return syn
}

// step moves between the states.
func (b *bbr) step(now time.Duration, newRound, limited bool) {
	switch b.state {
	case bbrStart:
		b.stepStart(now, newRound, limited)
	case bbrDrain:
		if b.inFlight <= b.bdp(1) || now-b.since-b.tick() > 3*b.flight() {
			b.enter(now, bbrSteady)
			b.cruised = b.probeEvery - 1 // the start may have ended too early
		}
	case bbrUp:
		elapsed := now - b.since
		pressed := b.recent-b.minRTT > b.pressure()
		switch {
		case pressed && elapsed > b.flight()/2:
			b.enter(now, bbrDown)
		case elapsed < 2*b.flight()+b.tick():
		case b.rate > b.before*bbrGrowth:
			b.enter(now, bbrUp) // there was more, there may be more
		default:
			b.enter(now, bbrDown)
		}
	case bbrDown:
		if elapsed := now - b.since - b.tick(); elapsed >= b.flight() && b.inFlight <= b.bdp(1) || elapsed > 3*b.flight() {
			b.rival.drained = true
			if b.probed {
				b.planProbe()
			}
			b.enter(now, bbrSteady)
		}
	case bbrSteady:
		if newRound {
			if b.cruised++; b.cruised == 1 && b.rival.drained {
				b.rival.afterDrain(b.lastRTT-b.minRTT > b.pressure())
			}
		}
		switch {
		case now-b.minAt > bbrRTTLife:
			b.enter(now, bbrRTT)
		case b.queue() > b.pressure() && b.cruised >= 1:
			b.enter(now, bbrDown)
		case b.cruised >= b.probeEvery:
			b.enter(now, bbrUp)
		}
	case bbrRTT:
		if now-b.since > bbrProbeRTT+b.flight() {
			b.endRest(now)
		}
	case bbrCompete:
		if now-b.minAt > bbrRTTLife<<b.rival.rests {
			b.enter(now, bbrRTT)
		}
	}
}

// endRest ends the look at the shortest round trip. A queue that stands although next
// to nothing of it is ours is no round trip of the path: beside those who fill it,
// the one before stays known, and the competition goes on, until a few looks in a
// row have not found it.
func (b *bbr) endRest(now time.Duration) {
	seen := b.lastRTT
	if b.rtt > 0 && (seen == 0 || b.rtt < seen) {
		seen = b.rtt
	}
	b.minAt = now
	if b.rival.window > 0 && seen-b.minRTT > b.pressure() && b.rival.rests < competeRests {
		b.rival.resume(now - b.since)
		b.enter(now, bbrCompete)
		return
	}
	if seen > 0 {
		b.minRTT = seen
	}
	b.rival.window = min(b.rival.window, insistWindow*b.rate*b.minRTT.Seconds())
	b.rival.end(now)
	b.enter(now, bbrSteady)
}

func (b *bbr) enter(now time.Duration, s bbrState) {
	if b.state == bbrDown && s != bbrDown {
		b.calmTo = now
	}
	if s == bbrDown {
		b.probed = b.state == bbrUp
	}
	if b.upTo == 0 && s != bbrUp && s != bbrDrain {
		b.upTo = now
	}
	b.state, b.since = s, now
	switch s {
	case bbrUp:
		b.before = b.rate
		b.crowded = b.queue() > bbrShortQueue
		b.upFrom, b.upTo = now, 0
		b.upLost = 0
	case bbrDown:
		// What became of the packets of the time before is known by now.
		b.calmLost, b.calmArrived = b.calmLost+b.nowLost, b.calmArrived+b.nowArrived
		b.nowLost, b.nowArrived = 0, 0
		b.calmFrom, b.calmTo = now, 0
	case bbrSteady:
		b.cruised = 0
	}
}

// paceRate is the rate of packets that the model allows, in packets/s, probing
// not considered.
func (b *bbr) paceRate() float64 {
	r := b.rate
	if b.bound > 0 {
		r = min(r, b.bound)
	}
	return r / (1 - b.compensation())
}

// balance is what flows that share a queue do to become equal: each keeps about
// the same number of packets in it, as TCP Vegas does. Who has more of them than
// that goes a little slower. A queue that is long is not of our making and says
// nothing.
func (b *bbr) balance() float64 {
	if f := b.even(); f != 1 {
		return f
	}
	queue := b.recent - b.minRTT
	if queue < bbrShortQueue || queue > b.minRTT/2 {
		return 1
	}
	own := b.paceRate() * queue.Seconds()
	fair := bbrQueued * b.rival.weight
	return 1 + bbrBalance*min(max((fair-own)/fair, -1), 1)
}

// even takes the place of that over short paths, where packets and reports wait for
// processors: the flows of one endpoint compare their rates. Who has less goes
// only a little faster, because it may be a narrow path that makes it slow.
func (b *bbr) even() float64 {
	switch {
	case b.minRTT >= shortPath || b.turn < bbrBusy || b.relative == 0:
		return 1
	case b.relative < 1:
		return 1 + bbrBalance*(1-b.relative)
	}
	return 1 - bbrEven*min(b.relative-1, 1)
}

// bdp is the number of packets in flight that fills the path, times gain.
func (b *bbr) bdp(gain float64) int {
	return int(gain * b.paceRate() * b.minRTT.Seconds())
}

// bbrACKs is what the window allows for the time between reports, bbrShortACKs over a
// short path, where they follow each other faster (see Conn.spacing). More would only
// be copied into memory that is not in the cache.
const (
	bbrACKs      = 3 * time.Millisecond
	bbrShortACKs = time.Millisecond
)

// knowing is how long after its delivery a packet is still in the window. Where
// the path is short, processors may be waited for much longer than that, and a
// window without them would make a flow slower and slower. But what loses packets
// is a queue, and bbrACKs are enough then; less would not be, for the same reason.
func (b *bbr) knowing() time.Duration {
	if !b.exact {
		return syn + bbrACKs // such peers acknowledge at their own tick
	}
	if b.minRTT >= shortPath || b.round-b.overflowed <= bbrCareful {
		return bbrACKs
	}
	return max(bbrShortACKs, min(b.turn, maxTurn))
}

// bbrUnsaid is the number of packets that may have come to a peer without feedback,
// which says so after as many, and the longer not the more holes there are.
const bbrUnsaid = 64

// bbrCareful is the number of round trips after one with loss in which a short path
// is taken to have a queue that overflows.
const bbrCareful = 1024

func (b *bbr) Window() int {
	w := bbrInitialWindow
	switch {
	case b.state == bbrStart && b.target > 0 && b.minRTT > 0:
		w = int(b.target*(b.minRTT+bbrACKs).Seconds()*1.25) + bbrInitialWindow
	case b.rate == 0 || b.minRTT == 0:
	case b.state == bbrRTT:
		w = b.bdp(0.5)
	case b.state == bbrCompete:
		w = int(b.rival.window)
	default:
		w = b.bdp(bbrWindow) + int(b.paceRate()*b.knowing().Seconds()) + bbrMinWindow
		if !b.exact && b.state != bbrStart { // peers with feedback begin without
			w += bbrUnsaid
		}
	}
	return min(max(w, bbrMinWindow), b.p.MaxWindow)
}

func (b *bbr) SendPeriod() time.Duration {
	r := b.paceRate()
	switch b.state {
	case bbrStart:
		if b.target == 0 || b.hint > 0 && b.round == 0 && b.first < bbrInitialWindow {
			return 0 // the first flight
		}
		r = b.target
		if b.minRTT > 0 {
			r = max(r, bbrInitialWindow/b.minRTT.Seconds())
		}
	case bbrDrain:
		r *= 0.5
	case bbrUp:
		r *= bbrProbeUp * b.even()
	case bbrDown:
		r = min(r*bbrProbeDown, b.rate*bbrCalm) * b.even()
	case bbrSteady:
		r *= b.balance()
	case bbrCompete:
		if r = b.rival.window / b.recent.Seconds() * competePace; b.rival.deaf() {
			r = b.rate * insistGains[b.round%int64(len(insistGains))]
		}
	}
	if r <= 0 {
		return 0
	}
	return time.Duration(1e9 / r)
}
