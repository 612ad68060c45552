package udt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Dialer opens connections.
type Dialer struct {
	// LocalAddr is the local address, a *net.UDPAddr or *Addr; nil leaves the
	// choice to the system. A rendezvous needs one.
	LocalAddr net.Addr
	// Timeout bounds one attempt to connect; 0 means 10 s. A rendezvous waits
	// for as long as its context allows, or 30 s without a Timeout.
	Timeout time.Duration
	// Config holds the parameters of the connection; nil = all defaults. It is
	// not used with an Endpoint, which has its own.
	Config *Config
	// EarlyData lets a dial return after one round trip instead of two if the
	// listener is of our kind: what is written then travels with the connection
	// request. That the listener refuses, or that nobody answers the request,
	// shows in the first Read or Write.
	EarlyData bool
	// Path is what is remembered of the way to the peer. If it has the round trip
	// that is remembered, a peer that can be asked for its controller is told, and
	// starts near the rate.
	Path Path
	// Endpoint is the UDP socket to use. Without one each connection gets its
	// own, which is closed with it.
	Endpoint *Endpoint
}

const (
	dialTimeout       = 10 * time.Second
	rendezvousTimeout = 30 * time.Second
)

// Dial connects to host:port. The networks are udt, udt4 and udt6; with a z at
// the end the two sides dial each other.
func Dial(network, address string) (net.Conn, error) {
	return (&Dialer{}).Dial(network, address)
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to host:port and returns a *Conn. The context bounds
// the attempt only, not the connection. If the host has several addresses they
// are tried one after the other within the time allowed.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: textAddr(address), Err: err}
	}
	return c, nil
}

func (d *Dialer) dial(ctx context.Context, network, address string) (*Conn, error) {
	ipNet, rendezvous, err := splitNetwork(network)
	if err != nil {
		return nil, err
	}
	timeout := d.Timeout
	if timeout == 0 {
		timeout = dialTimeout
		if rendezvous {
			timeout = rendezvousTimeout
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	remotes, err := resolve(ctx, ipNet, address)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, remote := range remotes {
		// What is left of the time is shared by the addresses that are left.
		actx, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok {
			actx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(remotes)-i))
		}
		c, err := d.dialAddr(actx, remote, rendezvous)
		cancel()
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 1 {
		return nil, errs[0]
	}
	return nil, dialErrors(errs)
}

// dialErrors says what became of each address of a host.
type dialErrors []error

func (e dialErrors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e dialErrors) Unwrap() []error { return e }

// Timeout reports whether no address answered.
func (e dialErrors) Timeout() bool {
	return !slices.ContainsFunc(e, func(err error) bool {
		t, ok := errors.AsType[interface {
			error
			Timeout() bool
		}](err)
		return !ok || !t.Timeout()
	})
}

func (d *Dialer) dialAddr(ctx context.Context, remote netip.AddrPort, rendezvous bool) (*Conn, error) {
	e := d.Endpoint
	if e == nil {
		var err error
		if e, err = d.open(ctx, remote, rendezvous); err != nil {
			return nil, err
		}
		e.private = true
	}
	c, err := e.connect(ctx, attempt{remote: remote, rendezvous: rendezvous, early: d.EarlyData, isn: randomISN(), path: d.Path})
	if err != nil && d.Endpoint == nil {
		e.retire()
	}
	return c, err
}

// open opens a socket for one connection. It is connected, so that the kernel looks up
// no way for each packet and need not say which address it has come to, unless the
// peer may answer from another address than is dialled, or is to find the socket.
func (d *Dialer) open(ctx context.Context, remote netip.AddrPort, rendezvous bool) (*Endpoint, error) {
	network := "4"
	if remote.Addr().Is6() {
		network = "6"
	}
	if rendezvous && d.LocalAddr == nil {
		return nil, errors.New("a rendezvous needs a local address that the peer knows")
	}
	if rendezvous || remote.Addr().IsUnspecified() {
		local := ":0"
		if d.LocalAddr != nil {
			local = d.LocalAddr.String()
		}
		return listenEndpoint(ctx, networkName+network, local, d.Config)
	}
	var udp net.Dialer
	if d.LocalAddr != nil {
		local, err := net.ResolveUDPAddr("udp"+network, d.LocalAddr.String())
		if err != nil {
			return nil, fmt.Errorf("resolve the local address: %w", err)
		}
		udp.LocalAddr = local
	}
	c, err := udp.DialContext(ctx, "udp"+network, remote.String())
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op.Err // the caller names the networks and the addresses
		}
		return nil, err
	}
	return NewEndpoint(c.(*net.UDPConn), d.Config)
}

// DialContext connects to host:port over the endpoint's socket.
func (e *Endpoint) DialContext(ctx context.Context, network, address string) (*Conn, error) {
	c, err := (&Dialer{Endpoint: e}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return c.(*Conn), nil
}

// Rendezvous connects to a peer that calls Rendezvous with our address. It
// waits for the peer until the context is done.
func (e *Endpoint) Rendezvous(ctx context.Context, remote netip.AddrPort) (*Conn, error) {
	c, err := e.connect(ctx, attempt{remote: unmap(remote), rendezvous: true, isn: randomISN()})
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: networkName + "z", Addr: &Addr{remote}, Err: err}
	}
	return c, nil
}

// attempt is what one call of connect is to make.
type attempt struct {
	remote     netip.AddrPort
	rendezvous bool
	early      bool  // as Dialer.EarlyData
	isn        seqNo // of our first packet
	path       Path  // as Dialer.Path
}

// connect starts a connection and waits for its handshake.
func (e *Endpoint) connect(ctx context.Context, a attempt) (*Conn, error) {
	e.mu.Lock()
	if a.rendezvous && e.meetings[a.remote] != nil {
		e.mu.Unlock()
		return nil, fmt.Errorf("a rendezvous with %v is under way already", a.remote)
	}
	c, err := e.addLocked(0, a.remote, a.isn, func(c *Conn, now time.Duration) {
		c.route = e.sock.route(a.remote, netip.Addr{})
		c.dial(now, a.rendezvous)
		c.hs.early = a.early && !e.cfg.PlainUDT
		c.remembered = a.path
	})
	if err == nil && a.rendezvous {
		e.meetings[a.remote] = c
	}
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case <-c.established:
		return c, nil
	case <-c.done:
		return nil, c.endErr
	case <-ctx.Done():
	}
	requests := 0
	waited := time.Duration(0)
	c.onLoop(func(now time.Duration) { requests, waited = c.hs.requests, now-c.opened })
	c.abort(ctx.Err())
	select {
	case <-c.established: // in the last moment, and aborted with a Shutdown
	default:
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, &NoAnswerError{Addr: a.remote, Requests: requests, Waited: waited}
	}
	return nil, ctx.Err()
}

// A NoAnswerError says that nobody answered at an address. UDP cannot tell a
// closed port from one behind a firewall.
type NoAnswerError struct {
	Addr     netip.AddrPort
	Requests int // handshake requests sent
	Waited   time.Duration
}

func (e *NoAnswerError) Error() string {
	return fmt.Sprintf("no answer from %v (UDP) to %d handshake requests in %v",
		e.Addr, e.Requests, e.Waited.Round(100*time.Millisecond))
}

// Timeout makes the error a timeout in the sense of net.Error.
func (e *NoAnswerError) Timeout() bool { return true }

// Temporary is part of net.Error.
func (e *NoAnswerError) Temporary() bool { return true }

// textAddr is an address that has not been resolved.
type textAddr string

func (textAddr) Network() string  { return networkName }
func (a textAddr) String() string { return string(a) }
