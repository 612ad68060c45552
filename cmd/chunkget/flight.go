package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// A request that goes on is counted after so many bytes, or that time.
	countStep = 1 << 20
	countTime = 250 * time.Millisecond

	// leastFlown is how much an answer must have to be compared with others, in bytes.
	leastFlown = 1 << 20
)

// A flight is a request that may travel over either way to a server. What is asked with
// GET and is no small thing takes part in the contest.
type flight struct {
	routes *routes
	req    *http.Request
	way    way
	of     *contest // nil without; belongs to the goroutine of the request until there is an answer
	flying bool     // guarded by routes.mu
}

// takeOff decides what req travels over.
func (r *routes) takeOff(req *http.Request) *flight {
	f := &flight{routes: r, req: req, way: homeOf(req.URL)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.of = r.contests[origin(req.URL)]; f.of != nil {
		f.way = f.of.pick(func() bool { return r.isShort(f.of) })
		f.join()
	}
	return f
}

// join makes f one of those that are compared. The caller holds routes.mu.
func (f *flight) join() {
	if f.req.Method == http.MethodGet {
		f.flying = true
		f.of.takeOff(f.way)
		f.routes.beginTurn(f.of)
	}
}

// leave makes it none of them any more. The caller holds routes.mu.
func (f *flight) leave() {
	if f.flying {
		f.flying = false
		f.of.land(f.way)
	}
}

// landed takes what became of it.
func (f *flight) landed(resp *http.Response, err error) (*http.Response, error) {
	if err != nil {
		f.failed()
		return nil, err
	}
	f.answered(resp)
	return resp, nil
}

// failed notes that there is no answer. If that is not because nobody wanted it any more
// the way is left, if it is not that of the URL.
func (f *flight) failed() {
	f.routes.mu.Lock()
	defer f.routes.mu.Unlock()
	if f.of == nil {
		return
	}
	f.leave()
	ctx := f.req.Context()
	if f.way != f.of.home && (ctx.Err() == nil || isTimeout(context.Cause(ctx))) {
		f.of.ready = false
	}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}

// answered has resp counted, for the contest that there may be since the request was
// made.
func (f *flight) answered(resp *http.Response) {
	r := f.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.of == nil {
		if f.of = r.contests[origin(f.req.URL)]; f.of == nil {
			return
		}
		f.join()
	}
	compared := f.flying && (resp.ContentLength < 0 || resp.ContentLength >= leastFlown)
	if !compared {
		f.leave()
	}
	resp.Body = &flightBody{ReadCloser: resp.Body, f: f, compared: compared, since: time.Now()}
}

// A flightBody tells the contest what it brings, a step at a time.
type flightBody struct {
	io.ReadCloser
	f        *flight
	compared bool
	bytes    int64     // not counted yet
	since    time.Time // when they began
}

func (b *flightBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.bytes += int64(n); b.bytes >= countStep || err != nil {
		b.count(time.Now())
	} else if now := time.Now(); now.Sub(b.since) >= countTime {
		b.count(now)
	}
	return n, err
}

func (b *flightBody) count(now time.Time) {
	f := b.f
	f.routes.mu.Lock()
	defer f.routes.mu.Unlock()
	f.of.count(now, f.req.URL.Path, f.way, b.bytes, now.Sub(b.since), b.compared)
	b.bytes, b.since = 0, now
}

// Stale reports whether the rest of it is better asked for over the other way. Who
// is told so leaves at once, so that not all of them do.
func (b *flightBody) Stale() bool {
	f := b.f
	f.routes.mu.Lock()
	defer f.routes.mu.Unlock()
	if !f.flying || !f.of.stale(f.way) {
		return false
	}
	f.leave()
	return true
}

func (b *flightBody) Close() error {
	b.count(time.Now())
	b.f.routes.mu.Lock()
	b.f.leave()
	b.f.routes.mu.Unlock()
	return b.ReadCloser.Close()
}
