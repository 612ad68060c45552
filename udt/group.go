package udt

import (
	"net/netip"
	"sync"
	"time"
)

// A group is the connections of one endpoint to one peer's endpoint. They
// share the path, so they share what is known of it and one controller: eight
// connections are one flow to everybody else, and the second one begins at the
// rate that the first has found.
//
// Each member sends its part of what the controller allows. The loops of the
// members call the group; mu guards all of it.
type group struct {
	peer  netip.AddrPort // immutable
	alone bool           // immutable; it has one member at most, and no other finds it
	even  *evenness      // immutable; of the endpoint's groups

	mu       sync.Mutex
	members  int
	hungry   int // members that have more to send than they may
	cc       Congestion
	params   CongestionParams // what cc began with, but for what was learnt later
	asked    bool             // the peer has asked for a controller, in request askNo
	askNo    uint32
	peak     peakRate
	meter    deliveryMeter
	inFlight int // packets, over all members
	losses   recentLoss
	recent   recentRate // over two round trips
	guessed  guessedRate
	relative float64 // recent as a part of the mean of the endpoint's groups, 0 = alone

	unsaid     int           // packets sent since the latest status packet
	statusNext time.Duration // the next one may be sent from then on
	heard      told          // what the peer says about its sending
	sizes      pathSize

	// The peer's clock: its latest reading as sent and without wrapping, and
	// what leads from there to ours. Differences on it are exact, the offset
	// is off by the time that reports travel.
	clockRaw uint32
	clock    time.Duration
	offset   time.Duration
	clockSet bool

	minRTT     time.Duration // shortest round trip, 0 = none yet
	srtt       time.Duration
	turn       time.Duration // smoothed time from sending a packet to knowing of its delivery, waiting for processors included
	progressAt time.Duration // latest delivery
	sentAt     time.Duration // latest transmission
	idleFrom   time.Duration // when the last member left
}

// join enters c into the group of its peer. It runs before anything is sent.
func (e *Endpoint) join(now time.Duration, c *Conn, p CongestionParams) *group {
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	g := e.groups[c.remote]
	if g == nil || g.outlived() {
		if len(e.groups) >= maxGroups {
			e.dropIdleGroupsLocked()
		}
		p.Share = defaultShare
		cc := e.cfg.congestion()
		if cc.Name() != nativeName && c.peerChecks && !e.cfg.PlainUDT {
			p.MaxWindow = maxWindow // the windows of the members grow beyond what their handshakes said
		}
		g = e.newGroupLocked(now, c.remote, cc, p, newPathSize(c.remote.Addr(), c.payload+headerSize))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members++
	if g.minRTT > 0 && !c.rtt.sampled {
		c.rtt.update(g.srtt)
	}
	return g
}

const (
	// maxGroups bounds how many peers an endpoint remembers beyond those that it
	// is connected to.
	maxGroups = 1024
	// defaultShare is the number of flows that the connections to one peer weigh
	// as together.
	defaultShare = 2
)

// outlived reports whether the group is without members and has the controller
// that the last ones have asked for.
func (g *group) outlived() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.members == 0 && g.asked
}

// dropIdleGroupsLocked forgets peers without connections; groupsMu is held.
func (e *Endpoint) dropIdleGroupsLocked() {
	for k, g := range e.groups {
		g.mu.Lock()
		idle := g.members == 0
		g.mu.Unlock()
		if idle {
			delete(e.groups, k)
		}
	}
}

// leave takes a member out that has n packets in flight.
func (g *group) leave(now time.Duration, n int, hungry bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members--; g.members == 0 {
		g.compare(now, 0)
	}
	g.inFlight -= n
	if hungry {
		g.hungry--
	}
	if g.members == 0 {
		g.meter.forget() // maxGroups of them may be remembered
	}
	g.idleFrom = now
}

// allowance returns a member's part of the window and its time between
// packets. own is what the member has in flight.
func (g *group) allowance(own int, hungry bool) (window int, period time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.hungry
	if !hungry {
		n++
	}
	window = g.cc.Window()
	if n > 1 || g.inFlight > own {
		// What members that have finished still have in flight counts as well.
		window = max(minMemberWindow, min((window+n-1)/n, window-(g.inFlight-own)))
	}
	return window, g.cc.SendPeriod() * time.Duration(n)
}

// minMemberWindow keeps a member going whose part would be nothing.
const minMemberWindow = 4

// begin opens the record of a burst.
func (g *group) begin(now time.Duration) (burst uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.meter.begin(now, g.inFlight, g.srtt)
}

