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

	"github.com/chunkget/chunkget/udtpool"
)

// The values of --transport.
const (
	transportAuto = "auto"
	transportUDT  = "udt"
	transportTCP  = "tcp"
)

var transportNames = []string{transportAuto, transportUDT, transportTCP}

// routes decides for each server what its requests travel over. Both ways have the
// same port, and the same files. A udt:// server that does not answer over UDP is
// reached over TCP, and so is a udts:// server, with the same demands on TLS and on
// who it is; an http:// or https:// server that offers UDT, or that with TLS (Alt-Svc),
// is reached so as soon as it has answered there, and proved with TLS that it is the
// same server. A proxy is not bypassed. Where no connection can be made any more, both ways are
// tried again. What was faster in earlier runs wins. There is no way
// from an encrypted URL to UDT or TCP that is not.
//
// The mutex guards the maps. Each record of race belongs to the request that makes
// it until done is closed, and does not change after that. upgrading waits for the
// goroutines that try UDT; they end with ctx.
type routes struct {
	mode  string
	udt   *udtpool.Pool
	dial  func(ctx context.Context, network, address string) (net.Conn, error) // TCP
	trust *trust
	paths *pathMemory
	note  func(format string, args ...any)

	ctx       context.Context
	cancel    context.CancelFunc
	upgrading sync.WaitGroup

	mu       sync.Mutex
	races    map[string]*race    // by origin of udt:// and udts:// URLs
	upgrades map[string]*upgrade // by origin of http:// and https:// URLs
}

// upgrade is what has become of an offer of UDT.
type upgrade struct {
	address string // host:port over UDT
	ready   bool   // guarded by routes.mu; connected, and not failed since
	used    bool   // guarded by routes.mu
}

func newRoutes(mode string, pool *udtpool.Pool, dial func(context.Context, string, string) (net.Conn, error), trust *trust, paths *pathMemory, note func(string, ...any)) *routes {
	r := &routes{mode: cmp.Or(mode, transportAuto), udt: pool, dial: dial, trust: trust, paths: paths, note: note,
		races: make(map[string]*race), upgrades: make(map[string]*upgrade)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// close ends what is still being tried.
func (r *routes) close() {
	r.cancel()
	r.upgrading.Wait()
}

// upgradedTo is what URLs of TCP are fetched as over UDT.
var upgradedTo = map[string]string{"http": "udt", "https": "udts"}

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
	if m := r.paths.entry(address); r.mode == transportAuto && m.TCPRate > clearlyFaster*m.Rate && m.Rate > 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := origin(u)
	if r.upgrades[key] != nil || r.ctx.Err() != nil {
		return
	}
	up := &upgrade{address: address}
	r.upgrades[key] = up
	if scheme == "udts" {
		r.trust.stand(address, key)
	}
	r.upgrading.Go(func() {
		// Unless that succeeds, TCP goes on.
		switch err := r.udt.Connect(r.ctx, &url.URL{Scheme: scheme, Host: address}); {
		case distrusts(err):
			r.note("%s offers UDT at port %s, which does not prove to be the same server: going on over TCP (%v)", key, port, err)
			return
		case err != nil:
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		up.ready = true
	})
}

// upgraded returns the address over UDT for requests to u, if there is one.
func (r *routes) upgraded(u *url.URL) (address string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	up := r.upgrades[origin(u)]
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
	if up := r.upgrades[origin(u)]; up != nil {
		up.ready = false
	}
}

// carried tells what a download of u travelled over, as a scheme, and why, if that
// is not what the URL says.
func (r *routes) carried(u *url.URL) (scheme, why string) {
	r.mu.Lock()
	up := r.upgrades[origin(u)]
	offered := up != nil && up.ready && up.used
	r.mu.Unlock()
	if offered {
		return upgradedTo[u.Scheme], "the server offers it (Alt-Svc)"
	}
	if c := r.chosen(u); c != nil && c.overTCP {
		return inPlaceOf[u.Scheme], c.why
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
