package udt

import "time"

// recvState is the loop's part in receiving.
type recvState struct {
	arrivals arrivalEstimator
	gaps     gapList
	acks     ackWindow

	ackNo         ackNo
	acked         int64         // everything before it was acknowledged in a full ACK
	lightAcked    int64         // likewise in any ACK
	ackAt         time.Duration // when a full ACK is due, 0 = nothing to acknowledge
	fullACKSent   time.Duration // 0 = none yet
	ratesSent     bool          // an ACK has carried a measured arrival speed
	sinceLight    int           // data packets since the latest ACK of any kind
	ackRepeatAt   time.Duration // when the latest full ACK is repeated, 0 = no more
	ackRepeats    int
	reorderDelay  time.Duration // how long a gap waits before it is reported
	lastDataAt    time.Duration // latest data packet that was new
	tailIrregular bool          // the highest packet received was not full
	fullSize      int           // payload of the latest packet that was full, or larger
	paused        bool          // see pauseForPeer
	nakWords      []uint32      // scratch
}

const (
	// ackInterval is the time between full ACKs while data flows. The C++
	// library acknowledges every 10 ms, which is all that its sender needs for
	// control; buffers and windows turn over faster with more.
	ackInterval = 2 * time.Millisecond
	// lightACKEvery is the number of packets after which a light ACK is sent.
	lightACKEvery = 64
	// maxACKRepeats bounds unsolicited repetitions. Each resets the timer of a
	// C++ peer, which must be left alone to repair what it has lost.
	maxACKRepeats = 3
	// minAdvertised is the smallest window that UDT knows, in packets.
	minAdvertised = 2
	// hiddenReserve is the room in packets behind it.
	hiddenReserve = 64
)

// receive handles what the inbox has held.
func (c *Conn) receive(now time.Duration, runs []inbound) {
	for _, r := range runs {
		if c.state != stateDead {
			c.onRun(now, r)
		}
		r.slab.release()
	}
	clear(runs) // an idle connection pins no slab
	c.spare = runs
	if c.state == stateEstablished && len(runs) > 0 {
		c.rcv.mu.Lock()
		if c.asleep = c.moreWaits && c.rcv.letSleepLocked(); !c.asleep {
			c.rcv.wakeLocked()
		}
		c.rcv.mu.Unlock()
	}
}

// onRun handles the datagrams of one run. The lock of the receive buffer is
// taken once for all data packets in a row.
func (c *Conn) onRun(now time.Duration, r inbound) {
	locked := false
	defer func() {
		if locked {
			c.rcv.mu.Unlock()
		}
	}()
	if c.state == stateConnecting && r.local.IsValid() {
		c.route = c.ep.sock.route(c.remote, r.local)
	}
	is := ownTime
	if r.train {
		is = trainTime
	} else if !c.reports {
		c.arrivals.onRun(r.at, r.spread, r.datagrams())
	}
	for b := r.data; len(b) > 0; {
		if len(b) < len(r.data) && is == ownTime {
			is = batchTime
		}
		n := min(r.segment, len(b))
		p := b[:n:n]
		b = b[n:]
		h, ok := parseHeader(p)
		if !ok || !c.acceptable(h, p) {
			c.count.invalid++
			continue
		}
		c.lastHeard = now
		c.suspect = suspicion{}
		if !h.isHandshake() {
			c.holdUntil = 0 // the client knows that it is connected
		}
		if h.control() {
			if locked {
				c.rcv.mu.Unlock()
				locked = false
			}
			c.onControl(now, h, p)
			continue
		}
		if c.state == stateConnecting {
			c.onEarlyPacket(now)
		}
		if c.state != stateEstablished {
			continue
		}
		if !locked {
			c.rcv.mu.Lock()
			locked = true
		}
		c.onDataLocked(now, r.at, is, h.seq, p[headerSize:])
		// What is echoed is the end of the run. Its own time counts: 50 µs too early
		// would be a round trip over loopback, and the shortest counts there.
		c.echoAt += r.spread
	}
}

