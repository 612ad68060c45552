package udtpool

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// conn is one connection to a server. It carries one request at a time.
type conn struct {
	host   *host
	nc     net.Conn // what Config.Dial returned, below TLS
	cc     *http.ClientConn
	opened time.Time

	// Guarded by Pool.mu.
	requests  int         // requests given to it
	idleSince time.Time   // zero while it is busy, and before its first idle time
	idleTimer *time.Timer // nil unless it is idle
}

// release gives a connection back whose request is done. A connection that
// cannot take the next request at once is retired: the server has asked to close
// it, or the rest of a request is still being written.
func (p *Pool) release(c *conn) {
	p.mu.Lock()
	if _, open := c.host.conns[c]; open && !p.closed && c.cc.Err() == nil && c.cc.Available() > 0 {
		p.offerLocked(c)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.retire(c, errNotReusable)
}

// retire takes c out of the pool, whatever its state, and closes it.
func (p *Pool) retire(c *conn, why error) {
	p.mu.Lock()
	removed := p.removeLocked(c)
	p.mu.Unlock()
	c.cc.Close()
	if removed {
		p.logRetired(c, why)
	}
}

// retireIdle retires c if it is idle.
func (p *Pool) retireIdle(c *conn, why error) {
	p.mu.Lock()
	removed := !c.idleSince.IsZero() && p.removeLocked(c)
	p.mu.Unlock()
	if removed {
		c.cc.Close()
		p.logRetired(c, why)
	}
}

func (p *Pool) logRetired(c *conn, why error) {
	p.cfg.Logger.Debug("connection retired", "host", c.host.key.String(), "local", c.nc.LocalAddr(), "why", why)
}

// noticeDeath is the state hook of c's ClientConn. It retires c when the
// connection has died by itself: closed by the peer, by a caller that knows it
// from GotConn, or with the context of its request. The end of a request is not
// taken from here but from the body, where it cannot be missed.
func (p *Pool) noticeDeath(c *conn) {
	if err := c.cc.Err(); err != nil {
		p.retire(c, err)
	}
}

func (p *Pool) startIdleTimerLocked(c *conn) {
	if p.cfg.IdleTimeout < 0 {
		return
	}
	p.wg.Add(1)
	var t *time.Timer
	t = time.AfterFunc(p.cfg.IdleTimeout, func() {
		defer p.wg.Done()
		p.mu.Lock()
		current := c.idleTimer == t
		p.mu.Unlock()
		if current {
			p.retireIdle(c, errIdleClosed)
		}
	})
	c.idleTimer = t
}

func (p *Pool) stopIdleTimerLocked(c *conn) {
	if c.idleTimer != nil && c.idleTimer.Stop() {
		p.wg.Done()
	}
	c.idleTimer = nil
}

// body is a response body that owns its connection until it ends.
type body struct {
	rc   io.ReadCloser
	pool *Pool
	conn *conn
	done atomic.Bool // the connection has been given back or retired
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	switch {
	case err == nil:
	case err == io.EOF:
		// The ClientConn has become available before its body returned EOF.
		if !b.done.Swap(true) {
			b.pool.release(b.conn)
		}
	default:
		if !b.done.Swap(true) {
			b.pool.retire(b.conn, err)
		}
	}
	return n, err
}

// Close before the end of the body retires the connection before it returns, so
// that its place in the pool is free for the caller's next request.
func (b *body) Close() error {
	if !b.done.Swap(true) {
		b.pool.retire(b.conn, errUnread)
	}
	return b.rc.Close()
}

// answerFlag records that a byte of a response has come.
type answerFlag struct{ v atomic.Bool }

func (f *answerFlag) set()        { f.v.Store(true) }
func (f *answerFlag) isSet() bool { return f.v.Load() }
