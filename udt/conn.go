package udt

import (
	"io"
	"math"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// A Conn is one UDT connection, a reliable byte stream. It implements
// net.Conn; all methods may be called at the same time.
//
// Who owns what:
//
//   - The loop owns every field that is not marked otherwise: whoever has the
//     connection's turn, see conn_loop.go. It is the only caller of the clock;
//     everything below it takes now as an argument, the monotonic time since the
//     endpoint was opened. It never waits for a user.
//   - The endpoint's read goroutine touches only the inbox, and wake, unless it has
//     the turn.
//   - Users touch only the two buffers, behind their locks, the deadlines, and
//     wake. What else they want of the loop they send it as a function.
//
// The loop starts with the connection and ends when its state is stateDead;
// the endpoint waits for it.
type Conn struct {
	ep     *Endpoint      // immutable
	id     socketID       // immutable
	opened time.Duration  // immutable
	remote netip.AddrPort // immutable
	isn    seqNo          // immutable; sequence number of our packet 0

	// Fixed by the handshake. Users get the Conn only after established is
	// closed and may read them; nobody writes them later.
	route   route
	payload int // of a full packet, bytes; what is counted in packets counts larger ones as several
	window  int // receive window announced to the peer, packets

	in   inbox
	wake chan struct{} // capacity 1
	// calls carries functions to run on the loop.
	calls chan func(now time.Duration)
	snd   sendBuffer
	rcv   recvBuffer
	// windowOpened is set by a reader that made room in a window advertised as
	// closed.
	windowOpened atomic.Bool
	// refusals counts ICMP messages that the loop has not seen yet.
	refusals atomic.Int64

	readTurn, writeTurn         chan struct{} // capacity 1: held while a Read or Write is under way
	readDeadline, writeDeadline *deadline
	closed                      atomic.Bool   // Close was called
	closing                     chan struct{} // closed by Close
	established                 chan struct{} // closed by the loop when the handshake is complete
	flushed                     chan struct{} // closed by the loop when Close may return
	closeErr                    error         // set before flushed is closed
	done                        chan struct{} // closed by the loop at its end
	endErr                      error         // why the loop ended; set before done is closed
	final                       Stats         // set before done is closed

	state   connState
	hs      handshakeState
	peerID  socketID
	peerISN seqNo // sequence number of the peer's packet 0
	// peerChecks: every packet of the peer carries a check value. Such a peer is
	// not the C++ library and needs none of the help that that one needs.
	peerChecks bool
	lastHeard  time.Duration
	lastSent   time.Duration
	suspect    suspicion
	rtt        rttEstimator
	count      counters
	spare      []inbound // swapped with the inbox
	ctl        []byte    // scratch for control packets

	turnState
	sendState
	ackState
	timeoutState
	recoveryState
	feedbackState
	statusState
	askState
	sizeState
	recvState
	windowState
	closeState
}

// connState is where a connection is in its life. Only setState changes it.
type connState int

const (
	// stateConnecting: our handshake is under way. Data is not accepted.
	stateConnecting connState = iota
	// stateEstablished: data flows in both directions.
	stateEstablished
	// stateDraining: the user has closed. What was written is still sent and
	// acknowledgements are awaited; what arrives is dropped.
	stateDraining
	// stateClosing: a Shutdown has been sent and is repeated, since nothing
	// acknowledges it.
	stateClosing
	// stateDead: the loop ends. Data that came in order stays readable.
	stateDead
)

func (c *Conn) setState(s connState) { c.state = s }

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// newConn makes a connection in stateConnecting. The caller starts its loop.
func newConn(ep *Endpoint, id socketID, remote netip.AddrPort, isn seqNo, now time.Duration) *Conn {
	c := &Conn{
		ep:            ep,
		id:            id,
		opened:        now,
		remote:        remote,
		isn:           isn,
		wake:          make(chan struct{}, 1),
		calls:         make(chan func(time.Duration)),
		readTurn:      make(chan struct{}, 1),
		writeTurn:     make(chan struct{}, 1),
		readDeadline:  newDeadline(),
		writeDeadline: newDeadline(),
		closing:       make(chan struct{}),
		established:   make(chan struct{}),
		flushed:       make(chan struct{}),
		done:          make(chan struct{}),
		lastHeard:     now,
		lastSent:      now,
	}
	c.rtt.init()
	c.timer = time.NewTimer(never)
	return c
}

// establish takes the peer's part of the handshake and opens the connection.
func (c *Conn) establish(now time.Duration, peer handshake) {
	ownMSS := c.ep.cfg.mss(c.remote.Addr().Is6())
	mss := min(int(peer.mss), ownMSS)
	c.peerID, c.peerISN = peer.id, peer.isn
	c.payload = mss - mssOverhead
	c.window = c.ep.cfg.recvWindow(ownMSS)
	c.initSize()
	c.snd.init(c.payload, c.ep.memory)
	c.rcv.init(c.payload)
	c.ep.memory.join(c.ownMemory())
	c.initWindow()
	c.peerWindow = int(peer.window)
	if c.peerChecks {
		// What the handshake says is the most that there may ever be.
		c.peerWindow = min(c.peerWindow, c.startWindow())
	}
	onWire := mss
	if c.remote.Addr().Is6() {
		onWire += 20 // UDT counts an IPv4 header
	}
	c.grp = c.ep.join(now, c, CongestionParams{MSS: onWire, MaxWindow: int(peer.window)})
	c.lastHeard = now
	c.setState(stateEstablished)
	c.offerFeedback(now)
	c.beginAsking(now)
	close(c.established)
}

// sampleRTT takes one measured round trip.
func (c *Conn) sampleRTT(d time.Duration) {
	c.rtt.update(d)
	if !c.reports {
		d += syn // without feedback, the peer's control looks at what we say that often
	}
	c.ep.gather.near(d)
}

// end releases everything once the loop is over.
func (c *Conn) end() {
	c.in.close()
	c.final = c.snapshotIfOpen()
	c.final.Ended = true
	if c.grp != nil {
		c.grp.leave(c.ep.now(), c.inFlight, c.hungry)
	}
	c.ep.forget(c)
	if c.grp != nil {
		c.partial.dropBefore(math.MaxInt64)
		c.rcv.settle(func() {
			c.ep.memory.resize(c.reserved, 0, 0, recvOwnChunks*chunkCost(c.payload))
			c.ep.memory.leave(c.ownMemory())
		})
	}
	close(c.done)
	if c.closed.Load() {
		c.rcv.discard()
	}
}

func (c *Conn) snapshotIfOpen() Stats {
	if c.grp == nil {
		return Stats{}
	}
	return c.snapshot(c.ep.now())
}

// terminate ends the connection. Readers get what is in order, then readErr,
// or cutShort if a hole remains in front of data; writers get writeErr.
func (c *Conn) terminate(readErr, cutShort, writeErr error) {
	if c.state == stateDead {
		return
	}
	opened := c.grp != nil
	c.setState(stateDead)
	c.endErr = writeErr
	if opened {
		if unacked, _ := c.snd.waiting(); unacked > 0 && c.closed.Load() {
			c.closeErr = ErrLinger
		}
		c.snd.close(writeErr)
		c.rcv.close(readErr, cutShort)
	}
	c.release()
}

// release lets Close return.
func (c *Conn) release() {
	select {
	case <-c.flushed:
	default:
		close(c.flushed)
	}
}

// Read reads data into p. It returns io.EOF after the peer has closed the
// connection and all of its data was read, and io.ErrUnexpectedEOF if the peer
// closed before all of its data had arrived.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		err = c.opError("read", err)
	}
	return n, err
}

