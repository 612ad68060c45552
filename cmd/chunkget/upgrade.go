package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// What makes a contest: servers of TCP that offer UDT, and servers of UDT with the same
// file over TCP.

// offered takes note of what an answer over TCP says of UDT, and begins to connect
// if that is new.
func (r *routes) offered(u *url.URL, h http.Header) {
	fields, scheme := h.Values("Alt-Svc"), upgradedTo[u.Scheme]
	if len(fields) == 0 || r.mode == transportTCP {
		return
	}
	port, ok := alternativePort(fields, scheme)
	if !ok {
		return
	}
	address := net.JoinHostPort(u.Hostname(), port)
	m := r.paths.entry(address)
	if r.mode == transportAuto && m.tcpIsBetter() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := origin(u)
	if r.contests[key] != nil || r.ctx.Err() != nil || scheme == "udts" && !r.mayStand(address, key) {
		return
	}
	over := &url.URL{Scheme: scheme, Host: address}
	c := &contest{home: wayTCP, address: address, overTCP: hostPort(u), silent: func() bool { return r.pausing(over) }}
	if !r.comparing() || !m.SlowTCP.IsZero() {
		c.settle(wayUDT)
	}
	r.contests[key] = c
	r.upgrading.Go(func() {
		// Unless that succeeds, TCP goes on.
		switch err := r.udt.Connect(r.ctx, over); {
		case distrusts(err):
			r.note("%s offers UDT at port %s, which does not prove to be the same server: going on over TCP (%v)", key, port, err)
			return
		case err != nil:
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		c.passage = r.open(&url.URL{Scheme: u.Scheme, Host: u.Host}, over, func() bool { return c.ready }, c.fall)
		r.admit(c)
	})
}

// comparing reports whether what requests bring says which way is better: not if the user
// has chosen one, or how fast data is to come.
func (r *routes) comparing() bool { return r.mode == transportAuto && !r.paced }

// rival begins a contest for a server of UDT with TCP, if the file of an answer over
// UDT is large enough to tell, and prove finds the one of that ETag over TCP. That is one
// connection, and a day goes by before the next where nobody takes it.
func (r *routes) rival(u *url.URL, resp *http.Response, prove func(ctx context.Context, etag string) error) {
	address, etag := udtAddress(u), resp.Header.Get("Etag")
	if !r.comparing() || resp.StatusCode != http.StatusPartialContent || totalOf(resp.Header) < leastCompared || !strings.HasPrefix(etag, `"`) {
		return
	}
	if m := r.paths.entry(address); !m.NoTCP.IsZero() || !m.SlowTCP.IsZero() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := origin(u)
	if r.contests[key] != nil || r.ctx.Err() != nil {
		return
	}
	over := &url.URL{Scheme: u.Scheme, Host: address}
	c := &contest{home: wayUDT, address: address, overTCP: address, silent: func() bool { return r.pausing(over) }}
	r.contests[key] = c
	r.upgrading.Go(func() {
		err := prove(r.ctx, etag)
		if distrusts(err) {
			r.note("TCP port %s does not prove to be that of the same server: going on over UDT (%v)", portOf(address), err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if err == nil {
			r.admit(c)
		} else {
			c.absent = r.ctx.Err() == nil
		}
	})
}

// totalOf returns the size of the file that an answer with a part has, 0 if it does not
// tell.
func totalOf(h http.Header) int64 {
	_, total, _ := strings.Cut(h.Get("Content-Range"), "/")
	n, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// mayStand reports whether connections to udts://address can stand for an https://
// origin: all of them, present and future, have to be made with the demands of that.
// The caller holds r.mu.
func (r *routes) mayStand(address, origin string) bool {
	key := "udts://" + address
	if r.races[key] != nil {
		return false // it has been used by its own name
	}
	for _, c := range r.udt.Stats().Conns {
		if c.Host == key {
			return false
		}
	}
	return r.trust.stand(address, origin)
}

// admit makes both ways of a contest such as are taken. The caller holds r.mu.
func (r *routes) admit(c *contest) {
	c.open(r.isShort(c))
	r.beginTurn(c)
}

// isShort reports whether the round trip to a server is.
func (r *routes) isShort(c *contest) bool {
	rtt := r.rtt(c)
	return rtt > 0 && rtt < shortTrip
}

// beginTurn begins a turn if it is time, and ends it when it has lasted too long. The
// caller holds r.mu.
func (r *routes) beginTurn(c *contest) {
	number, ok := c.begin(time.Now())
	if !ok || r.ctx.Err() != nil {
		return
	}
	r.upgrading.Go(func() {
		end := time.NewTimer(longTurn)
		defer end.Stop()
		select {
		case <-r.ctx.Done():
		case now := <-end.C:
			r.mu.Lock()
			defer r.mu.Unlock()
			c.overdue(now, number)
		}
	})
}
