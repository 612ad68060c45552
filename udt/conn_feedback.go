package udt

import "time"

// feedbackState is the loop's part in giving feedback, and in agreeing on it.
type feedbackState struct {
	reports bool // the peer takes feedback, and sends it

	// Our offer, repeated until it is answered.
	offerAt time.Duration // 0 = no more
	offers  int

	// What our receiver reports.
	reportNo   uint32
	echoSeq    seqNo         // of the data packet that arrived last
	echoAt     time.Duration // when that was
	received   uint32        // without duplicates
	duplicates uint32

	// What the peer's receiver has reported.
	heard         feedback // scratch
	heardNo       uint32
	heardAny      bool
	heardReceived uint32 // packets received, as the latest report says
	beyond        spans  // scratch
}

// A hello offers feedback, with 0 in word 1 of the header, or takes the offer, with
// 1. The package comment specifies it.
const (
	helloType    = 0x4648
	helloVersion = 1
	maxOffers    = 6
)

// offerFeedback begins to ask a peer of our kind whether it takes feedback.
// Of two sides that meet as client and server the client asks.
func (c *Conn) offerFeedback(now time.Duration) {
	if c.ep.cfg.PlainUDT || c.hs.resendAt == 0 || !c.peerChecks {
		return
	}
	c.sendOffer(now)
}

func (c *Conn) sendOffer(now time.Duration) {
	c.offers++
	c.offerAt = 0
	if c.offers < maxOffers {
		c.offerAt = now + c.rtt.spread() + ackDelayAllowance
	}
	c.sendHello(now, 0)
}

func (c *Conn) sendHello(now time.Duration, answer uint32) {
	c.sendUser(now, helloType, answer, helloVersion)
}

// onExtension takes a user-defined control packet for this connection.
func (c *Conn) onExtension(now time.Duration, info uint32, p []byte) {
	payload := p[headerSize:]
	if c.ep.cfg.PlainUDT || !checked(p) {
		return
	}
	switch extendedType(p) {
	case helloType:
		if len(payload) < 4 {
			c.count.invalid++
			return
		}
		c.reports, c.offerAt = true, 0
		if info == 0 {
			c.sendHello(now, 1)
		}
	case probeType:
		c.onSizeProbe(now, info, p)
	case probeAnswerType:
		c.onProbeAnswer(now, payload)
	case pieceType:
		c.onPiece(now, seqNo(info), payload)
	case feedbackType:
		c.reports, c.offerAt = true, 0
		c.onFeedback(now, info, payload)
	case statusType:
		c.onStatus(now, info, payload)
	case askType:
		c.reports, c.offerAt = true, 0 // only who takes feedback asks
		c.onAsk(now, info, payload)
	case answerType:
		c.onAskAnswer(info, payload)
	}
}

const (
	// reportEvery is the number of data packets after which feedback is due, and
	// reportEarly that of a connection that has received less than earlyPackets,
	// whose sender is looking for its rate.
	reportEvery  = 32
	reportEarly  = 8
	earlyPackets = 256
	// reportGapAfter is how long after a report a new gap may be reported.
	reportGapAfter = time.Millisecond
	// maxSpacing is how long after a report the next one of what arrives may follow
	// while more packets wait to be read, and else a part of the sender's round trip, if
	// that is less: it may wait for the report. Each costs both ends as much as dozens of
	// packets, for the sender is woken.
	maxSpacing  = time.Millisecond
	spacingPart = 4
)

// askForReport has feedback sent if enough packets have come.
func (c *Conn) askForReport(now time.Duration) {
	switch {
	case c.received < earlyPackets && c.sinceLight >= reportEarly:
		c.ackBy(now)
	case c.sinceLight >= reportEvery:
		c.ackBy(max(now, c.fullACKSent+c.spacing(now)))
	}
}

// spacing returns how far reports are to be apart.
func (c *Conn) spacing(now time.Duration) time.Duration {
	if c.moreWaits {
		return maxSpacing
	}
	return min(c.peerStats(now).RTT/spacingPart, maxSpacing)
}

// sendFeedback reports what has arrived.
func (c *Conn) sendFeedback(now time.Duration) {
	next, window := c.ackPoint(now)
	c.ackAt, c.ackRepeatAt, c.sinceLight = 0, 0, 0
	c.acked, c.lightAcked, c.fullACKSent = next, next, now
	c.reportNo++
	f := feedback{
		next: seqAt(c.peerISN, next), window: uint32(window), echo: c.echoSeq,
		arrived: uint32(c.echoAt.Microseconds()), delay: max(0, now-c.echoAt),
		received: c.received, duplicates: c.duplicates,
	}
	// In packets as the handshake allows them, as the window.
	weight := uint32(weigh(c.fullSize, c.payload))
	f.speed, f.capacity = c.arrivals.rate()*weight, c.arrivals.capacity()*weight
	c.rcv.mu.Lock()
	f.end = seqAt(c.peerISN, max(c.rcv.top, next))
	c.rcv.mu.Unlock()
	reported := c.gaps.gaps
	if most := min(maxReported, (c.payload/4-feedbackWords)/2); len(reported) > most {
		f.end = reported[most].start
		reported = reported[:most]
	}
	c.nakWords = f.appendTo(c.nakWords[:0])
	for _, g := range reported {
		c.nakWords = append(c.nakWords, uint32(g.start), uint32(g.end.add(-1)))
	}
	c.gaps.nextDue = 0
	c.ctl = appendUser(c.ctl[:0], feedbackType, c.reportNo, c.peerID, c.nakWords...)
	c.batch = append(c.batch[:0], c.ctl)
	c.transmit(c.batch)
	c.noteSent(now)
	c.count.sentACK++
	if len(reported) > 0 {
		c.count.sentNAK++
	}
}
