package udt

import "time"

// ackState is what the peer's acknowledgements have told the loop.
type ackState struct {
	peerWindow   int // packets that the peer has room for, counted from its latest ACK or report
	peerACK      ackNo
	peerSpeed    float64 // packets/s, smoothed; what they say
	peerCapacity float64 // packets/s, smoothed

	repairs    int           // packets that repairHoles sent again last time
	repairedAt time.Duration // when that was
}

// onACK takes a light or full ACK.
func (c *Conn) onACK(now time.Duration, no ackNo, payload []byte) {
	a, ok := parseACK(payload)
	if !ok {
		c.count.invalid++
		return
	}
	c.snd.mu.Lock()
	base, sent := c.snd.base, c.snd.next
	to := base + int64(a.seq.sub(seqAt(c.isn, base)))
	var latest time.Duration
	var got arrivals
	if to > base && to <= sent {
		// What stood behind a hole was acknowledged when that was filled, not
		// when it arrived.
		if m := c.snd.markLocked(to - 1); m.count == 1 && c.snd.markLocked(base).count == 1 {
			latest = now - m.at
		}
		got = arrivals{at: now}
		c.deliveredLocked(now, span{base, to}, &got)
		if !c.reports {
			c.assumeOlderLocked(&got)
		}
	}
	c.snd.mu.Unlock()
	if to > sent {
		c.count.invalid++
		return
	}
	if !a.light {
		c.sendControl(now, ctrlACK2, uint32(no))
	}
	if to < base {
		return // overtaken by a later one
	}
	acked := int(to - base)
	if a.light {
		// The least that a receiver advertises stays, or nothing would ask it
		// for more if the full ACK were lost.
		c.peerWindow = max(minAdvertised, c.peerWindow-acked)
	} else if acked > 0 || no.newer(c.peerACK) {
		c.peerACK = no
		c.peerWindow = int(min(a.window, maxWindow))
		c.peerSpeed = smoothRate(c.peerSpeed, float64(a.speed))
		c.peerCapacity = smoothRate(c.peerCapacity, float64(a.capacity))
	}
	if latest > 0 {
		c.sampleRTT(latest)
	}
	if acked > 0 {
		c.snd.ack(to)
		c.lost.removeBefore(a.seq)
		c.onProgress(now, to == sent)
		if !a.light {
			c.count.recvACK++
		}
	}
	c.grp.acknowledged(now, ACKEvent{
		Acked: acked, Next: to, Sent: sent,
		RTT: c.rtt.srtt, MinRTT: c.rtt.min, Latest: latest, Full: !a.light,
		ArrivalSpeed: float64(a.speed), Capacity: float64(a.capacity),
	}, got)
	c.repairHoles(now)
}

// onProgress follows an ACK that acknowledged something.
func (c *Conn) onProgress(now time.Duration, all bool) {
	c.progressAt = now
	c.backoff, c.pokes = 0, 0
	if all {
		c.rtoAt, c.pokeAt, c.probeAt = 0, 0, 0
		c.count.busy += now - c.count.busySince
		c.count.busySince = 0
		return
	}
	c.armRTO(now)
	c.pokeAt = now + c.rtt.srtt + ackDelayAllowance
}

// repairHoles sends the first unacknowledged packet again if it has been on its way
// for longer than an acknowledgement may take: it, or the report of its loss, or its
// retransmission was lost. C++ receivers report a gap once, so nobody says which of
// the other retransmissions were lost as well, and after a burst of losses one in each
// timeout would take minutes. So of those that are as old twice as many as last time
// are sent with it, as long as one repair follows another. Some of them have arrived.
func (c *Conn) repairHoles(now time.Duration) {
	c.snd.mu.Lock()
	defer c.snd.mu.Unlock()
	b := &c.snd
	if b.base == b.next {
		return
	}
	rto := c.rtt.rto()
	late := func(i int64) bool {
		m := b.markLocked(i)
		return m.count > 1 && now-m.at > rto
	}
	if !late(b.base) {
		return
	}
	if now-c.repairedAt > 2*rto {
		c.repairs = 0
	}
	c.repairs = min(max(2*c.repairs, 1), maxRepairs)
	c.repairedAt = now
	out := 0
	for i, left := b.base, c.repairs; i < b.next && left > 0; i++ {
		if late(i) && c.markLostLocked(i, &out) > 0 {
			c.count.pktSndLoss++
			left--
		}
	}
	c.grp.landed(out)
}

// maxRepairs bounds how many packets that may have arrived are sent again at once.
const maxRepairs = 1024

// markLostLocked queues packet i to be sent again and counts it out of flight.
// It returns what the packet counts as, 0 if it was queued before. c.snd.mu is
// held.
func (c *Conn) markLostLocked(i int64, out *int) (weight int) {
	m, weight := c.snd.weightLocked(i)
	if m.fate&(fateLost|fateDelivered) != 0 {
		return 0
	}
	if m.fate&fateAssumed == 0 {
		c.inFlight -= weight
		*out += weight
	}
	m.fate = fateLost
	s := seqAt(c.isn, i)
	c.lost.add(seqRange{s, s.add(1)})
	return weight
}

// onNAK takes a loss report.
func (c *Conn) onNAK(now time.Duration, payload []byte) {
	if c.heardAny {
		return // sent before the peer knew that we take feedback
	}
	b := &c.snd
	b.mu.Lock()
	defer b.mu.Unlock()
	base := seqAt(c.isn, b.base)
	e := LossEvent{First: -1, Sent: b.next}
	out, valid := 0, false
	got := arrivals{at: now}
	var latest time.Duration
	handled := b.base // entries ascend; what overlaps is looked at once
	for r := range lossReport(payload) {
		from := b.base + int64(r.start.sub(base))
		to := from + int64(r.len())
		if to > b.next || to <= from {
			c.count.invalid++
			continue
		}
		valid = true
		if to >= max(c.top, b.base) && to < b.next {
			// The packet behind a new gap has just come. Nothing else measures round
			// trips while holes are open.
			if m := b.markLocked(to); m.count == 1 && m.fate == 0 {
				latest = now - m.at
			}
		}
		c.assumeLocked(from, to, &got)
		// Packets sent again within the last round trip are still on their way.
		for i := max(from, handled); i < to; i++ {
			m := b.markLocked(i)
			if m.count > 1 && now-m.at < c.rtt.srtt {
				continue
			} else if m.count == 1 && e.First < 0 {
				e.First = i
			}
			at := m.at
			if c.markLostLocked(i, &out) > 0 {
				e.Lost++
				e.SentAt = max(e.SentAt, at)
			}
		}
		handled = max(handled, to)
	}
	if !valid {
		return
	}
	c.count.recvNAK++
	c.count.pktSndLoss += int64(e.Lost)
	if e.Lost > 0 {
		c.grp.lostPackets(now, out, e)
	}
	if latest > 0 {
		c.sampleRTT(latest)
	}
	if got.newly > 0 {
		c.grp.acknowledged(now, ACKEvent{
			Next: b.base, Sent: b.next, RTT: c.rtt.srtt, MinRTT: c.rtt.min, Latest: latest,
		}, got)
	}
}
