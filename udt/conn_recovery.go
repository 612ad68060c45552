package udt

import "time"

// recoveryState is the loop's part in finding out what became of packets.
type recoveryState struct {
	// What the peer's feedback has told: everything before top has arrived but
	// for what is missing. Of the rest nothing is known.
	missing, scratch spans
	top              int64

	// newest is when the packet was sent that was sent last of those that have
	// arrived. What was sent before that, and has not arrived, is lost, if it
	// was sent reorderWindow before (RFC 8985).
	newest        time.Duration
	reorderWindow time.Duration
	widened       time.Duration // latest change of the window

	probeAt time.Duration // when to send something into a tail without acknowledgement, 0 = never
	probes  int
}

const (
	// reorderPackets is how many packets may overtake one on a path that has not
	// been seen to reorder (RFC 9002, kPacketThreshold).
	reorderPackets = 3
	// reorderMemory is the number of round trips without needless retransmissions
	// after which the reordering window is halved.
	reorderMemory = 64
	// minProbe, maxProbes, and maxProbed, the packets of each probe, bound how a tail
	// is probed.
	minProbe  = 5 * time.Millisecond
	maxProbes = 12
	maxProbed = 64
	// probedFlight is what must be in flight for a tail to be probed: more than
	// a short request.
	probedFlight = 2
)

// deliveredLocked notes that packets arrived; c.snd.mu is held.
func (c *Conn) deliveredLocked(now time.Duration, s span, got *arrivals) {
	for i := s.from; i < s.to; i++ {
		m, weight := c.snd.weightLocked(i)
		switch {
		case m.fate&fateDelivered != 0:
			continue
		case m.fate&fateAssumed != 0:
			m.fate = fateDelivered
			continue
		case m.fate == 0:
			c.inFlight -= weight
			got.landed += weight
		}
		m.fate = fateDelivered
		got.newly += weight
		got.packets++
		if m.count > 1 && (!c.rtt.sampled || now-m.at < c.rtt.min) {
			if c.rtt.sampled && !m.probe {
				c.onSpurious(now) // it is an earlier transmission that arrived
			}
			continue
		}
		if m.at >= got.sentAt {
			got.sentAt, got.burst = m.at, m.burst
		}
	}
	c.newest = max(c.newest, got.sentAt)
}

// assumeLocked takes a loss report of a peer without feedback for packets
// [from, to): the packet behind them has arrived, and so, probably, has what
// lies before and was never reported. c.snd.mu is held.
func (c *Conn) assumeLocked(from, to int64, got *arrivals) {
	for i := max(c.top, c.snd.base); i < from; i++ {
		c.assumeOneLocked(i, got)
	}
	if to < c.snd.next && to >= max(c.top, c.snd.base) {
		c.assumeOneLocked(to, got)
	}
	c.top = max(c.top, min(to+1, c.snd.next))
}

// assumeOlderLocked takes what a peer without feedback has acknowledged: what was sent
// before the newest of it has come there as well, or its loss has been reported. Such a
// peer says nothing of what is behind a hole, and that must not keep the window closed
// until the hole is filled. c.snd.mu is held.
func (c *Conn) assumeOlderLocked(got *arrivals) {
	i := max(c.top, c.snd.base)
	for i < c.snd.next && c.snd.markLocked(i).at < c.newest {
		c.assumeOneLocked(i, got)
		i++
	}
	c.top = max(c.top, i)
}

func (c *Conn) assumeOneLocked(i int64, got *arrivals) {
	m := c.snd.markLocked(i)
	if m.fate != 0 {
		return
	}
	m.fate = fateAssumed
	c.inFlight--
	got.landed++
	got.newly++
	if m.at >= got.sentAt {
		got.sentAt, got.burst = m.at, m.burst
	}
}

// onSpurious widens the reordering window after a retransmission that was not
// needed.
func (c *Conn) onSpurious(now time.Duration) {
	c.count.spurious++
	if c.widened+c.rtt.srtt > now {
		return // of the same flight
	}
	c.reorderWindow = min(c.reorderWindow+max(c.rtt.min/16, time.Millisecond), c.rtt.srtt/2)
	c.widened = now
}

// onFeedback takes a report of the receiver.
func (c *Conn) onFeedback(now time.Duration, no uint32, payload []byte) {
	f := &c.heard
	if !f.parse(payload) {
		c.count.invalid++
		return
	}
	if c.heardAny && int32(no-c.heardNo) <= 0 {
		return // overtaken by a later one
	}
	b := &c.snd
	b.mu.Lock()
	base, next := b.base, b.next
	at := seqAt(c.isn, base)
	to := base + int64(f.next.sub(at))
	end := to + int64(f.end.sub(f.next)) // from base it may be half the numbers away, which reads as behind it
	echo := base + int64(f.echo.sub(at))
	if to < base || end > next || echo >= next {
		b.mu.Unlock()
		if to < base {
			return
		}
		c.count.invalid++
		return
	}
	if !c.heardAny {
		c.missing, c.top = c.missing[:0], base // what was assumed so far, is known now
	}
	first := !c.heardAny
	c.heardAny, c.heardNo = true, no
	var latest time.Duration
	if echo >= base {
		if m := b.markLocked(echo); m.count == 1 {
			latest = max(now-m.at-f.delay, 1)
		}
	}
	got := arrivals{at: c.grp.onOurClock(now, f.arrived, f.delay)}
	for i := range f.missing {
		f.missing[i].from += to
		f.missing[i].to += to
	}
	c.learnLocked(now, to, end, f.missing, &got)
	c.countLocked(now, f, echo, first, &got)
	lost, out := c.findLostLocked(now)
	acked := int(to - base + b.heavyLocked(base, to))
	b.mu.Unlock()

	c.peerWindow = int(min(f.window, maxWindow))
	c.peerSpeed = smoothRate(c.peerSpeed, float64(f.speed))
	c.peerCapacity = smoothRate(c.peerCapacity, float64(f.capacity))
	if latest > 0 {
		c.sampleRTT(latest)
	}
	if c.reorderWindow > 0 && now > c.widened+reorderMemory*c.rtt.srtt {
		c.reorderWindow /= 2
		c.widened = now
	}
	if lost.Lost > 0 {
		c.count.recvNAK++
		c.grp.lostPackets(now, out, lost)
	}
	if acked > 0 {
		c.snd.ack(to)
		c.lost.removeBefore(f.next)
		c.count.recvACK++
	}
	if acked > 0 || got.newly > 0 {
		c.onProgress(now, to == next)
	}
	c.grp.acknowledged(now, ACKEvent{
		Acked: acked, Next: to, Sent: next, Full: true,
		RTT: c.rtt.srtt, MinRTT: c.rtt.min, Latest: latest,
		ArrivalSpeed: float64(f.speed), Capacity: float64(f.capacity), Exact: true,
	}, got)
}

