package udt

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// handshakeState is the loop's part in setting up.
type handshakeState struct {
	rendezvous bool
	request    handshake     // the next request to send, and for a server its answer
	resendAt   time.Duration // 0: the server side, which only answers
	cookieAt   time.Duration // when the listener's cookie came
	requests   int           // sent so far
	sentAt     time.Duration // the latest request
	askedAt    time.Duration // the first request of its type
	lastType   int32         // that type
	repeated   bool          // and whether that was sent before: its answer measures no round trip
	unanswered int           // requests since the listener's latest answer

	// early: the user wants to send before the listener has answered the request
	// that carries the cookie; unconfirmed: we do, and that answer is due.
	early, unconfirmed bool

	// peer is what a rendezvous peer said last; known tells that it has.
	peer  handshake
	known bool
}

const (
	handshakeRetry = 250 * time.Millisecond
	// cookieLife is how long a request with a cookie may stay unanswered
	// before a fresh cookie is asked for. C++ listeners forget a cookie when
	// their minute ends.
	cookieLife = 750 * time.Millisecond
	// maxCopies bounds the copies of a request. The first one goes alone, each
	// repetition doubles them: runs of losses end with the packets that are sent
	// into them, not with time.
	maxCopies = 8
)

// dial prepares the client side of a handshake.
func (c *Conn) dial(now time.Duration, rendezvous bool) {
	mss := c.ep.cfg.mss(c.remote.Addr().Is6())
	c.hs = handshakeState{
		rendezvous: rendezvous,
		resendAt:   now,
		request: handshake{
			version: udtVersion, sockType: sockStream, isn: c.isn,
			mss: uint32(mss), window: uint32(c.ep.cfg.recvWindow(mss)),
			reqType: reqInduction, id: c.id, addr: c.remote.Addr(),
		},
	}
	if rendezvous {
		c.hs.request.reqType = reqRendezvous
	}
}

// sendHandshakeRequest sends the current request and schedules the next one,
// a little off the beat so that two peers do not stay in step.
func (c *Conn) sendHandshakeRequest(now time.Duration) {
	hs := &c.hs
	hs.repeated = hs.lastType == hs.request.reqType && hs.requests > 0
	if hs.cookieAt != 0 && now-hs.cookieAt >= cookieLife {
		hs.cookieAt = 0
		hs.request.reqType, hs.request.cookie = reqInduction, 0
	}
	if !hs.repeated {
		hs.askedAt = now
	}
	hs.requests++
	hs.sentAt, hs.lastType = now, hs.request.reqType
	hs.resendAt = now + handshakeRetry + time.Duration(rand.Int64N(int64(handshakeRetry/10)))
	var dst socketID
	if hs.rendezvous && hs.known {
		dst = hs.peer.id
	}
	copies := 1
	if !hs.rendezvous {
		copies = min(1<<hs.unanswered, maxCopies)
	}
	hs.unanswered = min(hs.unanswered+1, maxCopies)
	for range copies {
		c.sendHandshake(now, hs.request, dst)
	}
}

func (c *Conn) sendHandshake(now time.Duration, h handshake, dst socketID) {
	c.ctl = h.append(c.ctl[:0], dst)
	c.batch = append(c.batch[:0], c.ctl)
	c.transmit(c.batch)
	c.noteSent(now)
}

// onHandshake takes any handshake packet for this connection.
func (c *Conn) onHandshake(now time.Duration, payload []byte) {
	h, ok := parseHandshake(payload)
	switch {
	case !ok:
		c.count.invalid++
	case c.hs.unconfirmed:
		c.onConfirmation(now, h)
	case c.state != stateConnecting:
		c.onRepeatedHandshake(now, h)
	case c.hs.rendezvous:
		c.onRendezvous(now, h)
	default:
		c.onAnswer(now, h)
	}
}

