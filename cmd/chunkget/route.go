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
// same server, unless requests show that way to be slower. A proxy is not bypassed. Where
// UDT falls silent and TCP answers, TCP is the way from then on; where no connection can
// be made any more, both ways are tried again. What was faster in earlier runs wins.
// There is no way from an encrypted URL to UDT or TCP that is not.
//
// The mutex guards the maps. Each record of race belongs to the request that makes
// it until done is closed, and does not change after that. upgrading waits for the
// goroutines that try UDT, watching for those that look after it; they end with ctx.
type routes struct {
	mode    string
	limited bool // in rate by the user, so that none says anything of a way
	udt     *udtpool.Pool
	reach   func(ctx context.Context, u *url.URL) error // whether the server of a URL can be reached over TCP
	trust   *trust
	paths   *pathMemory
	note    func(format string, args ...any)

	ctx       context.Context
	cancel    context.CancelFunc
	upgrading sync.WaitGroup
	watching  sync.WaitGroup

	mu       sync.Mutex
	races    map[string]*race    // by origin of udt:// and udts:// URLs
	upgrades map[string]*upgrade // by origin of http:// and https:// URLs
}

func newRoutes(mode string, pool *udtpool.Pool, reach func(context.Context, *url.URL) error, trust *trust, paths *pathMemory, note func(string, ...any)) *routes {
	r := &routes{mode: cmp.Or(mode, transportAuto), udt: pool, reach: reach, trust: trust, paths: paths, note: note,
		races: make(map[string]*race), upgrades: make(map[string]*upgrade)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// close ends what is still being tried.
func (r *routes) close() {
	r.cancel()
	r.upgrading.Wait()
	r.watching.Wait()
}

// carried tells what a download of u travelled over, as a scheme, and why, if that
// is not what the URL says.
func (r *routes) carried(u *url.URL) (scheme, why string) {
	if scheme, why := r.moved(u); why != "" {
		return scheme, why
	}
	if c := r.chosen(u); c != nil && c.overTCP {
		return inPlaceOf[u.Scheme], c.why
	}
	return u.Scheme, ""
}

// outcome tells what a download of u came over, of a server that speaks UDT at address,
// which is "" for others. What it says of TCP lacks the rate.
func (r *routes) outcome(u *url.URL) (address string, overUDT bool, o tcpOutcome) {
	if address = udtAddress(u); address != "" {
		c := r.chosen(u)
		if c == nil || !c.overTCP {
			return address, true, o
		}
		return address, false, tcpOutcome{noUDP: c.blocked}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	up := r.upgrades[origin(u)]
	if up == nil {
		return "", false, o
	}
	// Where both had a good part of it the rate is that of neither.
	const most = 0.8
	tcp, udt := up.file(u)
	switch all := most * float64(tcp+udt); {
	case float64(udt) >= all:
		return up.address, true, o
	case float64(tcp) >= all || up.slower:
		return up.address, false, tcpOutcome{slowUDT: up.slower}
	}
	return "", false, o
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
