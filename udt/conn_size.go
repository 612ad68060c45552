package udt

import (
	"encoding/binary"
	"errors"
	"time"
)

// sizeState is the loop's part in finding the packet size that the path takes
// (RFC 8899). Data flows at the size that is known to be good; only probes are
// larger, and what becomes of them is nothing to the congestion control.
type sizeState struct {
	raises bool // packets may become larger than the handshake says
	size   int  // largest payload that is sent in one packet, bytes
	known  int  // largest packet that the peer has answered; sizes as in pathSize

	probeNo uint32
	// The search.
	out        int           // size of the probe that is on its way, 0 = none
	tries      int           // probes of that size
	sizeAt     time.Duration // when the search goes on, 0 = it does not
	searchFrom time.Duration // when the next one may begin
	doubt      sizeDoubt
	// sizeRefused: the kernel has refused to cut runs into packets of this size,
	// and the reason has been looked for.
	sizeRefused bool

	pieces  []byte   // scratch: pieces of the packets of one burst
	partial partials // what has come in pieces
}

// sizeDoubt is the suspicion that packets of the present size do not arrive any
// more (black hole detection).
type sizeDoubt struct {
	at        time.Duration // next step, 0 = no doubt
	tries     int
	smallPass bool          // a packet as small as the handshake allows was answered
	checkFrom time.Duration // when to look again without any cause
}

// A probe is a user-defined control packet of extended type probeType, padded
// with zeros to the size in question; word 1 of the header numbers it. The
// answer is one of extended type probeAnswerType with the same number, whose
// payload is one word: the size of the probe as it arrived, UDT header included,
// in bytes. Who answers takes data packets of that size from then on.
const (
	probeType       = 0x4D50
	probeAnswerType = 0x4D41

	// searchAfter is the number of packets sent after which a connection is worth
	// a search.
	searchAfter = 32
	// probeTries is the number of probes without answer that makes a size too
	// large (MAX_PROBES of RFC 8899), doubtTries the same for one that was good.
	probeTries = 3
	doubtTries = 4
	// doubtCount is the number of transmissions of a large packet that raises doubt.
	doubtCount = 3
	// sizeCheck is how often a size in use is confirmed. A kernel that has been
	// told of a smaller MTU fragments what is larger, which shows nowhere else.
	sizeCheck = 10 * time.Second
)

// probeSender sends a packet in one piece, which neither this host nor a router
// may fragment.
type probeSender func(p []byte, r route) error

// errTooLarge says that a packet does not fit the interface that it leaves by.
var errTooLarge = errors.New("packet is larger than the MTU of the interface")

// initSize prepares for packets as the handshake allows them.
func (c *Conn) initSize() {
	c.size = c.payload
	c.partial.mem = c.ep.memory
	c.raises = c.ep.sock.probe != nil && c.takesLarger()
}

// takesLarger reports whether our side wants packets that are larger than the
// handshake says.
func (c *Conn) takesLarger() bool {
	cfg := &c.ep.cfg
	return cfg.MSS == 0 && !cfg.PlainUDT && c.payload+mssOverhead >= minRaisedMSS
}

// followPath falls back with other connections to the peer, and looks into a
// refusal of the kernel: it may have been told of a smaller MTU.
func (c *Conn) followPath(now time.Duration) {
	switch {
	case c.size == c.payload:
	case c.size+headerSize > c.grp.goodSize():
		c.fallBack(now)
	case c.route.runsRefused() && !c.sizeRefused:
		c.sizeRefused = true
		c.doubtSize(now)
	}
}

// exploreSize starts a search when it is time for one.
func (c *Conn) exploreSize(now time.Duration) {
	if !c.raises || !c.reports {
		return
	}
	if c.sizeAt == 0 && now >= c.searchFrom && c.count.pktSent >= searchAfter {
		c.sizeAt = now
	}
	if c.size > c.payload && now >= c.doubt.checkFrom {
		c.doubtSize(now)
	}
}

// onSizeTimer sends the next probe of a search.
func (c *Conn) onSizeTimer(now time.Duration) {
	c.sizeAt = 0
	if c.doubt.at != 0 {
		c.sizeAt = c.doubt.at + 1
		return
	}
	if c.out != 0 && c.tries >= probeTries {
		c.grp.sizeTooLarge(now, c.out)
		c.out = 0
	}
	for {
		if c.out == 0 {
			c.out, c.tries = c.grp.nextSize(now, c.known), 0
		}
		if c.out == 0 {
			c.searchFrom = now + sizeMemory
			c.raise(now, 1)
			return
		}
		c.tries++
		if err := c.sendProbe(now, c.out); !errors.Is(err, errTooLarge) {
			break
		}
		c.grp.sizeTooLarge(now, c.out)
		c.out = 0
	}
	c.sizeAt = now + c.rtt.rto()
}

func (c *Conn) sendProbe(now time.Duration, size int) error {
	c.probeNo++
	p := appendUser(make([]byte, 0, size), probeType, c.probeNo, c.peerID)[:size]
	putCheck(p)
	err := c.ep.sock.probe(p, c.route)
	c.noteSent(now)
	switch {
	case errors.Is(err, errTooLarge):
		c.ep.sock.drainErrors(c.ep.notifyRefused) // the kernel tells it there as well
	case err != nil:
		c.ep.noteWriteError(err)
	}
	return err
}