// onAnswer takes what a listener answered.
func (c *Conn) onAnswer(now time.Duration, h handshake) {
	c.answeredIn = now - c.hs.askedAt
	switch {
	case h.reqType == reqInduction:
		if c.hs.request.reqType == reqInduction {
			c.hs.request.reqType, c.hs.request.cookie = reqConclusion, h.cookie
			c.hs.cookieAt = now
			c.hs.unanswered = 0
			answered := !c.hs.repeated
			asked := c.hs.sentAt
			c.sendHandshakeRequest(now)
			if answered {
				c.sampleRTT(now - asked)
			}
			c.startEarly(now, h)
		}
	case h.reqType >= reqRejectFirst:
		c.terminate(ErrRejected, ErrRejected, ErrRejected)
	case h.reqType == reqConclusion && h.isn == c.isn && h.plausible():
		if !c.hs.repeated {
			c.sampleRTT(now - c.hs.sentAt)
		}
		c.establish(now, h)
	default:
		c.count.invalid++
	}
}

// startEarly opens the connection before the listener has, if the user wants
// it and the listener has said, with its cookie, what the connection will be.
func (c *Conn) startEarly(now time.Duration, h handshake) {
	if !c.hs.early || !c.peerChecks || h.id == c.id || h.isn != c.isn || !h.plausible() {
		return
	}
	c.hs.unconfirmed = true
	c.establish(now, h)
}

// onConfirmation takes what a listener answers a client that sends already.
func (c *Conn) onConfirmation(now time.Duration, h handshake) {
	switch {
	case h.reqType >= reqRejectFirst:
		c.terminate(ErrRejected, ErrRejected, ErrRejected)
	case h.isn != c.isn || !h.plausible():
		c.count.invalid++
	case h.reqType == reqInduction:
		if c.hs.request.reqType != reqInduction {
			return // the answer to another copy
		}
		c.hs.request.reqType, c.hs.request.cookie = reqConclusion, h.cookie
		c.hs.cookieAt = now
		c.hs.unanswered = 0
		c.readdress(h.id)
		c.sendHandshakeRequest(now)
	case h.reqType == reqConclusion:
		c.hs.unconfirmed = false
		c.readdress(h.id)
	}
}

// readdress changes the id that we send to, also in packets that have left.
func (c *Conn) readdress(id socketID) {
	if id == c.peerID {
		return
	}
	c.peerID = id
	b := &c.snd
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := b.base; i < b.next; i++ {
		p := b.packetLocked(i)
		binary.BigEndian.PutUint32(p[12:], uint32(id))
		putCheck(p)
	}
}

// onRendezvous takes a step of the other side, which runs the same steps: 0
// until it has heard of us, -1 until it has heard a -1, then connected.
func (c *Conn) onRendezvous(now time.Duration, h handshake) {
	if h.reqType != reqRendezvous && h.reqType != reqConclusion && h.reqType != reqAgreement || !h.plausible() {
		c.count.invalid++
		return
	}
	c.hs.peer, c.hs.known = h, true
	// Each side adopts the MSS that the other announces, so announce what both
	// can do.
	c.hs.request.mss = min(c.hs.request.mss, h.mss)
	first := c.hs.request.reqType == reqRendezvous
	c.hs.request.reqType = reqConclusion
	if first || h.reqType == reqRendezvous {
		c.sendHandshakeRequest(now)
		return
	}
	c.establish(now, h)
	c.holdUntil = now + firstDataHold
}

// onEarlyPacket takes data or a keepalive from a rendezvous peer that has
// connected before us: its last handshake was lost.
func (c *Conn) onEarlyPacket(now time.Duration) {
	if c.state == stateConnecting && c.hs.rendezvous && c.hs.known {
		c.establish(now, c.hs.peer)
	}
}

// onRepeatedHandshake answers a peer that does not know yet that we are
// connected. Every answer carries all fields, also those that the C++ library
// leaves zero.
func (c *Conn) onRepeatedHandshake(now time.Duration, h handshake) {
	answer := c.hs.request
	answer.window = uint32(c.window)
	switch {
	case c.hs.rendezvous && h.reqType != reqAgreement:
		answer.reqType = reqAgreement
	case !c.hs.rendezvous && (h.reqType > 0 || c.hs.resendAt == 0):
		answer.reqType = reqConclusion
	default:
		return
	}
	c.sendHandshake(now, answer, c.peerID)
}
