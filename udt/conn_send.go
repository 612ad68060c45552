package udt

import (
	"math"
	"time"
)

// sendState is the loop's part in sending.
type sendState struct {
	grp          *group // nil before the handshake is complete
	hungry       bool   // there was more to send than the group allowed
	inFlight     int    // packets sent that are neither delivered nor lost, as far as known
	spent        int    // packets of the latest burst, copies included
	pacer        pacer
	lost         lossList // sequence numbers to send again, all of them unacknowledged
	msg          msgNo
	peerWindow   int // packets that the peer has room for, counted from its latest ACK
	peerACK      ackNo
	peerSpeed    float64 // packets/s, smoothed; what the peer's ACKs say
	peerCapacity float64 // packets/s, smoothed

	rtoAt     time.Duration // acknowledgement progress is due, 0 = nothing in flight
	backoff   int           // timeouts since the latest progress
	pokeAt    time.Duration // when to ask a silent receiver for its ACK, 0 = never
	pokes     int
	holdUntil time.Duration // the first data waits, see firstDataHold
	pauseTill time.Duration // see pauseForPeer
	// sendingSince is when the latest silence of ours ended.
	sendingSince time.Duration

	batch [][]byte  // scratch: packets of one burst
	burst SendEvent // what the latest burst was
}

const (
	// sendBurst bounds the packets that go out between two looks at the inbox.
	sendBurst = 64
	maxRTO    = time.Second
	// maxPersist is the slowest rhythm of probing a closed window.
	maxPersist = 500 * time.Millisecond
	// firstDataHold is how long a server, or either side of a rendezvous, holds
	// back its first data unless it has heard from the peer: a C++ client drops
	// what comes before it has entered the new connection into its table.
	firstDataHold = 10 * time.Millisecond
	// patience is how many timeouts in a row a peer with feedback gets without
	// longer and longer waits, and rtoBurst what each of them sends again at most.
	patience = 8
	rtoBurst = 16
	// stubborn is the number of transmissions from which on a packet is sent
	// several times at once.
	stubborn = 5
	// maxPokes bounds the requests for an ACK after a burst.
	maxPokes = 4
)

// maybeSend sends what may be sent now, at most sendBurst packets: lost ones
// first, then new ones. It returns when to be called again. Asking whether
// there is something to send and sending it are one thing, so they cannot
// disagree.
func (c *Conn) maybeSend(now time.Duration) (next time.Duration) {
	if c.state != stateEstablished && c.state != stateDraining {
		return never
	}
	c.pauseForPeer(now)
	if wait := max(c.holdUntil, c.pauseTill); wait > now {
		return wait
	}
	window, period := c.grp.allowance(c.inFlight, c.hungry)
	budget := c.pacer.budget(now, period, sendBurst)
	if budget == 0 {
		return c.pacer.next
	}
	c.followPath(now)
	drained := c.gather(now, budget, window)
	n := c.spent
	hungry := !drained
	if n == 0 {
		if hungry != c.hungry {
			c.grp.sent(now, c.burst, c.hungry, hungry)
			c.hungry = hungry
		}
		return never
	}
	if drained && c.burst.New > 0 && !c.peerChecks {
		// The end of a burst: this makes a C++ receiver look at its timers, and
		// acknowledge the packet before, which is not full.
		c.ctl = appendControl(c.ctl[:0], ctrlKeepalive, 0, c.peerID)
		c.batch = append(c.batch, c.ctl)
	}
	c.appendDueStatus(now)
	c.transmit(c.batch)
	clear(c.batch)
	c.noteSent(now)
	c.pacer.spend(n, period)
	c.grp.sent(now, c.burst, c.hungry, hungry)
	c.hungry = hungry
	if c.count.busySince == 0 {
		c.count.busySince = now
	}
	if c.rtoAt == 0 {
		c.armRTO(now)
	}
	if c.burst.New > 0 {
		c.pokes, c.probes = 0, 0
		c.pokeAt = now + c.rtt.srtt + ackDelayAllowance
	}
	if c.burst.New > 0 {
		c.exploreSize(now)
	}
	if drained {
		c.armProbe(now)
	}
	if drained || n < budget {
		return never // nothing is left, or the window is closed
	}
	return max(now, c.pacer.next-pacerSlack)
}

