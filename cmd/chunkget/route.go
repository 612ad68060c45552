package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/chunkget/chunkget/udtpool"
)

// The values of --transport.
const (
	transportAuto = "auto"
	transportUDT  = "udt"
	transportTCP  = "tcp"
)

var transportNames = []string{transportAuto, transportUDT, transportTCP}

const (
	// headStart is how long a server may take to answer over UDT before TCP is
	// tried as well: 4 round trips if that of the path is remembered, but no less
	// than the first, nor more than the second.
	minHeadStart = 200 * time.Millisecond
	headStart    = time.Second

	// clearlyFaster is by how much a remembered rate over TCP must exceed that over
	// UDT to count.
	clearlyFaster = 1.1
)

// routes decides for each server what its requests travel over. Both ways have the
// same port, and the same files. A udt:// server that does not answer over UDP is
// reached over TCP; an http:// server that offers UDT (Alt-Svc) is reached over UDT
// as soon as it has answered there. What was faster in earlier runs wins. There is
// no way from an encrypted URL to UDT, which is not.
//
// The mutex guards the maps. Each record of race belongs to the request that makes
// it until done is closed, and does not change after that. upgrading waits for the
// goroutines that try UDT; they end with ctx.
type routes struct {
	mode  string
	udt   *udtpool.Pool
	dial  func(ctx context.Context, network, address string) (net.Conn, error) // TCP
	paths *pathMemory
	note  func(format string, args ...any)

	ctx       context.Context
	cancel    context.CancelFunc
	upgrading sync.WaitGroup

	mu       sync.Mutex
	races    map[string]*race    // by host:port of udt:// URLs
	upgrades map[string]*upgrade // by host of http:// URLs
}

// race is the choice for a udt:// server.
type race struct {
	done    chan struct{}
	overTCP bool
	blocked bool // because UDP did not get through
	why     string
	err     error // there is no way
}

// upgrade is what has become of an offer of UDT.
type upgrade struct {
	address string // host:port over UDT
	ready   bool   // guarded by routes.mu; connected, and not failed since
	used    bool   // guarded by routes.mu
}

