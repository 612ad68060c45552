package udt

import (
	"math"
	"slices"
	"time"
)

// NewLEDBAT returns the controller for background transfers: it takes what
// others leave, and gives way as soon as a queue tells that they are there. It
// follows LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus): round trips are measured
// against the shortest of the last ten minutes, the window grows by
// 1/min(16, ⌈2·60 ms/base⌉) packets per round trip, a periodic slowdown measures
// the base anew. It differs where the path or the foreground asks for it:
//
//   - The target of the queueing delay is 60 ms or an eighth of the base,
//     whichever is less. A foreground of bbr keeps the queue below a quarter of
//     the round trip; with a target above that, this would be the foreground.
//   - A queue above the target at the window that filled it before is our own:
//     the window gives back what stands beyond half the target, no more. At a
//     smaller window somebody else fills it, and so it is with a queue of more than
//     twice what the window makes: then the window is halved in several round
//     trips, whether the queue remains or not.
//   - A queue that rises faster than the window that filled it brings the next
//     slowdown forward, without waiting for the end of the round trip: somebody who
//     begins doubles his window in each, and would overflow a short buffer that is
//     half full of ours. If nobody is there, the start that follows ends where the
//     window was.
//   - After a calm time the window grows as in slow start, since a foreground
//     that fills the path would have shown. The draft's growth takes minutes. If
//     that was wrong, the next calm time is twice as long.
//   - With jitter it takes more samples to tell a queue.
//   - Loss counts when there is a queue, or when there is more of it than the
//     path loses when the window rests.
func NewLEDBAT() Congestion { return &ledbat{} }

const (
	ledbatName = "ledbat"

	ledbatTarget      = 60 * time.Millisecond
	ledbatTargetShare = 8 // of the base
	ledbatMinTarget   = 3 * time.Millisecond
	ledbatMinQueue    = 3  // packets at the highest rate seen; a link sends one at a time
	ledbatMaxGain     = 16 // inverse of the least gain

	ledbatFirst = 10 // packets of the first flight (RFC 6928; the draft has 2)
	ledbatLeast = 2  // packets
	ledbatExit  = 0.75
	ledbatRest  = 2 // round trips of a slowdown, and between the start and the first one
	ledbatEvery = 9 // durations of a slowdown between it and the next

	// A calm time is ledbatCalm to ledbatMaxCalm, and at least ledbatCalmRounds
	// round trips: more than lie between two probes of bbr, and of BBR over TCP.
	ledbatCalm       = 2 * time.Second
	ledbatMaxCalm    = 4 * time.Second
	ledbatCalmRounds = 10
	ledbatYields     = 4 // halvings once somebody else has shown

	// ledbatFew samples show a queue that cannot wait for the end of the round trip.
	// With jitter it takes as many as ledbatMany, in proportion to the target, and a
	// round trip with fewer says nothing. Jitter is the mean difference between
	// one sample and the next, as in RFC 3550 (6.4.1).
	ledbatFew    = 8
	ledbatMany   = 64
	ledbatJitter = 16 // samples

	ledbatPace      = 1.25 // packets may leave faster than one window per round trip
	ledbatStartPace = 1.5

	// ledbatBeyond divides the gain of a start that looks for more than the path
	// has carried: what is sent until a queue tells of its end stands in it.
	ledbatBeyond = 4

	// A queue has risen when it is half the target longer than in any of the latest
	// ledbatRounds round trips, and than what the window makes. The first
	// ledbatSettle after a start have its queue.
	ledbatRounds = 4
	ledbatSettle = 2

	ledbatKeep = 0.85 // of a window that filled the path, at losses

	// ledbatMost is the share of the window for the highest rate seen below which
	// a queue cannot be our own, unless the path has changed.
	ledbatMost = 0.8
	// ledbatOwn is how many times the queue may be what the window, or the target, makes.
	ledbatOwn = 2
)

type ledbatState int

const (
	ledbatStart ledbatState = iota // grows by the gain with each packet, up to bound
	ledbatGrow                     // and with each window
	ledbatYield                    // shrinks, since others fill the queue
	ledbatSlow                     // next to nothing in flight, to see the base
)

