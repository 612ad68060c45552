package fetch

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"testing"
	"time"
)

// A modelPath is the way to one server in a fluid model, in virtual time: a rate that its
// connections share, and slow start of each connection, or of all together as with
// connections over UDT. It is a RoundTripper for f.
type modelPath struct {
	f      *file
	rtt    time.Duration
	rate   float64 // bytes per second
	each   float64 // bytes per second of one connection, 0 without a limit
	shared bool    // connections share one model of the path
	loss   float64 // of a packet over TCP
	seed   uint64  // of the losses

	mu     sync.Mutex
	rng    *rand.Rand // of losses, nil before the first
	free   time.Time  // when the link has sent what it was given
	idle   []*pathConn
	common pathConn
}

type pathConn struct {
	window float64 // bytes in flight
	lost   bool    // slow start is over
	free   time.Time
}

const (
	maxSegment    = 1460
	initialWindow = 10 * maxSegment // RFC 6928
)

// received grows the window for n bytes that have come: by as much in slow start, and by
// a segment in a round trip after the first loss, each of which takes three tenths of it
// as with CUBIC.
func (p *modelPath) received(c *pathConn, n float64) {
	grows := n
	if c.lost {
		grows = maxSegment * n / c.window
	}
	c.window = min(c.window+grows, 2*p.rate*p.rtt.Seconds()+initialWindow)
	if p.loss == 0 {
		return
	}
	if p.rng == nil {
		p.rng = rand.New(rand.NewPCG(p.seed, 1))
	}
	if p.rng.Float64() < 1-math.Pow(1-p.loss, n/maxSegment) {
		c.lost = true
		c.window = max(0.7*c.window, 2*maxSegment)
	}
}

func (p *modelPath) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	var c *pathConn
	if n := len(p.idle); n > 0 {
		c, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	p.mu.Unlock()
	if c == nil {
		time.Sleep(p.rtt)
		p.mu.Lock()
		if c = new(pathConn); p.shared {
			c = &p.common
		}
		if c.window == 0 {
			c.window = initialWindow
		}
		p.mu.Unlock()
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		conn, other := net.Pipe()
		other.Close()
		trace.GotConn(httptrace.GotConnInfo{Conn: conn})
	}
	time.Sleep(p.rtt)
	var a, b int64
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b); err != nil {
		return nil, err
	}
	b = min(b, int64(len(p.f.data))-1)
	return &http.Response{
		StatusCode: http.StatusPartialContent, Status: "206 Partial Content", Request: r, ContentLength: b + 1 - a,
		Header: http.Header{"Etag": {p.f.etag}, "Content-Range": {fmt.Sprintf("bytes %d-%d/%d", a, b, len(p.f.data))}},
		Body:   &pathBody{p, c, r.Context(), p.f.data[a : b+1]},
	}, nil
}

type pathBody struct {
	p    *modelPath
	c    *pathConn
	ctx  context.Context
	left []byte
}

func (b *pathBody) Read(to []byte) (int, error) {
	if len(b.left) == 0 {
		return 0, io.EOF
	}
	p := b.p
	p.mu.Lock()
	n := min(len(to), len(b.left), 32<<10, max(int(b.c.window/8), maxSegment))
	now := time.Now()
	takes := func(free *time.Time, rate float64) {
		*free = later(*free, now).Add(time.Duration(float64(n) / rate * float64(time.Second)))
	}
	takes(&p.free, p.rate)
	speed := b.c.window / p.rtt.Seconds()
	if p.each > 0 {
		speed = min(speed, p.each)
	}
	takes(&b.c.free, speed)
	p.received(b.c, float64(n))
	at := later(p.free, b.c.free)
	p.mu.Unlock()
	time.Sleep(at.Sub(now))
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	copy(to, b.left[:n])
	b.left = b.left[n:]
	return n, nil
}

func (b *pathBody) Close() error {
	if len(b.left) == 0 {
		b.p.mu.Lock()
		b.p.idle = append(b.p.idle, b.c)
		b.p.mu.Unlock()
	}
	return nil
}

// pathRig prepares a download over paths, by host.
func pathRig(t *testing.T, first string, paths map[string]*modelPath) *rig {
	t.Helper()
	rt := roundTripFunc(func(r *http.Request) (*http.Response, error) { return paths[r.URL.Host].RoundTrip(r) })
	r := newRig(t, transport{serve: func(*testing.T, http.Handler) (string, http.RoundTripper) { return first, rt }}, nil, "/x")
	for host := range paths {
		if host != r.opts.URL.Host {
			r.opts.Mirrors = append(r.opts.Mirrors, Mirror{URL: &url.URL{Scheme: "http", Host: host, Path: "/x"}})
		}
	}
	return r
}