// acceptable applies what is known of the peer's check values. Handshakes are
// exempt: a C++ listener echoes ours, changed.
func (c *Conn) acceptable(h header, p []byte) bool {
	if h.isHandshake() {
		c.peerChecks = c.peerChecks || checked(p)
		return true
	}
	switch {
	case h.dst == 0 && h.typ == ctrlUser:
		return true // a reset, which is checked on its own
	case h.dst != c.id:
		return false
	case c.peerChecks:
		return checked(p)
	case h.control():
		c.peerChecks = checked(p)
	}
	return true
}

// onDataLocked takes a data packet; c.rcv.mu is held.
func (c *Conn) onDataLocked(now, at time.Duration, is arrivalTime, seq seqNo, data []byte) {
	if len(data) > c.rcv.large {
		c.count.invalid++
		return
	}
	c.count.pktRecv++
	c.sinceLight++
	c.arrivals.onPacket(seq, at, is)
	c.echoSeq, c.echoAt = seq, at

	i := c.rcv.next + int64(seq.sub(seqAt(c.peerISN, c.rcv.next)))
	top := c.rcv.top
	if i >= c.rcv.read+int64(c.accept) {
		c.makeRoomLocked(now, i)
	}
	switch c.rcv.insertLocked(i, data, c.accept) {
	case duplicate:
		c.duplicates++
		// The sender has not seen our ACK.
		c.ackBy(now + ackInterval)
		return
	case noRoom:
		c.count.dropped++
		c.ackBy(now + ackInterval)
		return
	}
	if len(c.partial.packets) > 0 {
		c.partial.drop(i)
	}
	c.count.byteRecv += int64(len(data))
	c.lastDataAt, c.paused = now, false
	c.received++
	switch {
	case i > top:
		c.count.pktRcvLoss += i - top
		c.gaps.open(seqRange{seqAt(c.peerISN, top), seq}, now, c.reorderDelay)
		if c.reports {
			c.gaps.nextDue = 0
			c.ackBy(max(now, c.fullACKSent+reportGapAfter))
		}
	case i < top:
		c.onFilled(now, seq)
	}
	irregular := len(data) != c.payload && len(data) != c.fullSize
	if len(data) >= c.payload {
		c.fullSize = len(data)
	}
	if i >= top {
		c.tailIrregular = irregular
	}
	if irregular {
		c.ackBy(now)
	} else {
		c.ackBy(max(now, c.fullACKSent+ackInterval))
	}
}

// onFilled learns from a packet that came late whether the path reorders: what
// comes before a retransmission could have, was only overtaken.
func (c *Conn) onFilled(now time.Duration, seq seqNo) {
	g, missing := c.gaps.fill(seq)
	if !missing {
		return
	}
	late := now - g.since
	if !g.reported() || c.rtt.sampled && late < c.rtt.min*3/4 {
		limit := min(max(c.rtt.srtt/8, time.Millisecond), 5*time.Millisecond)
		c.reorderDelay = min(max(c.reorderDelay, late+late/4), limit)
		return
	}
	c.reorderDelay -= c.reorderDelay / 16
}

// ackBy asks for a full ACK no later than at.
func (c *Conn) ackBy(at time.Duration) {
	if c.ackAt == 0 || at < c.ackAt {
		c.ackAt = at
	}
}

// onRecvTimers sends the ACKs and loss reports that are due.
func (c *Conn) onRecvTimers(now time.Duration) {
	if c.windowOpened.Load() && c.windowOpened.Swap(false) {
		c.ackBy(now)
	}
	if c.reports {
		c.ackRepeatAt = 0
		if c.gaps.nextDue != 0 { // gaps from before the peer took feedback
			c.gaps.nextDue = 0
			c.ackBy(now)
		}
		c.askForReport(now)
		if c.ackAt != 0 && c.ackAt <= now {
			c.sendFeedback(now)
		}
		return
	}
	reportDue := c.gaps.nextDue != 0 && c.gaps.nextDue <= now
	if reportDue && !c.ratesSent {
		// The C++ sender leaves slow start at the speed of the latest ACK; without
		// one it falls to 16 packets/s at the first report.
		c.ackBy(now)
	}
	switch {
	case c.ackAt != 0 && c.ackAt <= now:
		c.sendFullACK(now)
	case c.sinceLight >= lightACKEvery:
		c.sendLightACK(now)
	case c.ackRepeatAt != 0 && c.ackRepeatAt <= now:
		c.repeatACK(now)
	}
	if reportDue {
		c.sendNAK(now)
	}
}

