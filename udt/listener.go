package udt

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Listener accepts connections at an endpoint. It implements net.Listener.
type Listener struct {
	ep    *Endpoint
	queue chan *Conn // connections that wait for Accept, oldest first
	done  chan struct{}
	once  sync.Once
}

// ListenConfig holds the options of Listen.
type ListenConfig struct {
	Config *Config // nil = all defaults
}

// Listen listens at a local address such as ":9000". The networks are udt,
// udt4 and udt6. With port 0 the listener's Addr tells the port chosen.
func Listen(network, address string) (net.Listener, error) {
	l, err := (&ListenConfig{}).Listen(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Listen is the function Listen with a configuration. The UDP socket stays
// open after the listener is closed, until the last accepted connection is.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (*Listener, error) {
	e, err := listenEndpoint(ctx, network, address, lc.Config)
	if err != nil {
		return nil, err
	}
	e.private = true
	return e.Listen()
}

// Listen makes the endpoint accept connections. An endpoint has one listener
// at a time.
func (e *Endpoint) Listen() (*Listener, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	opErr := func(err error) error {
		return &net.OpError{Op: "listen", Net: networkName, Addr: e.Addr(), Err: err}
	}
	switch {
	case e.closed:
		return nil, opErr(net.ErrClosed)
	case e.listener != nil:
		return nil, opErr(errors.New("the endpoint has a listener already"))
	}
	e.listener = &Listener{
		ep:    e,
		queue: make(chan *Conn, e.cfg.backlog()),
		done:  make(chan struct{}),
	}
	return e.listener, nil
}

// Accept returns the connection that has waited longest. Its dynamic type is *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, l.closedError("accept")
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, l.closedError("accept")
	}
}

func (l *Listener) closedError(op string) error {
	return &net.OpError{Op: op, Net: networkName, Addr: l.Addr(), Err: net.ErrClosed}
}

// Addr returns the address of the UDP socket, an *Addr.
func (l *Listener) Addr() net.Addr { return l.ep.Addr() }

// Close stops listening. Connections that wait for Accept are closed, accepted
// ones stay.
func (l *Listener) Close() error {
	if !l.stop() {
		return l.closedError("close")
	}
	return nil
}

// stop reports whether this call was the one to stop the listener.
func (l *Listener) stop() (stopped bool) {
	l.once.Do(func() {
		stopped = true
		l.ep.mu.Lock()
		l.ep.listener = nil
		close(l.done)
		l.ep.mu.Unlock()
		// No connection is queued once done is closed.
		for {
			select {
			case c := <-l.queue:
				c.abort(net.ErrClosed)
				continue
			default:
			}
			break
		}
		l.ep.mu.Lock()
		l.ep.retireLocked()
		l.ep.mu.Unlock()
	})
	return stopped
}

// onConnectionRequest takes a datagram with destination 0: a handshake of a
// client for the listener, or the first step of a rendezvous.
func (e *Endpoint) onConnectionRequest(r inbound, local netip.Addr) {
	h, ok := parseHeader(r.data)
	if !ok || !h.control || h.typ != ctrlHandshake || len(r.data) != headerSize+handshakeSize {
		return
	}
	req, ok := parseHandshake(r.data[headerSize:])
	if !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if meeting := e.meetings[r.from]; meeting != nil && req.reqType != reqInduction {
		e.deliver(meeting, r)
		return
	}
	if e.listener == nil || req.reqType == reqRendezvous {
		return
	}
	way := e.sock.route(r.from, local)
	answer := func(h handshake) {
		p := h.append(make([]byte, 0, headerSize+handshakeSize), req.id)
		e.writeOne(p, way)
	}
	if req.reqType == reqInduction {
		// Nothing is remembered, and the answer is as long as the request.
		req.cookie = e.cookies.make(r.at, r.from, req)
		answer(req)
		return
	}
	if !e.cookies.valid(r.at, r.from, req) {
		return
	}
	reject := func() {
		req.reqType = reqRejected
		answer(req)
	}
	if req.version != udtVersion || req.sockType != sockStream || !req.plausible() {
		reject()
		return
	}
	key := peerKey{r.from, req.id, req.isn}
	if c := e.accepted[key]; c != nil {
		e.deliver(c, r) // it answers again
		return
	}
	l := e.listener
	if len(l.queue) == cap(l.queue) {
		reject()
		return
	}
	checks := checked(r.data)
	c, err := e.addLocked(r.from, req.isn, func(c *Conn, now time.Duration) {
		c.peerChecks = checks
		c.acceptFrom(now, req, way)
	})
	if err != nil {
		return
	}
	e.accepted[key] = c
	l.queue <- c // has room: only this goroutine fills it
}

// acceptFrom makes c the server side of a connection and answers the request.
func (c *Conn) acceptFrom(now time.Duration, req handshake, way route) {
	c.route = way
	c.establish(now, req)
	c.holdUntil = now + firstDataHold
	c.hs.request = handshake{
		version: udtVersion, sockType: sockStream, isn: c.isn,
		mss: uint32(c.payload + mssOverhead), window: uint32(c.window),
		reqType: reqConclusion, id: c.id, cookie: req.cookie, addr: c.remote.Addr(),
	}
	c.sendHandshake(now, c.hs.request, req.id)
}
