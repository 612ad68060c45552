package udt

import "time"

// onTimers does everything that is due.
func (c *Conn) onTimers(now time.Duration) {
	c.checkClosed(now)
	if c.refusals.Load() > 0 {
		for range c.refusals.Swap(0) {
			c.onRefused(now)
		}
	}
	due := func(at time.Duration) bool { return at != 0 && at <= now }
	switch c.state {
	case stateConnecting:
		if due(c.hs.resendAt) {
			c.sendHandshakeRequest(now)
		}
		return
	case stateClosing:
		c.repeatShutdown(now)
		return
	case stateDead:
		return
	}
	if now-c.lastHeard >= c.ep.cfg.timeout() {
		c.breakOff(now)
		return
	}
	c.onRecvTimers(now)
	if due(c.rtoAt) {
		c.onRTO(now)
	}
	if due(c.pokeAt) {
		c.onPoke(now)
	}
	if c.hs.unconfirmed && due(c.hs.resendAt) {
		c.sendHandshakeRequest(now)
	}
	if due(c.probeAt) {
		c.onProbe(now)
	}
	if due(c.offerAt) {
		c.sendOffer(now)
	}
	c.renewAsk(now)
	if due(c.askAt) {
		c.sendAsk(now)
	}
	if due(c.doubt.at) {
		c.onDoubt(now)
	}
	if due(c.sizeAt) {
		c.onSizeTimer(now)
	}
	if due(c.idleAt) {
		c.onIdle(now)
	}
	if due(c.suspect.probeAt) {
		c.probeSuspect(now)
	}
	if now-c.lastSent >= c.ep.cfg.keepAlive() && c.state != stateDead {
		c.sendControl(now, ctrlKeepalive, 0)
	}
}

// nextTimeout returns when onTimers will have something to do.
func (c *Conn) nextTimeout() (next time.Duration) {
	next = never
	at := func(times ...time.Duration) {
		for _, t := range times {
			if t != 0 {
				next = min(next, t)
			}
		}
	}
	switch c.state {
	case stateConnecting:
		at(c.hs.resendAt)
	case stateClosing:
		at(c.shutdownAt)
	case stateDraining:
		at(c.progressAt + c.ep.cfg.linger())
		fallthrough
	case stateEstablished:
		if c.hs.unconfirmed {
			at(c.hs.resendAt)
		}
		at(c.ackAt, c.ackRepeatAt, c.gaps.nextDue, c.rtoAt, c.pokeAt, c.probeAt, c.offerAt, c.askAt, c.suspect.probeAt,
			c.sizeAt, c.doubt.at, c.idleAt, c.lastSent+c.ep.cfg.keepAlive(), c.lastHeard+c.ep.cfg.timeout())
	}
	return next
}

// breakOff ends a connection whose peer is gone.
func (c *Conn) breakOff(now time.Duration) {
	err := &PeerTimeoutError{Silence: now - c.lastHeard}
	c.sendControl(now, ctrlShutdown, 0)
	c.terminate(err, err, err)
}