func (s ledbatState) String() string {
	return [...]string{"start", "grow", "yield", "slowdown"}[s]
}

type ledbat struct {
	p      CongestionParams
	state  ledbatState
	since  time.Duration // when the state began
	window float64       // packets
	bound  float64       // start ends there, 0 = only at a queue
	beyond bool          // start looks for more than the path has carried yet
	before float64       // window before the slowdown

	path    pathHistory
	recent  time.Duration // smoothed round trip
	round   time.Duration // when it began
	rtt     time.Duration // shortest of the round, 0 = none yet
	latest  time.Duration // sample
	jitter  time.Duration
	samples int                         // of the round
	few     time.Duration               // shortest of the latest samples
	fewN    int                         // how many
	queue   time.Duration               // of the round before
	skip    bool                        // the round measures what was sent before the latest decrease
	settle  int                         // rounds until the queue is no longer that of the start
	queues  [ledbatRounds]time.Duration // of the latest rounds since then
	queuesN int

	calmSince  time.Duration
	calmRounds int
	calmNeeded time.Duration
	filled     float64 // window that filled the queue by itself, 0 = unknown
	halvings   int     // still to come

	slowAt   time.Duration // when the next slowdown is due, 0 = none yet
	slowFrom time.Duration // when the latest one began, 0 = it is over and counted

	rate, lastRate          float64 // highest of the round and of the one before, packets/s
	roundLost, roundArrived int
	lastLost                int // of the round before
	blockLost, blockArrived int
	blocks                  [ledbatBlocks]float64 // shares lost
	blockCount              int
}

// Name implements Congestion.
func (l *ledbat) Name() string { return ledbatName }

// State implements Congestion.
func (l *ledbat) State() string { return l.state.String() }

func (l *ledbat) Init(now time.Duration, p CongestionParams) {
	*l = ledbat{p: p, since: now, round: now, calmSince: now, calmNeeded: ledbatCalm, window: ledbatFirst}
	if p.MinRTT == 0 {
		return
	}
	l.path.add(now, p.MinRTT, 0)
	l.recent = p.MinRTT
	if p.Rate > 0 {
		l.bound = max(p.Rate*p.MinRTT.Seconds(), ledbatFirst)
	}
	if p.Measured {
		// The user has made a running transfer one of the background. Others are
		// to have the path at once.
		l.window = max(l.bound, ledbatLeast)
		l.slowDown(now)
	}
}

func (l *ledbat) enter(now time.Duration, s ledbatState) {
	if l.state == ledbatStart {
		l.beyond = false
		l.settle, l.queuesN = ledbatSettle, 0
	}
	l.state, l.since = s, now
}

func (l *ledbat) OnSend(time.Duration, SendEvent) {}

func (l *ledbat) OnLoss(_ time.Duration, e LossEvent) {
	l.roundLost += e.Lost
	l.blockLost += e.Lost
}

// OnTimeout follows a time in which nothing came back. Without a queue that was
// a run of losses, which would last for many timeouts at the least window.
func (l *ledbat) OnTimeout(now time.Duration) {
	switch {
	case l.queue > l.target()/2:
		l.bound = max(l.window/2, ledbatFirst)
		l.window = ledbatLeast
		l.enter(now, ledbatStart)
	case l.state == ledbatSlow:
		l.bound, l.window = l.before, ledbatFirst
		l.enter(now, ledbatStart)
	default:
		l.window = max(l.window, ledbatFirst)
	}
}