func newRoutes(mode string, pool *udtpool.Pool, dial func(context.Context, string, string) (net.Conn, error), paths *pathMemory, note func(string, ...any)) *routes {
	r := &routes{mode: cmp.Or(mode, transportAuto), udt: pool, dial: dial, paths: paths, note: note,
		races: make(map[string]*race), upgrades: make(map[string]*upgrade)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// close ends what is still being tried.
func (r *routes) close() {
	r.cancel()
	r.upgrading.Wait()
}

// choose returns what requests to a udt:// server travel over.
func (r *routes) choose(ctx context.Context, address string) (*race, error) {
	for {
		r.mu.Lock()
		c := r.races[address]
		mine := c == nil
		if mine {
			c = &race{done: make(chan struct{})}
			r.races[address] = c
		}
		r.mu.Unlock()
		if mine {
			r.run(ctx, address, c)
			if c.err != nil {
				// Another request may have better luck.
				r.mu.Lock()
				delete(r.races, address)
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

// run fills in c.
func (r *routes) run(ctx context.Context, address string, c *race) {
	switch r.mode {
	case transportUDT:
		return
	case transportTCP:
		c.overTCP, c.why = true, "as asked"
		return
	}
	m := r.paths.entry(address)
	if m.TCPRate > clearlyFaster*m.Rate && m.Rate > 0 {
		c.overTCP = true
		c.why = fmt.Sprintf("it was faster before: %s against %s over UDT", formatRate(m.TCPRate/8), formatRate(m.Rate/8))
		return
	}
	wait := headStart
	switch {
	case !m.NoUDP.IsZero():
		wait = minHeadStart
	case m.MinRTT > 0:
		wait = min(max(time.Duration(4*m.MinRTT*float64(time.Millisecond)), minHeadStart), headStart)
	}
	c.blocked, c.err = r.race(ctx, address, wait)
	if c.overTCP = c.blocked; c.blocked {
		c.why = "no answer over UDP"
		r.note("the server does not answer over UDT (UDP) and does over TCP: using that; ask for UDP port %s to be let through", portOf(address))
	}
}

// race returns whether TCP connects to address and UDT does not, which has a head
// start. The error is that of UDT if neither does.
func (r *routes) race(ctx context.Context, address string, wait time.Duration) (overTCP bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var trying sync.WaitGroup
	defer trying.Wait()
	defer cancel()
	udtDone, tcpDone := make(chan error, 1), make(chan error, 1)
	trying.Go(func() { udtDone <- r.udt.Connect(ctx, &url.URL{Scheme: "udt", Host: address}) })
	tryTCP := func() {
		trying.Go(func() {
			c, err := r.dial(ctx, "tcp", address)
			if err == nil {
				err = c.Close()
			}
			tcpDone <- err
		})
	}
	head := time.NewTimer(wait)
	defer head.Stop()
	tried := false
	var udtErr, tcpErr error
	for {
		select {
		case udtErr = <-udtDone:
			if udtErr == nil || ctx.Err() != nil {
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
			tryTCP()
		}
		if udtErr != nil && tcpErr != nil {
			return false, udtErr
		}
	}
}

// offered takes note of what an answer over TCP says of UDT, and begins to connect
// if that is new.
func (r *routes) offered(u *url.URL, h http.Header) {
	fields := h.Values("Alt-Svc")
	if len(fields) == 0 || r.mode == transportTCP || u.Scheme != "http" {
		return
	}
	port, ok := udtPort(fields)
	if !ok {
		return
	}
	address := net.JoinHostPort(u.Hostname(), port)
	if m := r.paths.entry(address); r.mode == transportAuto && m.TCPRate > clearlyFaster*m.Rate && m.Rate > 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.upgrades[u.Host] != nil || r.ctx.Err() != nil {
		return
	}
	up := &upgrade{address: address}
	r.upgrades[u.Host] = up
	r.upgrading.Go(func() {
		if r.udt.Connect(r.ctx, &url.URL{Scheme: "udt", Host: address}) != nil {
			return // TCP goes on
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		up.ready = true
	})
}

// upgraded returns the address over UDT for requests to u, if there is one.
func (r *routes) upgraded(u *url.URL) (address string, ok bool) {
	if u.Scheme != "http" {
		return "", false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	up := r.upgrades[u.Host]
	if up == nil || !up.ready {
		return "", false
	}
	up.used = true
	return up.address, true
}

// downgrade goes back to TCP for good, because UDT has failed.
func (r *routes) downgrade(u *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if up := r.upgrades[u.Host]; up != nil {
		up.ready = false
	}
}

// carried tells what a download of u travelled over, as a scheme, and why, if that
// is not what the URL says.
func (r *routes) carried(u *url.URL) (scheme, why string) {
	if u.Scheme == "udts" && r.mode == transportTCP {
		return "https", "as asked"
	}
	if u.Scheme == "udts" {
		return u.Scheme, "" // there is no other choice
	}
	r.mu.Lock()
	up, c := r.upgrades[u.Host], r.races[udtAddress(u)]
	offered := u.Scheme == "http" && up != nil && up.ready && up.used
	r.mu.Unlock()
	if offered {
		return "udt", "the server offers it (Alt-Svc)"
	}
	if c == nil {
		return u.Scheme, ""
	}
	select {
	case <-c.done:
	default:
		return u.Scheme, ""
	}
	if c.overTCP {
		return "http", c.why
	}
	return u.Scheme, ""
}

// via returns req for another scheme and address.
func via(req *http.Request, scheme, address string) *http.Request {
	c, u := req.WithContext(req.Context()), *req.URL
	if c.Host == "" {
		c.Host = u.Host
	}
	u.Scheme, u.Host = scheme, address
	c.URL = &u
	return c
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func checkTransport(name string) error {
	if name != "" && !slices.Contains(transportNames, name) {
		return &usageError{fmt.Sprintf("--transport %s is not known", quote(name)), "known are: auto, udt, tcp"}
	}
	return nil
}
