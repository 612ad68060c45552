package udt

import (
	"context"
	"errors"
	"net"
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
		l.ep.retire()
	})
	return stopped
}

// onConnectionRequest takes a handshake with destination 0: of a client for the
// listener, or the first step of a rendezvous.
func (e *Endpoint) onConnectionRequest(r inbound) {
	req, ok := parseHandshake(r.data[headerSize:])
	if !ok || len(r.data) != headerSize+handshakeSize {
		return
	}
	e.mu.Lock()
	meeting, l := e.meetings[r.from], e.listener
	e.mu.Unlock()
	switch {
	case meeting != nil && req.reqType != reqInduction:
		e.deliver(meeting, r)
		return
	case l == nil || req.reqType == reqRendezvous:
		return
	case req.reqType == reqInduction:
		// Nothing is remembered, and the answer is as long as the request.
		req.cookie = e.cookies.make(r.at, r.from, req)
		if checked(r.data) {
			e.answerInduction(r, req)
			return
		}
	case !e.cookies.valid(r.at, r.from, req):
		return
	case l.admit(r, req):
		return
	default:
		req.reqType = reqRejected
	}
	answer := req.append(make([]byte, 0, headerSize+handshakeSize), req.id)
	e.writeOne(answer, e.sock.route(r.from, r.local))
}

// answerInduction hands out a cookie to a client of our kind, with all that it
// needs to send data before it is answered a second time: the id of the
// connection to be, the packet size and the window.
func (e *Endpoint) answerInduction(r inbound, req handshake) {
	client := req.id
	mss := e.cfg.mss(r.from.Addr().Is6())
	req.id = e.cookies.socketID(r.from, req)
	req.mss, req.window = min(req.mss, uint32(mss)), uint32(e.cfg.recvWindow(mss))
	answer := req.append(make([]byte, 0, headerSize+handshakeSize), client)
	e.writeOne(answer, e.sock.route(r.from, r.local))
}

// admit makes a connection of a request whose cookie was right, or finds the
// one that was made of it before, and has it answer. False means rejection.
func (l *Listener) admit(r inbound, req handshake) bool {
	if req.version != udtVersion || req.sockType != sockStream || !req.plausible() {
		return false
	}
	e := l.ep
	e.mu.Lock()
	defer e.mu.Unlock()
	key := peerKey{r.from, req.id, req.isn}
	c := e.accepted.byKey[key]
	if c == nil {
		if e.listener != l || len(l.queue) == cap(l.queue) || !e.accepted.room(&e.cfg, r.from.Addr()) {
			return false
		}
		way, checks := e.sock.route(r.from, r.local), checked(r.data)
		var err error
		id := socketID(0)
		if checks {
			id = e.cookies.socketID(r.from, req)
		}
		c, err = e.addLocked(id, r.from, req.isn, func(c *Conn, now time.Duration) {
			c.peerChecks = checks
			c.acceptFrom(now, req, way)
		})
		if err != nil {
			return false
		}
		e.accepted.add(key, c)
		l.queue <- c // has room: only the read goroutine fills it
	}
	e.deliver(c, r)
	return true
}

// acceptFrom makes c the server side of a connection. The request itself goes
// through the inbox, and is answered there as any repetition of it.
func (c *Conn) acceptFrom(now time.Duration, req handshake, way route) {
	c.route = way
	c.establish(now, req)
	c.holdUntil = now + firstDataHold
	c.hs.request = handshake{
		version: udtVersion, sockType: sockStream, isn: c.isn,
		mss: uint32(c.payload + mssOverhead), window: uint32(c.window),
		reqType: reqConclusion, id: c.id, cookie: req.cookie, addr: c.remote.Addr(),
	}
}
