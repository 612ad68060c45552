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

// routes decides for each server what its requests travel over. Both ways have the
// same port, and the same files. A udt:// server that does not answer over UDP is
// reached over TCP, and so is a udts:// server, with the same demands on TLS and on
// who it is; an http:// or https:// server that offers UDT, or that with TLS (Alt-Svc),
// is reached so as soon as it has answered there, and proved with TLS that it is the
// same server. Where both ways are open requests show which is better (contest.go), for
// udt:// and udts:// servers too if they have the same file over TCP. A proxy is not
// bypassed. Where UDT falls silent and TCP answers (silence.go), TCP is the way from then
// on; where no connection can be made any more, both ways are tried again. What was faster
// in earlier runs wins. There is no way from an encrypted URL to UDT or TCP that is not.
// A udt:// server that is told secrets is another matter (confide.go).
//
// The mutex guards the maps. Each record of race belongs to the request that makes
// it until done is closed, and does not change after that. upgrading waits for the
// goroutines that try UDT, watching for those that look after it; they end with ctx.
type routes struct {
	mode  string
	paced bool // by the user, so that no rate says anything of a way
	udt   *udtpool.Pool
	reach func(ctx context.Context, u *url.URL) error // whether the server of a URL can be reached over TCP
	rtt   func(*contest) time.Duration                // the shortest round trip seen, 0 if there is none
	trust *trust
	paths *pathMemory
	note  func(format string, args ...any)

	ctx       context.Context
	cancel    context.CancelFunc
	upgrading sync.WaitGroup
	watching  sync.WaitGroup

	mu       sync.Mutex
	races    map[string]*race    // by origin of udt:// and udts:// URLs
	doubted  map[string]bool     // of these, those whose choice has failed
	contests map[string]*contest // by origin of URLs
	confided map[string]bool     // udt:// origins that are told secrets
	vouched  map[string]bool     // of these, those that speak UDT by what their TCP port says
}

func newRoutes(mode string, pool *udtpool.Pool, reach func(context.Context, *url.URL) error, rtt func(*contest) time.Duration, trust *trust, paths *pathMemory, note func(string, ...any)) *routes {
	r := &routes{mode: cmp.Or(mode, transportAuto), udt: pool, reach: reach, rtt: rtt, trust: trust, paths: paths, note: note,
		races: make(map[string]*race), doubted: make(map[string]bool), contests: make(map[string]*contest),
		confided: make(map[string]bool), vouched: make(map[string]bool)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// close ends what is still being tried.
func (r *routes) close() {
	r.mu.Lock() // so that nothing begins after it
	r.cancel()
	r.mu.Unlock()
	r.upgrading.Wait()
	r.watching.Wait()
}

// carried tells what a download of u travelled over, as a scheme, and why, if that
// is not what the URL says or was chosen by what requests brought.
func (r *routes) carried(u *url.URL) (scheme, why string) {
	if c := r.chosen(u); c != nil && c.overTCP {
		return inPlaceOf[u.Scheme], c.why
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.contests[origin(u)]
	if c == nil {
		return u.Scheme, ""
	}
	w, why := c.told(u.Path)
	return schemeOver(u, w), why
}

// A course is what a download came over, and what that has shown of the server.
type course struct {
	address string // host:port over UDT, "" if the server speaks none
	way     way
	pure    bool // nearly all of it came over way, so its rate says something
	lesson  lesson
}

// course tells what a download of u came over.
func (r *routes) course(u *url.URL) course {
	home := homeOf(u)
	if home == wayUDT {
		if c := r.chosen(u); c != nil && c.overTCP {
			return course{hostPort(u), wayTCP, !c.fallen, lesson{noUDP: c.blocked}}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.contests[origin(u)]
	if c == nil {
		return course{address: udtAddress(u), way: home, pure: true}
	}
	// Where both had a good part of it the rate is that of neither.
	const most = 0.8
	tcp, udt := c.file(u.Path)
	to := course{address: c.address, way: home}
	switch all := most * float64(tcp+udt); {
	case tcp+udt == 0:
	case float64(udt) >= all:
		to.way, to.pure = wayUDT, true
	case float64(tcp) >= all:
		to.way, to.pure = wayTCP, true
	}
	to.lesson = lesson{noUDP: c.fallen, noTCP: c.absent, slowUDT: c.measured(wayTCP), slowTCP: c.measured(wayUDT)}
	return to
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
