package udt

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// An Endpoint is one UDP socket and the connections that share it. It may
// listen, dial and meet peers in rendezvous, all at the same time.
//
// Who owns what: the read goroutine reads the socket and hands runs of
// datagrams to the inboxes of the connections, or runs the one that has the
// socket for itself; each connection's loop writes to the socket by itself. The tables are guarded by mu. Close waits for the
// read goroutine and for every loop.
type Endpoint struct {
	sock    *socket
	cfg     Config
	epoch   time.Time
	cookies *cookieJar
	memory  *Memory
	// private endpoints belong to a single Listen or Dial call and close by
	// themselves once nothing uses them.
	private bool

	// Of the read goroutine.
	resetSecond time.Duration
	resets      int       // sent in that second
	pending     []inbound // scratch: runs in a row for one connection
	alone       socketID  // of the connection that all of the latest batch was for, 0 = of several
	asleep      *Conn     // whose reader has something to read and was not woken, as more is to come
	gather      gatherer

	asker asker

	loops sync.WaitGroup // read goroutine and connection loops

	groupsMu sync.Mutex                // taken after mu
	groups   map[netip.AddrPort]*group // guarded by groupsMu
	even     evenness                  // of the groups

	mu        sync.Mutex
	conns     map[socketID]*Conn       // guarded by mu
	accepted  acceptedConns            // guarded by mu
	meetings  map[netip.AddrPort]*Conn // guarded by mu; rendezvous without a peer id yet
	graves    graveyard                // guarded by mu
	listener  *Listener                // guarded by mu
	closed    bool                     // guarded by mu
	readErr   error                    // guarded by mu; why the read goroutine ended
	readEnded chan struct{}
	writeErrs atomic.Int64
}

// peerKey names a client's connection attempt.
type peerKey struct {
	addr netip.AddrPort
	id   socketID
	isn  seqNo
}

// NewEndpoint makes an endpoint of a UDP socket, which it takes over: Close
// closes it. Any net.PacketConn whose addresses are *net.UDPAddr will do; a
// *net.UDPConn gets the socket buffers that cfg asks for.
func NewEndpoint(pc net.PacketConn, cfg *Config) (*Endpoint, error) {
	own := cfg.get()
	if err := own.Ask.check(); err != nil {
		return nil, errors.Join(fmt.Errorf("what to ask for: %w", err), pc.Close())
	}
	sock, err := newSocket(pc, &own)
	if err != nil {
		return nil, errors.Join(err, pc.Close())
	}
	return newEndpoint(sock, own), nil
}

func newEndpoint(sock *socket, cfg Config) *Endpoint {
	e := &Endpoint{
		sock:      sock,
		cfg:       cfg,
		epoch:     time.Now(),
		cookies:   newCookieJar(),
		memory:    cfg.memory(),
		conns:     make(map[socketID]*Conn),
		meetings:  make(map[netip.AddrPort]*Conn),
		groups:    make(map[netip.AddrPort]*group),
		readEnded: make(chan struct{}),
	}
	if sock.kernel != nil {
		recv, _ := grantedBuffers(sock.kernel)
		e.gather = newGatherer(recv)
	}
	e.asker.begin(cfg.Ask, e.epoch)
	e.loops.Go(e.readLoop)
	return e
}

// ListenEndpoint opens a UDP socket at a local address, for example ":9000",
// and makes an endpoint of it. The networks are udt, udt4 and udt6.
func ListenEndpoint(network, address string, cfg *Config) (*Endpoint, error) {
	return listenEndpoint(context.Background(), network, address, cfg)
}

func listenEndpoint(ctx context.Context, network, address string, cfg *Config) (*Endpoint, error) {
	ipNet, _, err := splitNetwork(network)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp"+ipNet[len("ip"):], address)
	if err != nil {
		return nil, err
	}
	return NewEndpoint(pc, cfg)
}

// Addr returns the address of the UDP socket, an *Addr.
func (e *Endpoint) Addr() net.Addr { return &Addr{e.sock.local} }

// localFor returns the local address of a connection.
func (e *Endpoint) localFor(r route) netip.AddrPort {
	if r.local.IsValid() {
		return netip.AddrPortFrom(r.local, e.sock.local.Port())
	}
	return e.sock.local
}