// gather fills c.batch with about limit packets and c.burst with what they
// are; no more than window packets are to be in flight afterwards, lost ones
// sent again not considered. It reports whether nothing that could be sent is
// left.
func (c *Conn) gather(now time.Duration, limit, window int) (drained bool) {
	c.batch, c.pieces, c.spent = c.batch[:0], c.pieces[:0], 0
	burst := c.grp.begin(now)
	packets, again := 0, 0
	b := &c.snd
	b.mu.Lock()
	defer b.mu.Unlock()
	c.burst = SendEvent{}
	base := seqAt(c.isn, b.base)
	for c.spent < limit {
		s, ok := c.lost.first()
		if !ok {
			break
		}
		c.lost.pop()
		i := b.base + int64(s.sub(base))
		mark, weight := b.weightLocked(i)
		if mark.fate&fateDelivered != 0 {
			continue // it was only late
		}
		p := b.packetLocked(i)
		c.launch(mark, weight, now, burst)
		copies := 1
		if mark.count >= stubborn && c.reports {
			copies = 3 // runs of losses end with packets, not with time
		}
		for range copies {
			c.appendPacket(p)
		}
		c.spent += copies * weight
		again += copies
		c.burst.Retransmitted += weight
		c.count.byteRetrans += int64(len(p) - headerSize)
	}
	// The second half of a probe pair goes with the first: the receiver takes
	// their distance for the capacity of the link.
	probing := false
	for (c.spent < limit || probing) && b.next-b.base+b.heavySent < int64(c.peerWindow) && c.inFlight < window {
		i, ok := b.sealLocked()
		if !ok {
			break
		}
		p := b.packetLocked(i)
		seq := seqAt(c.isn, i)
		probing = seq%probeModulus == 0
		c.msg = c.msg.next()
		putDataHeader(p, seq, c.msg, c.peerID)
		mark, weight := b.weightLocked(i)
		*mark = sentMark{}
		c.launch(mark, weight, now, burst)
		c.appendPacket(p)
		c.spent += weight
		packets++
		c.burst.New += weight
		c.count.byteSent += int64(len(p) - headerSize)
	}
	c.burst.Sent = b.next
	b.wakeLocked()
	c.count.pktSent += int64(packets + again)
	c.count.pktRetrans += int64(again)
	return b.next == b.end && c.lost.empty()
}

// appendPacket adds a packet to the batch, in pieces if it has become too large
// for the path.
func (c *Conn) appendPacket(p []byte) {
	if len(p)-headerSize <= c.size {
		c.batch = append(c.batch, p)
		return
	}
	c.batch, c.pieces = appendPieces(c.batch, c.pieces, p, headerSize+c.payload)
}

// launch notes one more transmission of a packet.
func (c *Conn) launch(m *sentMark, weight int, now time.Duration, burst uint32) {
	c.inFlight += weight
	m.at, m.burst, m.fate = now, burst, 0
	if m.count < math.MaxUint16 {
		m.count++
	}
}

// transmit hands packets to the socket. What the socket refuses is as good as
// lost on the way, and is repaired like that.
func (c *Conn) transmit(packets [][]byte) {
	if err := c.ep.sock.send(packets, c.route); err != nil {
		c.ep.noteWriteError(err)
	}
}

func (c *Conn) sendControl(now time.Duration, typ ctrlType, info uint32, words ...uint32) {
	c.ctl = appendControl(c.ctl[:0], typ, info, c.peerID, words...)
	c.batch = append(c.batch[:0], c.ctl)
	c.transmit(c.batch)
	c.noteSent(now)
}

// noteSent follows every packet sent.
func (c *Conn) noteSent(now time.Duration) {
	if now-c.lastSent >= cppRetransmit {
		c.sendingSince = now
	}
	c.lastSent = now
}

// cppRetransmit is the shortest silence after which a C++ peer repeats what it
// has lost.
const cppRetransmit = 300 * time.Millisecond

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
		c.rtt.update(latest)
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
	c.repairFirstHole(now)
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

// repairFirstHole sends the first unacknowledged packet again if it has been
// on its way for longer than an acknowledgement may take: it, or the report of
// its loss, or its retransmission was lost. C++ receivers report a gap once.
func (c *Conn) repairFirstHole(now time.Duration) {
	c.snd.mu.Lock()
	defer c.snd.mu.Unlock()
	b := &c.snd
	if b.base == b.next {
		return
	}
	m := b.markLocked(b.base)
	if m.count > 1 && now-m.at > c.rtt.rto() {
		out := 0
		c.markLostLocked(b.base, &out)
		c.count.pktSndLoss++
		c.grp.landed(out)
	}
}

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
		// The peer may have it and hold the ACK back, which asks to be asked.
		if m := c.snd.markLocked(base); m.fate == fateDelivered {
			m.fate = fateAssumed
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
	handled := b.base // entries ascend; what overlaps is looked at once
	for r := range lossReport(payload) {
		from := b.base + int64(r.start.sub(base))
		to := from + int64(r.len())
		if to > b.next || to <= from {
			c.count.invalid++
			continue
		}
		valid = true
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
	if got.newly > 0 {
		c.grp.acknowledged(now, ACKEvent{
			Next: b.base, Sent: b.next, RTT: c.rtt.srtt, MinRTT: c.rtt.min,
		}, got)
	}
}

// pauseForPeer works around the timer of the C++ library: any packet of ours
// resets it, so while we send without a break, a peer whose last packets were
// lost never repeats them. If the peer's data stopped with a full packet, which
// is how a lost tail looks, one pause lets that timer run out.
func (c *Conn) pauseForPeer(now time.Duration) {
	if c.peerChecks || c.paused || c.tailIrregular || c.lastDataAt == 0 || !c.gaps.empty() ||
		now-c.lastDataAt < peerQuiet || now-c.lastSent >= cppRetransmit || now-c.sendingSince < peerQuiet {
		return
	}
	c.paused = true
	c.pauseTill = now + peerPause
}

const (
	peerQuiet = 500 * time.Millisecond
	peerPause = 400 * time.Millisecond
)
