package udt

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// askState is the loop's part in asking the peer for a controller, and in doing
// what the peer asks for.
type askState struct {
	remembered Path // what the user knows of the path; immutable

	// Our request, repeated until it is answered.
	ask      *numberedAsk  // nil = none yet
	askAt    time.Duration // when it is sent again, 0 = no more
	askTries int
	askPath  Path // goes with it
	answer   AskStatus

	// The peer's latest request, and what it was answered.
	askedNo  uint32
	askedAny bool
	verdict  Verdict
}

const (
	maxAsks = 12
	// maxAskWait bounds the time between two requests, which doubles.
	maxAskWait = time.Second
)

// numberedAsk is an Ask and its number. Of two that reach a sender the one with
// the higher number counts, modulo 2^32. Immutable.
type numberedAsk struct {
	Ask
	no uint32
}

// asker is what an endpoint asks of the peers that it dials.
type asker struct {
	current atomic.Pointer[numberedAsk] // nil = nothing

	mu   sync.Mutex
	told map[netip.AddrPort]uint32 // guarded by mu; the request that each peer's answer was told of
}

// maxTold bounds the peers of which is remembered what was told.
const maxTold = 1024

// begin takes what the endpoint asks for from its start. Numbers begin with the
// time, so that they go on after a restart at the same address.
func (a *asker) begin(first Ask, wall time.Time) {
	a.told = make(map[netip.AddrPort]uint32)
	if first != (Ask{}) {
		a.current.Store(&numberedAsk{first, uint32(wall.UnixMilli())})
	}
}

// next makes ask the current one.
func (a *asker) next(ask Ask, wall time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	no := uint32(wall.UnixMilli())
	if was := a.current.Load(); was != nil && int32(no-was.no) <= 0 {
		no = was.no + 1
	}
	a.current.Store(&numberedAsk{ask, no})
}

// tell reports whether the answer of a peer to a request is news.
func (a *asker) tell(peer netip.AddrPort, no uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if was, ok := a.told[peer]; ok && was == no {
		return false
	}
	if len(a.told) >= maxTold {
		clear(a.told)
	}
	a.told[peer] = no
	return true
}

// Ask asks the peers that this endpoint has dialled, and those that it will
// dial, to send in another way from now on. Answers come later, in Stats and to
// Config.OnAnswer. All connections to one peer share what was asked for last.
func (e *Endpoint) Ask(a Ask) error {
	if err := a.check(); err != nil {
		return err
	}
	e.asker.next(a, time.Now())
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.conns {
		c.wakeLoop()
	}
	return nil
}

// beginAsking follows the handshake.
func (c *Conn) beginAsking(now time.Duration) {
	c.answer.Verdict = NotAsked
	if c.rtt.sampled && c.remembered.fits(c.rtt.latest) {
		c.askPath = Path{Rate: c.remembered.Rate, MinRTT: c.rtt.latest}
	}
	c.ask = c.ep.asker.current.Load()
	if c.ask == nil && c.askPath != (Path{}) {
		c.ask = &numberedAsk{no: uint32(c.ep.epoch.UnixMilli()) - 1} // before any other
	}
	c.startAsk(now)
}

// renewAsk takes up what the user has asked for meanwhile.
func (c *Conn) renewAsk(now time.Duration) {
	if a := c.ep.asker.current.Load(); a != nil && (c.ask == nil || a.no != c.ask.no) && c.hs.resendAt != 0 {
		c.ask = a
		c.startAsk(now)
	}
}

func (c *Conn) startAsk(now time.Duration) {
	c.askTries, c.askAt = 0, 0
	switch {
	case c.ask == nil || c.hs.resendAt == 0: // only who has dialled asks
	case c.ep.cfg.PlainUDT || !c.peerChecks:
		c.answered(AskStatus{Verdict: Unanswered})
	default:
		c.answer = AskStatus{Verdict: Asking}
		c.sendAsk(now)
	}
}

func (c *Conn) sendAsk(now time.Duration) {
	if c.askTries == maxAsks {
		c.askAt = 0
		c.answered(AskStatus{Verdict: Unanswered})
		return
	}
	c.askAt = now + min((c.rtt.spread()+ackDelayAllowance)<<c.askTries, max(maxAskWait, c.rtt.spread()))
	c.askTries++
	c.sendUser(now, askType, c.ask.no, c.ask.packet(c.askPath).words()...)
}

// onAskAnswer takes what the peer says of our request.
func (c *Conn) onAskAnswer(no uint32, payload []byte) {
	a, ok := parseAnswer(payload)
	if !ok {
		c.count.invalid++
		return
	}
	if c.ask == nil || c.ask.no != no || c.askAt == 0 {
		return // to an earlier request, or again
	}
	c.askAt = 0
	c.answered(a.status())
}

// answered notes how a request has ended, and tells it once for all connections
// to the peer.
func (c *Conn) answered(s AskStatus) {
	c.answer = s
	if c.ask.Ask == (Ask{}) || !c.ep.asker.tell(c.remote, c.ask.no) {
		return
	}
	if log := c.ep.cfg.logger(); s.Verdict != Accepted {
		log.Warn("the peer does not send as asked", "peer", c.remote, "verdict", s.Verdict.String(), "controller", s.Controller)
	} else {
		log.Debug("the peer sends as asked", "peer", c.remote, "controller", s.Controller, "share", s.Share)
	}
	if f := c.ep.cfg.OnAnswer; f != nil {
		f(c.remote, s)
	}
}

// onAsk takes the peer's request for a controller of ours.
func (c *Conn) onAsk(now time.Duration, no uint32, payload []byte) {
	a, ok := parseAsk(payload)
	if !ok {
		c.count.invalid++
		return
	}
	switch {
	case c.askedAny && int32(no-c.askedNo) < 0:
		return // overtaken by a later one
	case !c.askedAny || no != c.askedNo:
		c.askedAny, c.askedNo = true, no
		c.verdict = c.ep.cfg.Allow.judge(a)
		if c.verdict == Accepted {
			c.obey(now, no, a)
		}
		c.ep.cfg.logger().Debug("asked for a controller", "peer", c.remote, "code", a.code, "share", float64(a.share)/100, "verdict", c.verdict.String())
	}
	answer := c.grp.inForce()
	answer.verdict = c.verdict
	c.sendUser(now, answerType, no, answer.words()...)
}

func (c *Conn) sendUser(now time.Duration, ext uint16, info uint32, words ...uint32) {
	c.ctl = appendUser(c.ctl[:0], ext, info, c.peerID, words...)
	c.batch = append(c.batch[:0], c.ctl)
	c.transmit(c.batch)
	c.noteSent(now)
}