func (c *Conn) read(p []byte) (int, error) {
	if err := c.enter(c.readTurn, c.readDeadline); err != nil {
		return 0, err
	}
	defer func() { <-c.readTurn }()
	for {
		n, reopened, err := c.rcv.take(p, c.recvCapacity())
		if reopened {
			c.windowOpened.Store(true)
			c.wakeLoop()
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		if err := c.await(c.rcv.ready, c.readDeadline); err != nil {
			if n := c.rcv.leave(); n > 0 {
				return n, nil
			}
			return 0, err
		}
	}
}

// Write queues p to be sent. It returns when all of it is in the send buffer,
// not when the peer has acknowledged it: Close waits for that.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

func (c *Conn) write(p []byte) (n int, err error) {
	if err := c.enter(c.writeTurn, c.writeDeadline); err != nil {
		return 0, err
	}
	defer func() { <-c.writeTurn }()
	for {
		k, wake, err := c.snd.write(p[n:], c.sendCapacity())
		n += k
		if wake {
			c.wakeLoop()
		}
		if err != nil || n == len(p) {
			return n, err
		}
		if k > 0 {
			continue
		}
		if err := c.await(c.snd.space, c.writeDeadline); err != nil {
			return n + c.snd.leave(), err
		}
	}
}

// enter waits for the turn of a Read or Write: calls of one kind do not mix
// their data.
func (c *Conn) enter(turn chan struct{}, d *deadline) error {
	select {
	case <-c.closing:
		return net.ErrClosed
	case <-d.wait():
		return errDeadline
	default:
	}
	select {
	case turn <- struct{}{}:
		return nil
	case <-c.closing:
		return net.ErrClosed
	case <-d.wait():
		return errDeadline
	}
}

func (c *Conn) await(ready <-chan struct{}, d *deadline) error {
	select {
	case <-ready:
		return nil
	case <-c.closing:
		return net.ErrClosed
	case <-d.wait():
		return errDeadline
	}
}

// LocalAddr returns the address of the UDP socket, an *Addr.
func (c *Conn) LocalAddr() net.Addr { return &Addr{c.ep.localFor(c.route)} }

// RemoteAddr returns the address of the peer, an *Addr.
func (c *Conn) RemoteAddr() net.Addr { return &Addr{c.remote} }

// SetDeadline sets the deadlines of Read and Write.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the time at which Reads, blocked ones too, fail with
// os.ErrDeadlineExceeded. The zero time means never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(c.readDeadline, t) }

// SetWriteDeadline is SetReadDeadline for Writes. A Write that it ends may have
// queued part of its data.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(c.writeDeadline, t) }

func (c *Conn) setDeadline(d *deadline, t time.Time) error {
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	d.move(t)
	return nil
}

// Stats returns a snapshot of the connection's counters, the last one after
// its end.
func (c *Conn) Stats() Stats {
	var s Stats
	if c.onLoop(func(now time.Duration) { s = c.snapshot(now) }) {
		return s
	}
	return c.final
}

// recvCapacity and sendCapacity are the packets that the connection may hold,
// the latter as far as there is memory.
func (c *Conn) recvCapacity() int { return int(c.rcv.capacity.Load()) }
func (c *Conn) sendCapacity() int { return c.ep.cfg.sendWindow(c.payload + mssOverhead) }