// sent closes it, if packets were sent. wasHungry and hungry tell whether the
// member had more to send before, and has now.
func (g *group) sent(now time.Duration, e SendEvent, wasHungry, hungry bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if hungry != wasHungry {
		if hungry {
			g.hungry++
		} else {
			g.hungry--
		}
	}
	if n := e.New + e.Retransmitted; n > 0 {
		g.meter.commit()
		if g.inFlight == 0 {
			g.guessed.skip(now - max(g.progressAt, g.sentAt))
		}
		g.sentAt = now
		g.inFlight += n
		g.unsaid += n
		e.InFlight = g.inFlight
		g.cc.OnSend(now, e)
	}
	if !hungry && g.hungry == 0 && g.inFlight < g.cc.Window() {
		g.meter.idle(g.inFlight)
	}
}

// arrivals is what an acknowledgement has told about one member.
type arrivals struct {
	newly   int           // packets newly known to be delivered
	packets int           // likewise, each counted once whatever its size
	landed  int           // of those, packets that counted as in flight
	sentAt  time.Duration // of the latest sent among them
	burst   uint32        // of that one
	at      time.Duration // arrival of the latest, on our clock
}

// acknowledged takes an acknowledgement of a member.
func (g *group) acknowledged(now time.Duration, e ACKEvent, a arrivals) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight -= a.landed
	if e.Latest > 0 && (g.minRTT == 0 || e.Latest < g.minRTT) {
		g.minRTT = e.Latest
	}
	g.srtt = e.RTT
	if a.newly > 0 {
		g.progressAt = now
		e.Sample = g.meter.arrived(a.newly, a.at, a.sentAt, a.burst, g.minRTT*3/4, g.busyFlight())
		if !e.Exact {
			e.Sample = g.guessed.bound(now, g.meter.delivered, g.srtt, g.minRTT, g.losses.share(), e.Sample)
		}
		if turn := now - a.sentAt; a.sentAt > 0 {
			if g.turn == 0 {
				g.turn = turn
			}
			g.turn += (turn - g.turn) / 8
		}
		e.Turn = g.turn
		e.SentAt = a.sentAt
		g.losses.add(0, a.newly)
		if g.recent.add(now, g.meter.delivered, max(2*g.srtt, rateTime)) {
			g.compare(now, g.recent.rate)
		}
		g.peak.add(now, e.Sample)
	}
	e.Newly, e.Delivered, e.DeliveredAt = a.newly, g.meter.delivered, g.meter.deliveredAt
	e.InFlight, e.Relative = g.inFlight, g.relative
	g.cc.OnACK(now, e)
}

// compare says what the group sends, to itself and to the others; 0 = nothing.
func (g *group) compare(now time.Duration, rate float64) {
	if g.minRTT >= shortPath || g.hungry == 0 {
		rate = 0
	}
	g.relative = g.even.note(now, g, rate)
}

// shortPath is the round trip below which waiting for processors takes longer
// than the path.
const shortPath = 5 * time.Millisecond

// busyFlight is the time that a flight takes where processors are waited for, 0
// on a path that is not short. Members hear of deliveries as their loops get a
// processor: what came before a flight began and became known in it counts as its
// own.
func (g *group) busyFlight() time.Duration {
	if g.minRTT < shortPath {
		return min(g.turn*3/4, maxTurn)
	}
	return 0
}

// maxTurn bounds what is believed of the time that processors are waited for.
const maxTurn = 50 * time.Millisecond

// lostPackets takes n packets out of flight that were found lost.
func (g *group) lostPackets(now time.Duration, n int, e LossEvent) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight -= n
	g.losses.add(e.Lost, 0)
	g.guessed.lostAt = now
	g.cc.OnLoss(now, e)
}

// landed takes n packets out of flight without telling the controller.
func (g *group) landed(n int) {
	if n == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight -= n
}

// timeout notes that a member waits in vain for progress. It is nothing to the
// controller as long as other members get on.
func (g *group) timeout(now time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now-g.progressAt > 2*g.srtt+ackDelayAllowance {
		g.cc.OnTimeout(now)
	}
}

// onOurClock turns a reading of the peer's clock, which a report brought now
// that was delay old when it left, into a time of ours.
func (g *group) onOurClock(now time.Duration, reading uint32, delay time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.clockSet {
		g.clockSet, g.clockRaw = true, reading
		g.offset = now - delay
		return now - delay
	}
	g.clock += time.Duration(int32(reading-g.clockRaw)) * time.Microsecond
	g.clockRaw = reading
	at := g.clock + g.offset
	if d := at - now; d > maxClockStep || d < -maxClockStep {
		// The peer's clock has jumped, or another peer has its address now.
		g.clock, g.offset = 0, now-delay
		return now - delay
	}
	return min(at, now)
}

// maxClockStep is more than any report is late.
const maxClockStep = 10 * time.Second