// now is the monotonic time since the endpoint was opened, never 0.
func (e *Endpoint) now() time.Duration { return time.Since(e.epoch) + 1 }

// readLoop reads the socket until it is closed.
func (e *Endpoint) readLoop() {
	defer close(e.readEnded)
	in := newSlabReader(e.memory.Limit())
	defer in.drop()
	in.waits = e.wakeReader
	var batch []inbound
	for failures := 0; ; {
		in.await()
		var err error
		batch, err = e.sock.recv(in, batch[:0])
		if err != nil {
			e.sock.drainErrors(e.notifyRefused)
			if failures++; errors.Is(err, net.ErrClosed) || failures > maxReadFailures {
				e.fail(err)
				return
			}
			continue
		}
		failures = 0
		read := time.Now()
		now, wall := read.Sub(e.epoch)+1, read.UnixNano()
		for i := range batch {
			batch[i].date(now, wall)
		}
		e.dispatch(batch...)
		pause := e.gather.pause(now, batch, e.sock.empty())
		clear(batch)
		rest(pause)
	}
}

// maxReadFailures in a row mean that the socket is of no use any more.
const maxReadFailures = 1000

// fail ends all connections after the socket has failed.
func (e *Endpoint) fail(cause error) {
	e.mu.Lock()
	e.readErr = cause
	closed := e.closed
	conns := e.connsLocked()
	e.mu.Unlock()
	if closed {
		return
	}
	e.cfg.logger().Error("endpoint failed", "addr", e.sock.local, "err", cause)
	for _, c := range conns {
		c.abort(cause)
	}
}

func (e *Endpoint) connsLocked() []*Conn { return slices.Collect(maps.Values(e.conns)) }

// dispatch hands runs of datagrams to whom they are for. A run of one peer may
// hold packets for several connections.
func (e *Endpoint) dispatch(runs ...inbound) {
	before := e.asleep
	e.asleep = nil
	var to *Conn // of what is pending
	mixed := false
	for _, r := range runs {
		for len(r.data) > 0 {
			front, rest, dst := r.cut()
			r = rest
			if to == nil || to.id != dst {
				mixed = mixed || to != nil
				e.deliverPending(to, false)
				to = e.conn(dst)
			}
			switch {
			case to == nil:
				e.onUnowned(front, dst)
			case to.remote == front.from:
				e.pending = append(e.pending, front)
			}
		}
	}
	alone := socketID(0)
	if to != nil && !mixed {
		alone = to.id
	}
	e.deliverPending(to, e.sock.prompt && alone != 0 && alone == e.alone && !e.sock.crowded())
	e.alone = alone
	if before != nil && before != e.asleep {
		before.rcv.wake()
	}
}

// wakeReader wakes the reader of a stream that was left asleep.
func (e *Endpoint) wakeReader() {
	if e.asleep != nil {
		e.asleep.rcv.wake()
		e.asleep = nil
	}
}

// deliverPending hands over what is pending. visit is set if the connection has the
// socket for itself: then it is run here.
func (e *Endpoint) deliverPending(to *Conn, visit bool) {
	if len(e.pending) > 0 && to.in.put(e.pending...) {
		if visit {
			if to.visit(e.sock.more()) {
				e.asleep = to
			}
		} else {
			to.wakeLoop()
		}
	}
	clear(e.pending) // nothing here holds a slab
	e.pending = e.pending[:0]
}

// conn returns the connection with the given id, or nil.
func (e *Endpoint) conn(id socketID) *Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.conns[id]
}

// deliver puts runs into the inbox of c.
func (e *Endpoint) deliver(c *Conn, runs ...inbound) {
	if c.in.put(runs...) {
		c.wakeLoop()
	}
}

// onUnowned takes packets that no connection is for, one by one.
func (e *Endpoint) onUnowned(r inbound, dst socketID) {
	for p := range slices.Chunk(r.data, r.segment) {
		one := r
		one.data = p
		switch {
		case len(p) < headerSize:
		case dst == 0:
			e.onUnaddressed(one)
		default:
			e.onStray(one, dst)
		}
	}
}

// onUnaddressed takes a datagram for the endpoint itself.
func (e *Endpoint) onUnaddressed(r inbound) {
	switch h, _ := parseHeader(r.data); {
	case h.isHandshake():
		e.onConnectionRequest(r)
	case h.typ == ctrlUser:
		e.onReset(r)
	}
}

