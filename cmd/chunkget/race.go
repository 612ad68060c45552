package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/chunkget/chunkget/internal/pin"
)

const (
	// headStart is how long a server may take to answer over UDT before TCP is
	// tried as well: 4 round trips if that of the path is remembered, but no less
	// than the first, nor more than the second.
	minHeadStart = 200 * time.Millisecond
	headStart    = time.Second
)

// race is the choice for a udt:// or udts:// server.
type race struct {
	done    chan struct{}
	passage *passage // over UDT, if that is the choice
	overTCP bool
	blocked bool // because UDP did not get through
	fallen  bool // it did before
	why     string
	err     error // there is no way
}

// choose returns what requests to the server of a udt:// or udts:// URL travel over.
func (r *routes) choose(ctx context.Context, u *url.URL) (*race, error) {
	key := origin(u)
	for {
		r.mu.Lock()
		c := r.races[key]
		mine := c == nil
		if mine {
			c = &race{done: make(chan struct{})}
			r.races[key] = c
		}
		r.mu.Unlock()
		if mine {
			r.run(ctx, u, c)
			if c.err == nil && !c.overTCP {
				r.take(u, c)
			}
			if c.err != nil {
				// Another request may have better luck.
				r.mu.Lock()
				delete(r.races, key)
				r.mu.Unlock()
			}
			close(c.done)
			return c, c.err
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if c.err == nil {
			return c, nil
		}
	}
}

// take opens the passage of the choice c for the server of u. When that gets through no
// more, TCP is the choice, and a contest is over: if UDT is the choice again some time
// there is another one.
func (r *routes) take(u *url.URL, c *race) {
	key, server := origin(u), &url.URL{Scheme: u.Scheme, Host: u.Host}
	r.mu.Lock()
	defer r.mu.Unlock()
	c.passage = r.open(server, server, func() bool { return r.races[key] == c }, func() {
		fallen := &race{done: make(chan struct{}), overTCP: true, blocked: true, fallen: true, why: "no answer over UDP any more"}
		close(fallen.done)
		r.races[key] = fallen
		if of := r.contests[key]; of != nil {
			of.fall()
			delete(r.contests, key)
		}
	})
}

// chosen returns the choice for the server of u, nil if there is none.
func (r *routes) chosen(u *url.URL) *race {
	r.mu.Lock()
	c := r.races[origin(u)]
	r.mu.Unlock()
	if c == nil {
		return nil
	}
	select {
	case <-c.done:
		return c
	default:
		return nil
	}
}

// reconsider forgets the choice c for the server of u if err says that no connection
// can be made that way any more. The request that failed is made again, and its race
// is a new one.
func (r *routes) reconsider(u *url.URL, c *race, err error) {
	if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" || distrusts(err) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if key := origin(u); r.races[key] == c {
		delete(r.races, key)
		r.doubted[key] = true
	}
}

// mayRecall reports whether what is remembered of the server of u may be relied on: not
// once a choice has failed.
func (r *routes) mayRecall(u *url.URL) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.doubted[origin(u)]
}

// run fills in c.
func (r *routes) run(ctx context.Context, u *url.URL, c *race) {
	switch r.mode {
	case transportUDT:
		return
	case transportTCP:
		c.overTCP, c.why = true, "as asked"
		return
	}
	address := hostPort(u)
	m := r.paths.entry(address)
	switch {
	case !r.mayRecall(u) || r.confides(u): // what was faster was not told anything
	case m.fasterOverTCP():
		c.overTCP = true
		c.why = fmt.Sprintf("it was faster before: %s against %s over UDT", formatRate(m.TCPRate/8), formatRate(m.Rate/8))
		return
	case m.tcpIsBetter():
		c.overTCP, c.why = true, "it brought more than UDT before"
		return
	}
	wait := headStart
	switch {
	case !m.NoUDP.IsZero():
		wait = minHeadStart
	case m.MinRTT > 0:
		wait = min(max(time.Duration(4*m.MinRTT*float64(time.Millisecond)), minHeadStart), headStart)
	}
	c.blocked, c.err = r.race(ctx, u, wait)
	if c.overTCP = c.blocked; c.blocked {
		c.why = "no answer over UDP"
		with := ""
		if u.Scheme == "udts" {
			with = ", with TLS and the same checks"
		}
		r.note("the server does not answer over UDT (UDP) and does over TCP: using that%s; ask for UDP port %s to be let through", with, portOf(address))
	}
}

// race returns whether TCP gets through to the server of u and UDT does not, which
// has a head start. A server that shows another key or certificate than it should
// has answered: what it sends over TCP is not looked for. The error is that of UDT
// if neither does, unless that over TCP is about who the server is.
func (r *routes) race(ctx context.Context, u *url.URL, wait time.Duration) (overTCP bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var trying sync.WaitGroup
	defer trying.Wait()
	defer cancel()
	udtDone, tcpDone := make(chan error, 1), make(chan error, 1)
	trying.Go(func() { udtDone <- r.udt.Connect(ctx, u) })
	head := time.NewTimer(wait)
	defer head.Stop()
	tried := false
	var udtErr, tcpErr error
	for {
		select {
		case udtErr = <-udtDone:
			if udtErr == nil || ctx.Err() != nil || distrusts(udtErr) {
				return false, udtErr
			}
		case tcpErr = <-tcpDone:
			if tcpErr == nil {
				return true, nil
			}
		case <-head.C:
		}
		if !tried {
			tried = true
			trying.Go(func() { tcpDone <- r.reach(ctx, u) })
		}
		switch {
		case udtErr == nil || tcpErr == nil:
		case distrusts(tcpErr):
			return false, tcpErr
		case isStranger(tcpErr):
			return false, fmt.Errorf("%w; %w", udtErr, tcpErr)
		default:
			return false, udtErr
		}
	}
}

// handshake begins TLS over c with the server of u.
func handshake(ctx context.Context, c net.Conn, u *url.URL, trust *trust) error {
	cfg := trust.config(origin(u))
	cfg.ServerName, cfg.NextProtos = u.Hostname(), []string{"http/1.1"}
	if err := tls.Client(c, cfg).HandshakeContext(ctx); err != nil {
		return fmt.Errorf("tls handshake: %w", err)
	}
	return nil
}

// distrusts reports whether err says that a server is not the one that it should be.
func distrusts(err error) bool {
	_, otherKey := errors.AsType[*pin.MismatchError](err)
	_, unknown := errors.AsType[*tls.CertificateVerificationError](err)
	return otherKey || unknown
}