func (l *ledbat) OnACK(now time.Duration, e ACKEvent) {
	if s := e.Sample; s.Rate > 0 {
		l.rate = max(l.rate, s.Rate)
	}
	few := l.enough()
	if e.Latest > 0 {
		l.path.add(now, e.Latest, e.Sample.Rate)
		if l.recent == 0 {
			l.recent, l.latest = e.Latest, e.Latest
		}
		l.recent += (e.Latest - l.recent) / 8
		l.jitter += ((e.Latest - l.latest).Abs() - l.jitter) / ledbatJitter
		l.latest = e.Latest
		l.samples++
		if l.rtt == 0 || e.Latest < l.rtt {
			l.rtt = e.Latest
		}
		if l.fewN == 0 || e.Latest < l.few {
			l.few = e.Latest
		}
		if l.fewN++; l.fewN >= few {
			l.fewN = 0
			switch queue := l.few - l.path.base(); {
			case l.state == ledbatStart && queue > l.exit():
				l.leaveStart(now)
			case l.state == ledbatGrow && l.window >= ledbatMost*l.fill(l.path.peak()) && l.risen(queue):
				l.slowDown(now)
			}
		}
	}
	l.roundArrived += e.Newly
	l.blockArrived += e.Newly
	if e.Newly > 0 && 4*(e.InFlight+e.Newly) > 3*l.Window() {
		l.grow(e.Newly)
	}
	// A slowdown after losses sends again what was lost, at first nothing else, and
	// only what is sent once gives a sample: it does not wait for one.
	seen := l.rtt > 0 && (few == ledbatFew || l.samples >= few)
	if (seen || l.state == ledbatSlow && l.recent > 0) && now-l.round >= l.recent {
		l.endRound(now)
	}
}

// grow follows the arrival of n packets while the window is in use.
func (l *ledbat) grow(n int) {
	switch l.state {
	case ledbatStart:
		gain := l.gain()
		if l.beyond {
			gain /= ledbatBeyond
		}
		l.window += gain * float64(n)
		if l.bound > 0 {
			l.window = min(l.window, l.bound)
		}
	case ledbatGrow:
		l.window += l.gain() * float64(n) / l.window
	}
	l.window = min(l.window, float64(l.p.MaxWindow))
}

// gain is the growth in packets, per packet or per window.
func (l *ledbat) gain() float64 {
	base := max(l.path.base(), time.Millisecond)
	return 1 / min(ledbatMaxGain, math.Ceil(2*float64(ledbatTarget)/float64(base)))
}

// target is the queueing delay that is aimed at.
func (l *ledbat) target() time.Duration {
	t := max(l.path.base()/ledbatTargetShare, ledbatMinTarget)
	if peak := l.path.peak(); peak > 0 {
		t = max(t, time.Duration(ledbatMinQueue/peak*1e9))
	}
	return min(t, ledbatTarget)
}

// endRound decides what the round trip that is over means.
func (l *ledbat) endRound(now time.Duration) {
	if l.rtt > 0 {
		l.queue = l.rtt - l.path.base()
	}
	full := l.queue > l.target()
	lossy := l.lossy()
	skip := l.skip
	l.round, l.rtt, l.samples, l.skip = now, 0, 0, false
	l.rate, l.lastRate = 0, l.rate
	l.lastLost, l.roundLost, l.roundArrived = l.roundLost, 0, 0

	switch l.state {
	case ledbatSlow:
		if now-l.since >= ledbatRest*l.recent {
			l.bound = l.before
			l.enter(now, ledbatStart)
		}
		return
	case ledbatStart:
		switch {
		case l.queue > l.exit() || lossy:
			l.leaveStart(now)
		case l.bound > 0 && l.window >= l.bound:
			l.enter(now, ledbatGrow)
			l.endSlowdown(now)
		}
		return
	}
	if l.settle > 0 {
		l.settle--
	} else {
		l.queues[l.queuesN%ledbatRounds] = l.queue
		l.queuesN++
	}
	l.calmRounds++
	calm := l.calmRounds >= ledbatCalmRounds && now-l.calmSince >= l.calmNeeded
	switch {
	case full || lossy:
		l.calmSince, l.calmRounds = now, 0
		if !skip {
			l.decrease(now, full, lossy)
		}
	case l.halvings > 0:
		l.halve()
	case calm && l.queue < l.target()/4:
		// Up to what the path has carried, which was free then, and beyond it at
		// the next such time.
		l.enter(now, ledbatStart)
		if l.bound = l.fill(l.path.peak()); l.window > 0.9*l.bound {
			l.bound, l.beyond = 0, true
		}
		l.filled = 0
		l.calmSince, l.calmRounds = now, 0
	case l.slowAt != 0 && now >= l.slowAt && l.state == ledbatGrow && l.window > 0.5*l.fill(l.path.peak()):
		l.slowDown(now)
	case l.state == ledbatYield:
		l.enter(now, ledbatGrow)
	}
}

