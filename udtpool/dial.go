package udtpool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/chunkget/chunkget/udt"
)

// Reasons for retiring a connection.
var (
	errNotReusable = errors.New("not reusable after its last response")
	errUnread      = errors.New("response body closed before its end")
)

// DialError says which address was tried, for how long, and what came of it.
type DialError struct {
	Network string
	Address string        // host:port as in the URL
	Elapsed time.Duration // from the start of the dial to its failure
	Err     error
}

func (e *DialError) Error() string {
	elapsed := e.Elapsed.Round(100 * time.Millisecond)
	cause := e.Err
	if op, ok := cause.(*net.OpError); ok && op.Op == "dial" {
		cause = op.Err // what it was dialling is said here already
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Sprintf("dial %s %s: no answer within %v", e.Network, e.Address, elapsed)
	}
	if _, ok := errors.AsType[*udt.NoAnswerError](cause); ok {
		return fmt.Sprintf("dial %s %s: %v", e.Network, e.Address, cause) // which tells the time itself
	}
	return fmt.Sprintf("dial %s %s: %v (after %v)", e.Network, e.Address, cause, elapsed)
}

// Unwrap returns the error of the dial function.
func (e *DialError) Unwrap() error { return e.Err }

// Timeout reports whether the peer did not answer in time.
func (e *DialError) Timeout() bool {
	if _, ok := errors.AsType[*udt.NoAnswerError](e.Err); ok {
		return true
	}
	ne, ok := errors.AsType[net.Error](e.Err)
	return ok && ne.Timeout()
}

// Temporary makes DialError a net.Error. Whether to dial again is not for the
// error to say.
func (e *DialError) Temporary() bool { return e.Timeout() }

// startDialLocked starts a dial to h that ends with ctx or the pool.
func (p *Pool) startDialLocked(ctx context.Context, h *host) {
	h.dialing++
	p.wg.Go(func() {
		dialCtx, cancel := context.WithCancel(p.ctx)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		p.dialUntilSettled(dialCtx, h)
	})
}

// dialUntilSettled dials h until it has a connection, or until the failure has
// been told to the request it was for, or until nobody wants one any more.
func (p *Pool) dialUntilSettled(ctx context.Context, h *host) {
	for pause := redialMin; ; pause = min(2*pause, redialMax) {
		c, err := p.connect(ctx, h)
		if err == nil {
			p.admit(h, c)
			return
		}
		if p.settle(ctx, h, err) {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		if p.unwanted(ctx, h) {
			return
		}
	}
}

// settle books a failed dial and reports whether its goroutine is done. It is
// not if other connections serve the host and requests wait for more of them.
func (p *Pool) settle(ctx context.Context, h *host, err error) (done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() == nil {
		p.count.dialFailures++
		p.cfg.Logger.Debug("dial failed", "host", h.key.String(), "err", err)
		if len(h.conns) > 0 && len(h.waiters) > 0 {
			return false
		}
	}
	h.dialing--
	if ctx.Err() == nil && len(h.waiters) > h.dialing {
		w := h.waiters[0]
		h.waiters = slices.Delete(h.waiters, 0, 1)
		w.ready <- grant{err: err}
	}
	// A dial ended by the context of Warm may be one that a request counts on.
	p.dialForWaitersLocked(h)
	p.forgetLocked(h)
	return true
}

// unwanted ends a dial between two attempts if its context is done or no
// request waits any more.
func (p *Pool) unwanted(ctx context.Context, h *host) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() == nil && len(h.waiters) > 0 {
		return false
	}
	h.dialing--
	p.dialForWaitersLocked(h)
	p.forgetLocked(h)
	return true
}

// admit puts a new connection into the pool.
func (p *Pool) admit(h *host, c *conn) {
	p.mu.Lock()
	h.dialing--
	if p.closed {
		p.mu.Unlock()
		c.cc.Close()
		return
	}
	h.conns[c] = struct{}{}
	p.offerLocked(c)
	p.mu.Unlock()
	if p.cfg.Opened != nil {
		p.cfg.Opened(c.nc)
	}
	p.cfg.Logger.Debug("connection opened", "host", h.key.String(), "local", c.nc.LocalAddr())
	// Only now, so that the hook finds c in the pool if c is dead already.
	c.cc.SetStateHook(func(*http.ClientConn) { p.noticeDeath(c) })
}

// connect dials h once and makes an HTTP connection of the result.
func (p *Pool) connect(ctx context.Context, h *host) (*conn, error) {
	const network = "udt"
	start := time.Now()
	p.mu.Lock()
	p.count.dials++
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DialTimeout)
	defer cancel()
	nc, err := p.cfg.Dial(ctx, network, h.key.address)
	if err != nil {
		return nil, &DialError{Network: network, Address: h.key.address, Elapsed: time.Since(start), Err: err}
	}
	carrier := nc
	if h.key.scheme == secured {
		if carrier, err = p.secure(ctx, h, nc); err != nil {
			nc.Close()
			return nil, &DialError{Network: network, Address: h.key.address, Elapsed: time.Since(start), Err: err}
		}
	}
	cc, err := p.transport.NewClientConn(context.WithValue(ctx, dialledKey{}, carrier), "http", h.key.address)
	if err != nil {
		nc.Close()
		return nil, &DialError{Network: network, Address: h.key.address, Elapsed: time.Since(start), Err: err}
	}
	return &conn{host: h, nc: nc, cc: cc, opened: start}, nil
}

// Probe asks the server of u for a connection beside those of the pool, whatever
// their number, and closes it: whether anything comes back, while those are silent.
func (p *Pool) Probe(ctx context.Context, u *url.URL) error {
	key, err := keyOf(u)
	if err != nil {
		return err
	}
	if !p.enter() {
		return errClosed
	}
	defer p.wg.Done()
	const network = "udt"
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DialTimeout)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	c, err := p.cfg.Dial(ctx, network, key.address)
	if err != nil {
		return &DialError{Network: network, Address: key.address, Elapsed: time.Since(start), Err: err}
	}
	_ = c.Close() // it was never used
	return nil
}

// dialledKey is the context key under which connect hands a net.Conn to the
// transport, so that dial errors and HTTP errors stay apart.
type dialledKey struct{}

func dialledConn(ctx context.Context, _, _ string) (net.Conn, error) {
	return ctx.Value(dialledKey{}).(net.Conn), nil
}