// onStray answers packets for a connection that does not exist. If it has been
// closed here, a peer that has missed every Shutdown gets another; if it is not
// known at all, a peer of our own kind gets a reset.
func (e *Endpoint) onStray(r inbound, dst socketID) {
	h, _ := parseHeader(r.data)
	if h.isHandshake() || h.typ == ctrlShutdown || h.typ == ctrlUser {
		return
	}
	e.mu.Lock()
	buried := e.graves.holds(dst)
	peer, answer := e.graves.visit(dst, r.from, r.at)
	e.mu.Unlock()
	switch {
	case answer:
		e.writeOne(appendControl(nil, ctrlShutdown, 0, peer), e.sock.route(r.from, r.local))
	case !buried:
		e.sendReset(r, dst)
	}
}

func (e *Endpoint) writeOne(p []byte, r route) {
	if err := e.sock.send([][]byte{p}, r); err != nil {
		e.noteWriteError(err)
	}
}

// noteWriteError counts datagrams that the socket refused and logs the first.
// The error may be an ICMP message about an earlier packet, to any peer.
func (e *Endpoint) noteWriteError(err error) {
	if errors.Is(err, syscall.ECONNREFUSED) {
		e.sock.drainErrors(e.notifyRefused)
		return
	}
	if e.writeErrs.Add(1) == 1 && !errors.Is(err, net.ErrClosed) {
		e.cfg.logger().Warn("the UDP socket refused a packet", "addr", e.sock.local, "err", err)
	}
}

// addLocked enters a new connection, under the id given if that is free, and
// starts its loop. setup runs before the loop; e.mu is held.
func (e *Endpoint) addLocked(id socketID, remote netip.AddrPort, isn seqNo, setup func(c *Conn, now time.Duration)) (*Conn, error) {
	if e.closed {
		return nil, net.ErrClosed
	}
	if e.readErr != nil {
		return nil, e.readErr
	}
	for id == 0 || e.conns[id] != nil || e.graves.holds(id) {
		id = randomID()
	}
	now := e.now()
	c := newConn(e, id, remote, isn, now)
	setup(c, now)
	e.conns[id] = c
	e.loops.Go(c.loop)
	return c, nil
}

// forget removes a connection whose loop is over.
func (e *Endpoint) forget(c *Conn) {
	e.mu.Lock()
	delete(e.conns, c.id)
	e.accepted.remove(c)
	if e.meetings[c.remote] == c {
		delete(e.meetings, c.remote)
	}
	if c.peerID != 0 && c.endErr != ErrPeerClosed {
		e.graves.bury(c.id, c.peerID, c.remote, e.now())
	}
	e.mu.Unlock()
	e.retire()
}

// retire closes the socket of a private endpoint that nobody uses. Closing
// waits for calls that use the socket, so e.mu must not be held.
func (e *Endpoint) retire() {
	e.mu.Lock()
	unused := e.private && !e.closed && len(e.conns) == 0 && e.listener == nil
	e.closed = e.closed || unused
	e.mu.Unlock()
	if !unused {
		return
	}
	if err := e.sock.close(); err != nil {
		e.cfg.logger().Warn("close the UDP socket", "addr", e.sock.local, "err", err)
	}
}

// Close closes the listener and all connections at once, without waiting for
// data that is not acknowledged, and then the socket.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return fmt.Errorf("close endpoint %v: %w", e.sock.local, net.ErrClosed)
	}
	e.closed = true
	l := e.listener
	conns := e.connsLocked()
	e.mu.Unlock()

	if l != nil {
		l.stop()
	}
	for _, c := range conns {
		c.abort(net.ErrClosed)
	}
	err := e.sock.close()
	e.loops.Wait()
	return err
}

// randomID returns an unpredictable socket id: ids are all that keeps a blind
// attacker from injecting packets.
func randomID() socketID { return socketID(randomUint32()%maxSocketID) + 1 }

// randomISN avoids the ends of the range, which nothing needs to start at.
func randomISN() seqNo { return seqNo(randomUint32()%(seqMask-1)) + 1 }

func randomUint32() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint32(b[:])
}
