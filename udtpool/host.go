package udtpool

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"slices"
	"time"
)

// host is what the pool knows of one server. Guarded by Pool.mu.
//
// Invariant: len(conns)+dialing <= Config.Connections, and while a request
// waits, either every one of these places is taken or dialing >= len(waiters).
type host struct {
	key     hostKey
	conns   map[*conn]struct{} // open: idle or busy
	idle    []*conn            // by time of last use; the last one is taken first
	waiters []*waiter          // oldest first
	dialing int                // dial goroutines, pausing ones included
}

// waiter is a request that waits for a connection.
type waiter struct {
	ready chan grant // one slot; filled by whoever takes the waiter off the list
}

// grant is the end of a wait.
type grant struct {
	conn *conn
	info httptrace.GotConnInfo
	err  error
}

// acquire returns a connection that now belongs to the caller.
func (p *Pool) acquire(ctx context.Context, key hostKey) (*conn, httptrace.GotConnInfo, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, httptrace.GotConnInfo{}, errClosed
	}
	h := p.hostLocked(key)
	if n := len(h.idle); n > 0 {
		c := h.idle[n-1]
		h.idle = h.idle[:n-1]
		info := p.useLocked(c)
		p.mu.Unlock()
		return c, info, nil
	}
	w := &waiter{ready: make(chan grant, 1)}
	h.waiters = append(h.waiters, w)
	p.dialForWaitersLocked(h)
	p.mu.Unlock()

	select {
	case g := <-w.ready:
		return g.conn, g.info, g.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	if i := slices.Index(h.waiters, w); i >= 0 {
		h.waiters = slices.Delete(h.waiters, i, i+1)
		p.forgetLocked(h)
	}
	p.mu.Unlock()
	select {
	case g := <-w.ready: // granted in the same moment
		if g.conn != nil {
			p.release(g.conn)
		}
	default:
	}
	return nil, httptrace.GotConnInfo{}, fmt.Errorf("wait for a connection to %s: %w", key, context.Cause(ctx))
}

// hostLocked returns the record of key's server, a new one if there is none.
func (p *Pool) hostLocked(key hostKey) *host {
	h := p.hosts[key]
	if h == nil {
		h = &host{key: key, conns: make(map[*conn]struct{})}
		p.hosts[key] = h
	}
	return h
}

// forgetLocked drops the record of a server of which nothing is left, so that
// the pool does not grow with the number of servers ever spoken to.
func (p *Pool) forgetLocked(h *host) {
	if len(h.conns) == 0 && len(h.waiters) == 0 && h.dialing == 0 {
		delete(p.hosts, h.key)
	}
}

// useLocked makes an idle or new connection busy.
func (p *Pool) useLocked(c *conn) httptrace.GotConnInfo {
	info := httptrace.GotConnInfo{Conn: c.nc, Reused: c.requests > 0}
	if !c.idleSince.IsZero() {
		info.WasIdle = true
		info.IdleTime = time.Since(c.idleSince)
		c.idleSince = time.Time{}
	}
	p.stopIdleTimerLocked(c)
	if c.requests > 0 {
		p.count.reuses++
	}
	c.requests++
	return info
}

// offerLocked gives a connection to the oldest waiter, or makes it idle.
func (p *Pool) offerLocked(c *conn) {
	h := c.host
	if len(h.waiters) > 0 {
		w := h.waiters[0]
		h.waiters = slices.Delete(h.waiters, 0, 1)
		w.ready <- grant{conn: c, info: p.useLocked(c)}
		return
	}
	c.idleSince = time.Now()
	h.idle = append(h.idle, c)
	p.startIdleTimerLocked(c)
}

// removeLocked takes c out of the pool and reports whether it still was in it.
func (p *Pool) removeLocked(c *conn) bool {
	h := c.host
	if _, ok := h.conns[c]; !ok {
		return false
	}
	delete(h.conns, c)
	if i := slices.Index(h.idle, c); i >= 0 {
		h.idle = slices.Delete(h.idle, i, i+1)
	}
	p.stopIdleTimerLocked(c)
	p.count.retired++
	p.dialForWaitersLocked(h)
	p.forgetLocked(h)
	return true
}

// dialForWaitersLocked starts a dial for every waiter that has none, as far as
// places are free.
func (p *Pool) dialForWaitersLocked(h *host) {
	for !p.closed && h.dialing < len(h.waiters) && len(h.conns)+h.dialing < p.cfg.Connections {
		p.startDialLocked(p.ctx, h)
	}
}
