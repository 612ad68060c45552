package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/chunkget/chunkget/udt"
)

const (
	// silentFor and silentRounds of the path are how long no packet of a server may
	// come, over any of its connections, before it is asked over both ways whether it
	// still gets through. Peers send a keepalive every 3 s; outages of 2 s, and the
	// round trips that end them, are no reason to ask. Round trips of more than
	// longRound are those of queues, and unknownRound is taken where none was measured.
	silentFor    = 3500 * time.Millisecond
	silentRounds = 4
	longRound    = time.Second
	unknownRound = 500 * time.Millisecond

	// lastWord and a round trip are how long UDT has to answer after TCP has, since after
	// an outage of both ways either may be the first. A request for a connection is
	// repeated four times a second.
	lastWord = 750 * time.Millisecond

	// silenceStep is how often silence is looked for, and silencePause how long after
	// an answer, or after neither way gave one, the question is not asked again.
	silenceStep  = 250 * time.Millisecond
	silencePause = 2 * time.Second

	// shortPause and silentRounds of the path are how long no packet may come, while
	// requests wait, before what they have brought shows no rate.
	shortPause = 250 * time.Millisecond
)

// A passage is UDT to one server for as long as it gets through. Requests over it end
// with it, those of a contest, too.
type passage struct {
	server *url.URL // as requests name it
	over   *url.URL // the same over UDT
	ctx    context.Context
	leave  context.CancelCauseFunc
}

// silentError ends the requests of a passage.
type silentError struct{ silent time.Duration }

func (e *silentError) Error() string {
	return fmt.Sprintf("no packet came over UDP for %.1f s, and the server answers over TCP", e.silent.Seconds())
}

// open begins a passage, and looks after it where there is a choice. The caller holds
// r.mu, as does that of current and fallen: whether p is in use still, and what to do when
// it gets through no more.
func (r *routes) open(server, over *url.URL, current func() bool, fallen func()) *passage {
	p := &passage{server: server, over: over}
	p.ctx, p.leave = context.WithCancelCause(r.ctx)
	if r.mode == transportAuto && r.ctx.Err() == nil {
		r.watching.Go(func() { r.attend(p, current, fallen) })
	}
	return p
}

// attend leaves p when its server has fallen silent over UDT and answers over TCP. UDT
// is given up for nothing less: a server that is silent over both may be back over
// either.
func (r *routes) attend(p *passage, current func() bool, fallen func()) {
	step := time.NewTicker(silenceStep)
	defer step.Stop()
	var notUntil time.Time
	for {
		var now time.Time
		select {
		case now = <-step.C:
		case <-p.ctx.Done():
			return
		}
		r.mu.Lock()
		inUse := current()
		r.mu.Unlock()
		if !inUse {
			return
		}
		if now.Before(notUntil) {
			continue
		}
		silent, round, waiting := r.silence(p.over)
		if !waiting || silent < silentFor+silentRounds*round {
			continue
		}
		if !r.onlyTCP(p, lastWord+round) {
			notUntil = time.Now().Add(silencePause)
			continue
		}
		silent, _, _ = r.silence(p.over)
		r.mu.Lock()
		if inUse = current(); inUse {
			fallen()
		}
		r.mu.Unlock()
		if inUse {
			r.note("no packet of the server comes over UDP any more, and it answers over TCP: going on over that")
			p.leave(&silentError{silent})
			r.abandon(p)
		}
		return
	}
}

// silence returns how long no packet has come over any connection to a URL over UDT, the
// round trip of its path, and whether a request waits for one.
func (r *routes) silence(over *url.URL) (silent, round time.Duration, waiting bool) {
	first := true
	for c, idle := range r.connections(over) {
		s := c.Stats()
		switch {
		case s.Ended:
			continue
		case first:
			first, silent = false, s.Silence
		}
		rtt := min(s.RTT, longRound)
		if s.MinRTT == 0 {
			rtt = unknownRound
		}
		silent, round = min(silent, s.Silence), max(round, rtt)
		waiting = waiting || !idle
	}
	return silent, round, waiting
}

// pausing reports whether requests have waited for any packet over UDT for so long that
// what they have brought shows no rate.
func (r *routes) pausing(over *url.URL) bool {
	silent, round, waiting := r.silence(over)
	return waiting && silent > shortPause+silentRounds*round
}

// connections yields those to a URL over UDT, and whether each is idle.
func (r *routes) connections(over *url.URL) func(yield func(c *udt.Conn, idle bool) bool) {
	key := over.Scheme + "://" + hostPort(over)
	return func(yield func(c *udt.Conn, idle bool) bool) {
		for _, s := range r.udt.Stats().Conns {
			if c, ok := s.Conn.(*udt.Conn); ok && s.Host == key && !yield(c, s.Idle) {
				return
			}
		}
	}
}

// onlyTCP asks the server of p over both ways, and reports whether it answers over TCP
// and has not been heard over UDT by the time patience after that.
func (r *routes) onlyTCP(p *passage, patience time.Duration) bool {
	ctx, cancel := context.WithCancel(p.ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	overUDT, overTCP := make(chan error, 1), make(chan error, 1)
	asking.Go(func() { overUDT <- r.udt.Probe(ctx, p.over) })
	asking.Go(func() { overTCP <- r.reach(ctx, p.server) })
	var last <-chan time.Time
	step := time.NewTicker(silenceStep)
	defer step.Stop()
	for {
		select {
		case err := <-overUDT:
			if err == nil || errors.Is(err, udt.ErrRejected) { // which is an answer, too
				return false
			}
		case err := <-overTCP:
			if err != nil {
				return false
			}
			last = time.After(patience)
		case <-last:
			return true
		case <-step.C:
			if silent, _, waiting := r.silence(p.over); !waiting || silent < silentFor {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// abandon closes the connections of p, so that none of them is taken for a way again.
func (r *routes) abandon(p *passage) {
	for c := range r.connections(p.over) {
		c.Close() // there is nobody to hear of it
	}
}

// overUDT makes a request that ends with p.
func (t *transports) overUDT(p *passage, req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	unlink := context.AfterFunc(p.ctx, func() { cancel(context.Cause(p.ctx)) })
	end := func() {
		unlink()
		cancel(nil)
	}
	resp, err := t.udt.RoundTrip(req.WithContext(ctx))
	if err != nil {
		end()
		return nil, err
	}
	resp.Body = &endedBody{resp.Body, end}
	return resp, nil
}

// An endedBody calls end when it is closed.
type endedBody struct {
	io.ReadCloser
	end func()
}

func (b *endedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}