// ackPoint returns what to acknowledge and the window to advertise. Of a
// window that is nearly closed the last packet stays unacknowledged, so that
// the ACK that reopens the window advances: the C++ sender does not go on for
// any other.
func (c *Conn) ackPoint(now time.Duration) (next int64, window int) {
	c.rcv.mu.Lock()
	defer c.rcv.mu.Unlock()
	c.sizeWindowLocked(now)
	next = c.rcv.next
	// A smaller buffer is offered as the reader gets on: nothing is taken back.
	window = max(c.offered-c.rcv.heldLocked(), int(c.edge-c.rcv.passed))
	c.rcv.reopen = window < reopenRoom(c.offered)
	if window < minAdvertised {
		next = max(c.acked, next-1)
	}
	c.edge = max(c.edge, c.rcv.passed+int64(window))
	return next, max(minAdvertised, window)
}

func (c *Conn) sendFullACK(now time.Duration) {
	next, window := c.ackPoint(now)
	c.ackAt, c.sinceLight = 0, 0
	c.ackNo = c.ackNo.next()
	c.acked, c.lightAcked = next, next
	c.fullACKSent = now
	speed := max(c.arrivals.rate(), c.arrivals.burstRate())
	c.ratesSent = c.ratesSent || speed > 0
	seq := seqAt(c.peerISN, next)
	c.acks.sent(c.ackNo, now)
	c.sendControl(now, ctrlACK, uint32(c.ackNo),
		uint32(seq), wireMicros(c.rtt.srtt), wireMicros(c.rtt.rttvar),
		uint32(window), speed, max(speed, c.arrivals.capacity()))
	c.count.sentACK++
	c.ackRepeats = 0
	c.ackRepeatAt = now + c.rtt.spread() + 15*time.Millisecond
	if !c.rtt.sampled {
		c.ackRepeatAt = now + 15*time.Millisecond
	}
}

// repeatACK sends the latest full ACK again while its ACK2 is missing.
func (c *Conn) repeatACK(now time.Duration) {
	interval := (now - c.fullACKSent) * 2
	repeats := c.ackRepeats + 1
	c.sendFullACK(now)
	if c.ackRepeats = repeats; repeats >= maxACKRepeats {
		c.ackRepeatAt = 0
		return
	}
	c.ackRepeatAt = now + interval
}

func (c *Conn) sendLightACK(now time.Duration) {
	c.sinceLight = 0
	c.rcv.mu.Lock()
	next := c.rcv.next
	c.rcv.mu.Unlock()
	if next <= c.lightAcked {
		return
	}
	c.lightAcked = next
	c.sendControl(now, ctrlACK, 0, uint32(seqAt(c.peerISN, next)))
}

func (c *Conn) sendNAK(now time.Duration) {
	c.nakWords = c.gaps.appendDue(c.nakWords[:0], now, c.rtt.nakInterval(), c.payload/4)
	if len(c.nakWords) == 0 {
		return
	}
	c.sendControl(now, ctrlNAK, 0, c.nakWords...)
	c.count.sentNAK++
}

// onACK2 takes the confirmation of one of our full ACKs.
func (c *Conn) onACK2(now time.Duration, no ackNo) {
	a, ok := c.acks.confirmed(no)
	if !ok {
		return
	}
	c.sampleRTT(now - a.at)
	if no == c.ackNo {
		c.ackRepeatAt = 0
	}
}

// seqAt returns the sequence number of packet i.
func seqAt(isn seqNo, i int64) seqNo { return seqNo((uint32(isn) + uint32(i)) & seqMask) }

// wireMicros turns d into a field of microseconds.
func wireMicros(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 1), int64(seqMask)))
}