// countLocked corrects the number of packets that have arrived by the receiver's
// count, and takes when the latest of them was sent from its echo. A report may be
// too short for all the gaps there are: what arrived behind the last one that it
// names is known to have come later than it did, in a lump, and would make the
// path look faster than it is. c.snd.mu is held.
func (c *Conn) countLocked(now time.Duration, f *feedback, echo int64, first bool, got *arrivals) {
	unnamed := int(int32(f.received-c.heardReceived)) - got.packets
	c.heardReceived = f.received
	weight := 1
	if echo >= c.snd.base {
		var m *sentMark
		if m, weight = c.snd.weightLocked(echo); m.at > got.sentAt && (m.count == 1 || now-m.at >= c.rtt.min) {
			got.sentAt, got.burst = m.at, m.burst
		}
	}
	if !first {
		got.newly = min(max(got.newly+unnamed*weight, 0), c.inFlight+got.landed)
	}
}

// learnLocked brings the record up to a report that everything before end has
// arrived, but for the missing packets from to on. c.snd.mu is held.
func (c *Conn) learnLocked(now time.Duration, to, end int64, missing spans, got *arrivals) {
	c.missing = c.missing.cutBefore(c.snd.base)
	unknown := c.missing
	c.top = max(c.top, c.snd.base)
	if end > c.top {
		unknown = append(unknown, span{c.top, end})
	}
	still := unknown.split(missing, c.scratch[:0], func(s span) {
		if s.to > end { // beyond the report
			cut := max(s.from, end)
			c.beyond = append(c.beyond, span{cut, s.to})
			s.to = cut
		}
		if s.from < s.to {
			c.deliveredLocked(now, s, got)
		}
	})
	still = append(still, c.beyond...)
	c.beyond = c.beyond[:0]
	c.scratch, c.missing = unknown[:0], still
	c.top = max(c.top, end)
}

// findLostLocked decides which of the missing packets are lost. c.snd.mu is
// held.
func (c *Conn) findLostLocked(now time.Duration) (e LossEvent, out int) {
	e = LossEvent{First: -1, Sent: c.snd.next}
	doubtful := false // a large packet was lost again and again
	for _, s := range c.missing {
		for i := s.from; i < s.to; i++ {
			m := c.snd.markLocked(i)
			if m.fate&(fateLost|fateDelivered) != 0 {
				continue // what was assumed before the peer gave feedback, it contradicts
			}
			overtaken := c.reorderWindow == 0 && m.count == 1 && c.top-i > reorderPackets
			if !overtaken && m.at+c.reorderWindow >= c.newest {
				continue
			}
			at := m.at
			m.probe = false
			if m.count == 1 && e.First < 0 {
				e.First = i
			}
			weight := c.markLostLocked(i, &out)
			if weight == 0 {
				continue
			}
			c.count.pktSndLoss++
			e.Lost += weight
			e.SentAt = max(e.SentAt, at)
			doubtful = doubtful || weight > 1 && m.count >= doubtCount
		}
	}
	if doubtful {
		c.doubtSize(now)
	}
	return e, out
}

// armProbe schedules a look at the tail, after which nothing is sent that
// could show what of it was lost.
func (c *Conn) armProbe(now time.Duration) {
	if !c.reports || c.inFlight < probedFlight && c.probes == 0 || c.probes >= maxProbes {
		return
	}
	c.probeAt = now + max(c.rtt.srtt/4, minProbe)
}

// onProbe sends the first packet again that is not acknowledged: its arrival
// shows all that was lost before, without waiting for the timeout. What has
// been sent again once is sent once more, since nothing else needs the path
// now, and losing it twice would cost a round trip at the end.
func (c *Conn) onProbe(now time.Duration) {
	c.probeAt = 0
	if c.hungry || !c.lost.empty() {
		return
	}
	b := &c.snd
	b.mu.Lock()
	out, n := 0, 0
	for i := b.base; i < b.next && n < maxProbed; i++ {
		m := b.markLocked(i)
		if m.fate == 0 && now-m.at > minProbe/2 && (n == 0 || m.count == 2) {
			c.markLostLocked(i, &out)
			m.probe = true
			n++
		}
	}
	b.mu.Unlock()
	c.grp.landed(out)
	c.probes++
	c.armProbe(now)
}
