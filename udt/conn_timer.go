package udt

import "time"

// onTimers does everything that is due and returns when to look again.
func (c *Conn) onTimers(now time.Duration) (next time.Duration) {
	c.checkClosed(now)
	next = never
	due := func(at time.Duration) bool {
		if at == 0 {
			return false
		}
		if at > now {
			next = min(next, at)
			return false
		}
		return true
	}
	again := func(at time.Duration) {
		if at != 0 {
			next = min(next, at)
		}
	}

	if c.refusals.Load() > 0 {
		for range c.refusals.Swap(0) {
			c.onRefused(now)
		}
	}

	switch c.state {
	case stateConnecting:
		if due(c.hs.resendAt) {
			c.sendHandshakeRequest(now)
			again(c.hs.resendAt)
		}
		return next
	case stateClosing:
		c.repeatShutdown(now)
		again(c.shutdownAt)
		return next
	case stateDead:
		return never
	}

	if now-c.lastHeard >= c.ep.cfg.timeout() {
		c.breakOff(now)
		return never
	}
	again(c.lastHeard + c.ep.cfg.timeout())
	if c.state == stateDraining {
		again(c.progressAt + c.ep.cfg.linger())
	}

	c.onRecvTimers(now)
	again(c.ackAt)
	again(c.ackRepeatAt)
	again(c.gaps.nextDue)

	if due(c.rtoAt) {
		c.onRTO(now)
		again(c.rtoAt)
	}
	if due(c.suspect.probeAt) {
		c.probeSuspect(now)
		if c.state == stateDead {
			return never
		}
		again(c.suspect.probeAt)
	}
	if due(c.pokeAt) {
		c.onPoke(now)
		again(c.pokeAt)
	}
	if keep := c.lastSent + c.ep.cfg.keepAlive(); now >= keep {
		c.sendControl(now, ctrlKeepalive, 0)
	}
	again(c.lastSent + c.ep.cfg.keepAlive())
	return next
}

// breakOff ends a connection whose peer is gone.
func (c *Conn) breakOff(now time.Duration) {
	err := &PeerTimeoutError{Silence: now - c.lastHeard}
	c.sendControl(now, ctrlShutdown, 0)
	c.terminate(err, err, err)
}