// enough is the number of samples of which the shortest shows the queue and not
// the jitter of the path.
func (l *ledbat) enough() int {
	return min(max(ledbatFew, int(ledbatMany*l.jitter/l.target())), ledbatMany)
}

// risen reports whether a queue has grown by more than the window can have done.
func (l *ledbat) risen(queue time.Duration) bool {
	if l.queuesN == 0 {
		return false
	}
	least := slices.Min(l.queues[:min(l.queuesN, ledbatRounds)])
	return queue > max(least, l.ownQueue(), l.target()/2)+l.target()/2
}

// exit is the queueing delay that ends the start.
func (l *ledbat) exit() time.Duration { return time.Duration(ledbatExit * float64(l.target())) }

// fill is the window that brings the queue to half the target at a rate of
// deliveries.
func (l *ledbat) fill(rate float64) float64 {
	arrived := max(1-l.random(), 0.5)
	return rate / arrived * (l.path.base() + l.target()/2).Seconds()
}

// leaveStart takes the window that the delivery rate fills, but not less than
// that of a round trip before, which is what filled the queue, unless a queue too
// short for the target has overflowed: what is lost at the window that follows is
// taken for what the path loses by itself.
func (l *ledbat) leaveStart(now time.Duration) {
	w := l.fill(max(l.rate, l.lastRate))
	if l.roundLost+l.lastLost == 0 {
		w = max(w, l.window*math.Exp(-l.gain()))
	}
	l.window = max(min(l.window, w), ledbatLeast)
	l.filled = 0
	l.skip = true
	l.calmSince, l.calmRounds = now, 0
	l.enter(now, ledbatGrow)
	l.endSlowdown(now)
}

// ownQueue is the queueing delay that the window makes by itself.
func (l *ledbat) ownQueue() time.Duration {
	peak := l.path.peak()
	if peak == 0 {
		return 0
	}
	return time.Duration(l.window/peak*1e9) - l.path.base()
}

// decrease gives way to a queue or to loss.
func (l *ledbat) decrease(now time.Duration, full, lossy bool) {
	own := l.window+ledbatLeast >= max(0.95*l.filled, ledbatMost*l.fill(l.path.peak())) && l.queue <= ledbatOwn*max(l.ownQueue(), l.target())
	l.filled = l.window
	if full { // that of a queue just at the target
		base := l.path.base()
		l.filled *= float64(base+l.target()) / float64(base+l.queue)
	}
	if !own || l.state == ledbatYield {
		if l.state != ledbatYield {
			l.calmNeeded = min(2*l.calmNeeded, ledbatMaxCalm)
		}
		l.halvings = ledbatYields
		l.enter(now, ledbatYield)
		l.halve()
		return
	}
	keep := 1.0
	if full {
		base := l.path.base()
		keep = float64(base+l.target()/2) / float64(base+l.queue)
		l.calmNeeded = ledbatCalm
	}
	if lossy {
		keep = min(keep, ledbatKeep)
	}
	l.window = max(l.window*keep, ledbatLeast)
	l.skip = true // the next round shows what this one has changed
}

func (l *ledbat) halve() {
	l.halvings--
	l.window = max(l.window/2, ledbatLeast)
}

// slowDown begins a slowdown.
func (l *ledbat) slowDown(now time.Duration) {
	l.before, l.window = l.window, ledbatLeast
	l.slowFrom = now
	l.enter(now, ledbatSlow)
}

// endSlowdown follows the end of the start that every slowdown is followed by,
// and plans the next one.
func (l *ledbat) endSlowdown(now time.Duration) {
	switch {
	case l.slowFrom != 0:
		l.slowAt = now + ledbatEvery*(now-l.slowFrom)
		l.slowFrom = 0
	case l.slowAt == 0:
		l.slowAt = now + ledbatRest*l.recent
	}
}

func (l *ledbat) Window() int { return int(min(l.window, float64(l.p.MaxWindow))) }

func (l *ledbat) SendPeriod() time.Duration {
	if l.recent == 0 {
		return 0 // the first flight
	}
	pace := ledbatPace
	if l.state == ledbatStart {
		pace = ledbatStartPace
	}
	return time.Duration(float64(l.recent) / (l.window * pace))
}
