package udt

import (
	"net/netip"
	"time"
)

// peakRate is the highest delivery rate of the latest one to two
// peakPeriods.
type peakRate struct {
	now, before float64       // packets/s
	begun       time.Duration // of now's period
}

const peakPeriod = time.Second

func (r *peakRate) add(now time.Duration, s RateSample) {
	r.turn(now)
	if s.Rate > 0 && (!s.AppLimited || s.Rate > r.before) {
		r.now = max(r.now, s.Rate)
	}
}

func (r *peakRate) turn(now time.Duration) {
	switch age := now - r.begun; {
	case age >= 2*peakPeriod:
		r.now, r.before, r.begun = 0, 0, now
	case age >= peakPeriod:
		r.now, r.before, r.begun = 0, r.now, now
	}
}

func (r *peakRate) value(now time.Duration) float64 {
	r.turn(now)
	return max(r.now, r.before)
}

// newGroupLocked makes a group for the peer; groupsMu is held. UDT's own
// controller follows the numbers of one connection and has each for itself.
func (e *Endpoint) newGroupLocked(now time.Duration, peer netip.AddrPort, cc Congestion, p CongestionParams, sizes pathSize) *group {
	g := &group{peer: peer, even: &e.even, cc: cc, params: p, sizes: sizes, alone: cc.Name() == nativeName}
	if !g.alone {
		e.groups[peer] = g
	}
	cc.Init(now, p)
	return g
}

// obey does what the peer asks for. All members of a group get the request;
// the first that does takes it to the group, and of several requests the latest
// wins. What was asked for ends with the last connection to the peer.
func (c *Conn) obey(now time.Duration, no uint32, a askPacket) {
	e := c.ep
	var cc Congestion
	if entry := controllerByCode(a.code); entry != nil {
		cc = entry.make(float64(a.rate))
	} else {
		cc = e.cfg.congestion()
	}
	share := float64(a.share) / 100
	if a.share == 0 {
		share = defaultShare
	}
	path := Path{Rate: float64(a.pathRate), MinRTT: a.pathRTT}
	if alone := cc.Name() == nativeName; alone != c.grp.alone {
		c.moveTo(now, cc, alone)
	}
	c.grp.take(now, no, cc, share, path, c.payload)
}

// moveTo takes c out of its group, into one of its own or into the one that its
// peer's connections share.
func (c *Conn) moveTo(now time.Duration, cc Congestion, alone bool) {
	e, old := c.ep, c.grp
	old.leave(now, c.inFlight, c.hungry)
	old.mu.Lock()
	p, minRTT, srtt, sizes := old.learntLocked(now), old.minRTT, old.srtt, old.sizes
	old.mu.Unlock()
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	var g *group
	if !alone {
		g = e.groups[c.remote]
	}
	if g == nil {
		g = e.newGroupLocked(now, c.remote, cc, p, sizes)
		g.minRTT, g.srtt = minRTT, srtt
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members++
	g.inFlight += c.inFlight
	if c.hungry {
		g.hungry++
	}
	c.grp = g
}

// take puts cc in the place of the controller, unless a later request than no
// has been taken already or nothing would change. payload is the size of full
// packets.
func (g *group) take(now time.Duration, no uint32, cc Congestion, share float64, path Path, payload int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked && int32(no-g.askNo) <= 0 {
		return
	}
	g.asked, g.askNo = true, no
	hinted := path.Rate > 0 && g.meter.next == 0 && cc.Name() == bbrName // before anything is sent
	same := cc.Name() == g.cc.Name() && controllerRate(cc) == controllerRate(g.cc) && share == g.params.Share
	if same && !hinted {
		return
	}
	p := g.learntLocked(now)
	p.Share = share
	g.params.Share = share
	if hinted {
		p.Rate, p.MinRTT, p.Measured = path.Rate/8/float64(payload), path.MinRTT, false
	}
	g.cc = cc
	cc.Init(now, p)
}

// learntLocked is what a controller that takes over is to know; g.mu is held.
// What a transfer in the background had is what others left, not what the path
// carries: only a rate to begin with.
func (g *group) learntLocked(now time.Duration) CongestionParams {
	p := g.params
	if rate := g.peak.value(now); rate > 0 && g.minRTT > 0 {
		p.Rate, p.MinRTT, p.Measured = rate, g.minRTT, g.cc.Name() != ledbatName
	}
	return p
}

// inForce describes the controller to the peer.
func (g *group) inForce() answerPacket {
	g.mu.Lock()
	defer g.mu.Unlock()
	return answerPacket{
		code: controllerCode(g.cc.Name()), rate: uint64(controllerRate(g.cc)), share: uint32(g.params.Share * 100),
	}
}

// controllerRate is the rate of a controller that has one of its own, bit/s.
func controllerRate(cc Congestion) float64 {
	if f, ok := cc.(*fixed); ok {
		return f.rate
	}
	return 0
}
