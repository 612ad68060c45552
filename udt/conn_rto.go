package udt

import (
	"slices"
	"time"
)

// timeoutState is the loop's part in noticing that acknowledgements do not come.
type timeoutState struct {
	rtoAt   time.Duration // acknowledgement progress is due, 0 = nothing in flight
	backoff int           // timeouts since the latest progress
	pokeAt  time.Duration // when to ask a silent receiver for its ACK, 0 = never
	pokes   int
}

const (
	maxRTO = time.Second
	// maxPersist is the slowest rhythm of probing a closed window.
	maxPersist = 500 * time.Millisecond
	// patience is how many timeouts in a row a peer with feedback gets without
	// longer and longer waits, and rtoBurst what each of them sends again at most.
	patience = 8
	rtoBurst = 16
	// maxPokes bounds the requests for an ACK after a burst.
	maxPokes = 4
)

// armRTO sets the time at which the next progress is overdue.
func (c *Conn) armRTO(now time.Duration) {
	limit := maxRTO
	if c.peerWindow <= minAdvertised {
		limit = maxPersist
	}
	rto := c.rtt.rto()
	if !c.rtt.sampled {
		rto = initialRTO
	}
	backoff := min(c.backoff, 6)
	if c.reports && c.peerWindow > minAdvertised {
		backoff = min(max(0, c.backoff-patience), 6)
	}
	c.rtoAt = now + min(rto<<backoff, max(limit, rto))
}

// initialRTO is the timeout before the first sample. RFC 9002 would take twice
// 333 ms; the handshake has already shown that the path is alive.
const initialRTO = 200 * time.Millisecond

// onRTO acts when progress is overdue: it repeats the first packet that is not
// acknowledged, and the last, which lets the receiver see and report all that
// is missing between. To a peer with feedback it repeats some more: runs of
// losses are left behind by sending, not by waiting.
func (c *Conn) onRTO(now time.Duration) {
	if !c.lost.empty() || c.pauseTill > now {
		c.armRTO(now) // they are on their way to the wire
		return
	}
	c.snd.mu.Lock()
	base, next, out := c.snd.base, c.snd.next, 0
	if base < next {
		// The peer may have it and hold the ACK back, which asks to be asked. What
		// becomes of the packet is open again, so the next report has to tell it.
		if m := c.snd.markLocked(base); m.fate == fateDelivered {
			m.fate = fateAssumed
			if c.heardAny {
				c.missing = slices.Insert(c.missing, 0, span{base, base + 1})
			}
		}
		again := func(i int64) {
			if c.markLostLocked(i, &out) > 0 {
				c.count.pktSndLoss++
				c.snd.markLocked(i).probe = true
			}
		}
		again(base)
		again(next - 1)
		for i := base + 1; c.reports && i < next && out < rtoBurst; i++ {
			again(i)
		}
	}
	c.snd.mu.Unlock()
	c.grp.landed(out)
	if base == next {
		c.rtoAt = 0
		return
	}
	// The first timeout may be an ACK that is late: C++ receivers can take 100 ms.
	if c.backoff++; c.backoff > 1 {
		c.grp.timeout(now)
	}
	c.doubtSize(now)
	c.armRTO(now)
}

// onPoke asks a receiver that has not acknowledged the last packets to look at
// its timers: the C++ library does so only when something arrives, or after
// 100 ms.
func (c *Conn) onPoke(now time.Duration) {
	c.pokeAt = 0
	if unacked, _ := c.snd.waiting(); unacked == 0 || c.pokes >= maxPokes || c.peerChecks {
		return
	}
	c.sendControl(now, ctrlKeepalive, 0)
	c.pokes++
	c.pokeAt = now + ackDelayAllowance<<c.pokes
}
