package udt

import (
	"math"
	"time"
)

// sendState is the loop's part in sending.
type sendState struct {
	grp      *group // nil before the handshake is complete
	hungry   bool   // there was more to send, and the peer had room for it, than the group allowed
	inFlight int    // packets sent that are neither delivered nor lost, as far as known
	spent    int    // packets of the latest burst, copies included
	pacer    pacer
	lost     lossList // sequence numbers to send again, all of them unacknowledged
	msg      msgNo

	holdUntil time.Duration // the first data waits, see firstDataHold
	pauseTill time.Duration // see pauseForPeer
	// sendingSince is when the latest silence of ours ended.
	sendingSince time.Duration

	batch [][]byte  // scratch: packets of one burst
	burst SendEvent // what the latest burst was
}

const (
	// sendBurst bounds the packets that go out between two looks at the inbox: two
	// runs of packets of 1500 bytes, as large as the kernel takes them (maxRunBytes).
	sendBurst = 132
	// firstDataHold is how long a server, or either side of a rendezvous, holds
	// back its first data unless it has heard from the peer: a C++ client drops
	// what comes before it has entered the new connection into its table.
	firstDataHold = 10 * time.Millisecond
	// stubborn is the number of transmissions from which on a packet is sent
	// several times at once.
	stubborn = 5
)

// maybeSend sends what may be sent now, at most sendBurst packets, and returns when to
// be called again.
func (c *Conn) maybeSend(now time.Duration) (next time.Duration) {
	if next = c.send(now); next > now {
		c.snd.rest()
	}
	return next
}

// send is maybeSend: lost packets first, then new ones. Asking whether there is
// something to send and sending it are one thing, so they cannot disagree.
func (c *Conn) send(now time.Duration) (next time.Duration) {
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
	drained, closed := c.gather(now, budget, window)
	n := c.spent
	// A path that the peer's window does not let us fill is not measured, as without
	// data. What others than our peers measure is bounded anyway, see guessedRate.
	hungry := !drained && !(closed && c.reports)
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
// left, and whether the peer has no room for what is.
func (c *Conn) gather(now time.Duration, limit, window int) (drained, closed bool) {
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
	full := func() bool { return b.next-b.base+b.heavySent >= int64(c.peerWindow) }
	// One more than are sent, for what is last has another size, see sealLocked.
	b.resting = false
	b.fetchLocked(int64(limit) + 1)
	for (c.spent < limit || probing) && !full() && c.inFlight < window {
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
	drained = b.next == b.end && b.filling == nil && len(b.from) == 0 && c.lost.empty()
	return drained, !drained && c.lost.empty() && full()
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