// onSizeProbe answers a probe. The whole of it has arrived, as its check value
// shows.
func (c *Conn) onSizeProbe(now time.Duration, no uint32, p []byte) {
	size := len(p)
	if most := newPathSize(c.remote.Addr(), 0).most; !c.takesLarger() || size >= most {
		return
	}
	c.rcv.mu.Lock()
	c.rcv.large = max(c.rcv.large, size-headerSize)
	c.rcv.mu.Unlock()
	c.ctl = appendUser(c.ctl[:0], probeAnswerType, no, c.peerID, uint32(size))
	c.batch = append(c.batch[:0], c.ctl)
	c.transmit(c.batch)
	c.noteSent(now)
}

// onProbeAnswer takes the answer to a probe of ours.
func (c *Conn) onProbeAnswer(now time.Duration, payload []byte) {
	if len(payload) != 4 {
		c.count.invalid++
		return
	}
	size := int(binary.BigEndian.Uint32(payload))
	if c.doubt.at != 0 {
		switch size {
		case c.size + headerSize:
			c.endDoubt(now)
		case c.payload + headerSize:
			c.doubt.smallPass = true
		}
	}
	if c.out == 0 || size != c.out {
		return // late, or not ours
	}
	c.known = max(c.known, size)
	c.grp.sizeFits(size)
	c.out = 0
	c.sizeAt = now
	c.raise(now, minRaise)
}

// raise begins with larger packets if they are larger by more than 1/least, or
// if the search is over at all (least 1).
func (c *Conn) raise(now time.Duration, least int) {
	usable := min(c.grp.goodSize(), c.known) - headerSize
	if usable <= c.size || least > 1 && usable-c.size < c.size/least {
		return
	}
	c.resize(usable)
	c.doubt = sizeDoubt{checkFrom: now + sizeCheck}
}

func (c *Conn) resize(payload int) {
	c.size = payload
	c.snd.resize(payload)
}

// doubtSize begins to find out whether packets of the present size still
// arrive, and those of the size agreed on in the handshake do.
func (c *Conn) doubtSize(now time.Duration) {
	if c.size == c.payload || c.doubt.at != 0 {
		return
	}
	c.doubt = sizeDoubt{at: now}
}

// onDoubt asks once more, or decides.
func (c *Conn) onDoubt(now time.Duration) {
	d := &c.doubt
	if d.tries == doubtTries {
		if d.smallPass {
			c.grp.sizeTooLarge(now, c.size+headerSize)
			c.fallBack(now)
			return
		}
		c.endDoubt(now) // the path is dead, or the peer; size has nothing to do with it
		return
	}
	d.tries++
	if err := c.sendProbe(now, c.size+headerSize); errors.Is(err, errTooLarge) {
		c.grp.sizeTooLarge(now, c.size+headerSize)
		c.fallBack(now)
		return
	}
	// Why it may fail does not matter: without answers nothing is decided.
	_ = c.sendProbe(now, c.payload+headerSize)
	d.at = now + c.rtt.rto()
}

func (c *Conn) endDoubt(now time.Duration) { c.doubt = sizeDoubt{checkFrom: now + sizeCheck} }

// fallBack returns to packets as the handshake allows them. What has been cut
// into larger ones goes in pieces, and what of it is in flight is taken for
// lost, which is not a sign of congestion.
func (c *Conn) fallBack(now time.Duration) {
	c.doubt = sizeDoubt{}
	c.known, c.out = 0, 0
	c.resize(c.payload)
	c.route.retryRuns()
	c.sizeRefused = false
	b := &c.snd
	b.mu.Lock()
	out := 0
	for i := b.base; i < b.next; i++ {
		if ch, s := b.locateLocked(i); int(ch.size[s]) > c.size && ch.sent[s].fate == 0 {
			c.markLostLocked(i, &out)
			ch.sent[s].probe = true // its repetition may not be needed
		}
	}
	b.mu.Unlock()
	c.grp.landed(out)
	c.searchFrom, c.sizeAt = now, now // something between may fit
}

// onPiece takes a part of a data packet.
func (c *Conn) onPiece(now time.Duration, seq seqNo, payload []byte) {
	if c.state != stateEstablished {
		return
	}
	var f piece
	c.rcv.mu.Lock()
	defer c.rcv.mu.Unlock()
	if !f.parse(payload) || seq > seqMask || f.total > c.rcv.large {
		c.count.invalid++
		return
	}
	i := c.rcv.next + int64(seq.sub(seqAt(c.peerISN, c.rcv.next)))
	if i >= c.rcv.read+int64(c.accept) {
		c.makeRoomLocked(now, i)
	}
	switch {
	case i < c.rcv.next:
		c.partial.dropBefore(c.rcv.next)
		if f.number == f.count-1 {
			c.onDataLocked(now, now, batchTime, seq, nil) // a duplicate
		}
		return
	case i >= c.rcv.read+int64(c.accept):
		c.count.dropped++
		return
	}
	if data := c.partial.add(i, f); data != nil {
		c.onDataLocked(now, now, batchTime, seq, data)
	}
}
