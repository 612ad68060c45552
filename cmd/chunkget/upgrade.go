package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// upgradedTo is what URLs of TCP are fetched as over UDT.
var upgradedTo = map[string]string{"http": "udt", "https": "udts"}

// A way is what a request travels over.
type way int

const (
	wayTCP way = iota
	wayUDT
)

const (
	// leastMeasured is how much requests over either way must have brought before
	// they are compared, in bytes.
	leastMeasured = 8 << 20

	// measureStep is after how many bytes a request that goes on is counted.
	measureStep = 1 << 20
)

// upgrade is what has become of an offer of UDT. All but address is guarded by
// routes.mu.
type upgrade struct {
	address string   // host:port over UDT
	passage *passage // that way, nil before it is ready
	ready   bool     // connected, and not failed since
	slower  bool     // than TCP, as requests have shown

	brought [2]struct { // by way
		bytes int64
		time  time.Duration // that requests took for them, one by one
	}
	files map[string]*[2]int64 // by path, what came of each by either way, in bytes
}

// file returns what came of the file at u by either way.
func (up *upgrade) file(u *url.URL) (tcp, udt int64) {
	if f := up.files[u.Path]; f != nil {
		return f[wayTCP], f[wayUDT]
	}
	return 0, 0
}

// count takes note of what a request for the file at u has brought.
func (up *upgrade) count(u *url.URL, w way, bytes int64, t time.Duration) {
	up.brought[w].bytes += bytes
	up.brought[w].time += t
	f := up.files[u.Path]
	if f == nil {
		f = new([2]int64)
		if up.files == nil {
			up.files = make(map[string]*[2]int64)
		}
		up.files[u.Path] = f
	}
	f[w] += bytes
}

// rate returns what one request over w brings, in bytes per second.
func (up *upgrade) rate(w way) float64 {
	b := up.brought[w]
	return float64(b.bytes) / max(b.time.Seconds(), 1e-9)
}

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
	if m := r.paths.entry(address); r.mode == transportAuto && (m.fasterOverTCP() || !m.SlowUDT.IsZero()) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := origin(u)
	if r.upgrades[key] != nil || r.ctx.Err() != nil || scheme == "udts" && !r.mayStand(address, key) {
		return
	}
	up := &upgrade{address: address}
	r.upgrades[key] = up
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
		up.passage = r.open(&url.URL{Scheme: u.Scheme, Host: u.Host}, &url.URL{Scheme: scheme, Host: address},
			func() bool { return up.ready && !up.slower }, func() { up.ready = false })
	})
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

// upgraded returns the way over UDT for requests to u, if there is one and it is not
// slower than TCP.
func (r *routes) upgraded(u *url.URL) (p *passage, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	up := r.upgrades[origin(u)]
	if up == nil || !up.ready {
		return nil, false
	}
	if r.mode == transportAuto && !r.limited && min(up.brought[wayTCP].bytes, up.brought[wayUDT].bytes) >= leastMeasured && up.rate(wayTCP) > clearlyFaster*up.rate(wayUDT) {
		up.slower = true
	}
	return up.passage, !up.slower
}

// downgrade goes back to TCP for good, because UDT has failed.
func (r *routes) downgrade(u *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if up := r.upgrades[origin(u)]; up != nil {
		up.ready = false
	}
}

// moved tells over what most of a download of u came, as a scheme, and why. Without an
// upgrade that was used it says nothing.
func (r *routes) moved(u *url.URL) (scheme, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	up := r.upgrades[origin(u)]
	if up == nil {
		return "", ""
	}
	tcp, udt := up.file(u)
	if udt == 0 && !up.slower {
		return "", ""
	}
	scheme, why = upgradedTo[u.Scheme], "the server offers it (Alt-Svc)"
	if udt == 0 || udt < tcp {
		scheme, why = u.Scheme, "UDT, which the server offers, came late"
		switch {
		case up.slower:
			why = fmt.Sprintf("a connection brings more than over UDT, which the server offers: %s against %s",
				formatRate(up.rate(wayTCP)), formatRate(up.rate(wayUDT)))
		case !up.ready:
			why = "UDT, which the server offers, has failed"
		}
	}
	return scheme, why
}

// measured returns body such that what it brings is counted for the server of u, if
// that offers UDT.
func (r *routes) measured(u *url.URL, w way, body io.ReadCloser) io.ReadCloser {
	r.mu.Lock()
	up := r.upgrades[origin(u)]
	r.mu.Unlock()
	if up == nil {
		return body
	}
	return &measuredBody{ReadCloser: body, since: time.Now(), count: func(bytes int64, t time.Duration) {
		r.mu.Lock()
		defer r.mu.Unlock()
		up.count(u, w, bytes, t)
	}}
}

// A measuredBody tells how much it brings and how long that takes, a step at a time.
type measuredBody struct {
	io.ReadCloser
	count func(bytes int64, t time.Duration)
	bytes int64     // not counted yet
	since time.Time // when they began
}

func (b *measuredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.bytes += int64(n); b.bytes >= measureStep || err != nil && b.bytes > 0 {
		now := time.Now()
		b.count(b.bytes, now.Sub(b.since))
		b.bytes, b.since = 0, now
	}
	return n, err
}
