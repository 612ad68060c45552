package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/pin"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
)

// A timedBody brings n bytes, what is read in each step of time.
type timedBody struct {
	n    int
	step time.Duration
}

func (b *timedBody) Read(p []byte) (int, error) {
	if b.n <= 0 {
		return 0, io.EOF
	}
	time.Sleep(b.step)
	n := min(len(p), b.n)
	b.n -= n
	return n, nil
}

func (*timedBody) Close() error { return nil }

// TestMeasuredWays: of two ways to a server the one is left that requests show to be
// slower, which is said, and remembered for the next time.
func TestMeasuredWays(t *testing.T) {
	const step = time.Millisecond // 7.8 MiB/s, since io.Discard reads 8 KiB
	for _, tt := range []struct {
		name     string
		mode     string
		limited  bool
		tcp, udt int // MiB
		tcpStep  time.Duration
		udtStep  time.Duration

		stays   bool // with UDT
		scheme  string
		why     string
		address string // that something is remembered of
		over    bool   // UDT
		slow    bool
	}{
		{name: "TCP is faster", tcp: 16, udt: 8, tcpStep: step, udtStep: 2 * step,
			scheme: "http", why: "a connection brings more than over UDT, which the server offers: 7.8 MiB/s against 3.9 MiB/s", address: "h:9000", slow: true},
		{name: "UDT is faster", tcp: 8, udt: 40, tcpStep: 2 * step, udtStep: step, stays: true,
			scheme: "udt", why: "the server offers it (Alt-Svc)", address: "h:9000", over: true},
		{name: "TCP is faster, as shows in the end", tcp: 8, udt: 16, tcpStep: step, udtStep: 2 * step,
			scheme: "udt", why: "the server offers it (Alt-Svc)", address: "h:9000", slow: true},
		{name: "about the same", tcp: 16, udt: 16, tcpStep: 20 * step, udtStep: 21 * step, stays: true,
			scheme: "udt", why: "the server offers it (Alt-Svc)"},
		{name: "too little to tell", tcp: 16, udt: 7, tcpStep: step, udtStep: 9 * step, stays: true,
			scheme: "http", why: "UDT, which the server offers, came late"},
		{name: "UDT is wanted", mode: transportUDT, tcp: 8, udt: 16, tcpStep: step, udtStep: 9 * step, stays: true,
			scheme: "udt", why: "the server offers it (Alt-Svc)"},
		{name: "limited by the user", limited: true, tcp: 8, udt: 16, tcpStep: step, udtStep: 9 * step, stays: true,
			scheme: "udt", why: "the server offers it (Alt-Svc)"},
		{name: "UDT was not used", tcp: 64, tcpStep: step, stays: true, scheme: "http", address: "h:9000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := udtpool.New(udtpool.Config{})
				defer pool.Close()
				r := newRoutes(tt.mode, pool, nil, new(trust), new(pathMemory), func(string, ...any) {})
				defer r.close()
				r.limited = tt.limited
				u := &url.URL{Scheme: "http", Host: "h", Path: "/x"}
				r.upgrades[origin(u)] = &upgrade{address: "h:9000", passage: new(passage), ready: true}
				for w, b := range map[way]*timedBody{wayTCP: {tt.tcp << 20, tt.tcpStep}, wayUDT: {tt.udt << 20, tt.udtStep}} {
					if n, err := io.Copy(io.Discard, r.measured(u, w, b)); err != nil || n%(1<<20) != 0 {
						t.Fatal(n, err)
					}
				}
				if p, ok := r.upgraded(u); ok != tt.stays || p == nil {
					t.Errorf("goes on over UDT: %v, want %v", ok, tt.stays)
				}
				if scheme, why := r.carried(&url.URL{Scheme: "http", Host: "h", Path: "/y"}); scheme != "http" || why != "" && tt.stays {
					t.Errorf("another file of the server was carried over %s: %q", scheme, why)
				}
				if scheme, why := r.carried(u); scheme != tt.scheme || why != tt.why {
					t.Errorf("carried over %s: %q, want %s: %q", scheme, why, tt.scheme, tt.why)
				}
				address, over, o := r.outcome(u)
				if address != tt.address || over != tt.over || o != (tcpOutcome{slowUDT: tt.slow}) {
					t.Errorf("outcome %q, %v, %+v", address, over, o)
				}
			})
		})
	}
}

// TestSlowerIsRemembered: what was measured to be slower is not tried again at once.
func TestSlowerIsRemembered(t *testing.T) {
	dialed := false
	pool := udtpool.New(udtpool.Config{Dial: func(context.Context, string, string) (net.Conn, error) {
		dialed = true
		return nil, errors.New("refused")
	}})
	defer pool.Close()
	for _, slow := range []bool{true, false} {
		memory := &pathMemory{paths: map[string]rememberedPath{}}
		if slow {
			memory.paths["h:9000"] = rememberedPath{SlowUDT: time.Now()}
		}
		r := newRoutes(transportAuto, pool, nil, new(trust), memory, func(string, ...any) {})
		r.offered(&url.URL{Scheme: "http", Host: "h"}, http.Header{"Alt-Svc": {`udt=":9000"`}})
		r.upgrading.Wait()
		r.close()
		if dialed == slow {
			t.Errorf("slower before: %v, but tried: %v", slow, dialed)
		}
	}
}

// TestStand: a server over UDT stands for one https:// server only, and for none if it
// may have been asked for other proofs.
func TestStand(t *testing.T) {
	const address, site = "h:9000", "https://h:443"
	key := pin.Pin{1}
	for _, tt := range []struct {
		name  string
		trust *trust
		other string // that it stands for already
		want  bool
	}{
		{name: "of a redirect", trust: new(trust), want: true},
		{name: "pinned", trust: &trust{pins: map[string]pin.Pin{site: key}}, want: true},
		{name: "again", trust: new(trust), other: site, want: true},
		{name: "for another", trust: &trust{pins: map[string]pin.Pin{site: key}}, other: "https://h:444"},
		{name: "of the command line", trust: &trust{pins: map[string]pin.Pin{site: key}, named: map[string]bool{"udts://" + address: true}}},
		{name: "with a pin of its own", trust: &trust{pins: map[string]pin.Pin{site: key, "udts://" + address: {2}}}},
	} {
		if tt.other != "" && !tt.trust.stand(address, tt.other) {
			t.Fatal(tt.name)
		}
		if got := tt.trust.stand(address, site); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		_, pinned := tt.trust.pins[site]
		if c := tt.trust.overUDT(address); tt.want && pinned != (c.VerifyConnection != nil) {
			t.Errorf("%s: connections are not checked by the pin", tt.name)
		}
	}
	// Connections that were made before would not be checked by it.
	pool := udtpool.New(udtpool.Config{})
	defer pool.Close()
	r := newRoutes(transportAuto, pool, nil, new(trust), new(pathMemory), func(string, ...any) {})
	defer r.close()
	r.races["udts://"+address] = new(race)
	if r.mayStand(address, site) {
		t.Error("a server that was used by its own name stands for another")
	}
}

// TestReach: TCP is tried as requests would go, and no longer than a connection may take.
func TestReach(t *testing.T) {
	newTransport := func(timeout time.Duration) *transports {
		return newTransports(1, timeout, udtpool.DefaultHeaderBytes, new(trust), udt.Ask{}, new(pathMemory), newUI(io.Discard, io.Discard), slog.New(slog.DiscardHandler), new(observation))
	}
	u := &url.URL{Scheme: "udt", Host: "inner.invalid:9000"}
	for status, want := range map[int]bool{200: true, 404: true, 407: false, 502: false, 503: false, 504: false} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.String() != "http://inner.invalid:9000/" {
				t.Errorf("the proxy was asked for %s", r.URL)
			}
			w.WriteHeader(status)
		}))
		rt := newTransport(time.Minute)
		at, err := url.Parse(proxy.URL)
		if err != nil {
			t.Fatal(err)
		}
		rt.tcp.Proxy = http.ProxyURL(at)
		rt.dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("around the proxy") }
		if err := rt.reach(t.Context(), u); (err == nil) != want {
			t.Errorf("status %d of the proxy: %v", status, err)
		}
		rt.Close()
		proxy.Close()
	}
	synctest.Test(t, func(t *testing.T) { // a server that takes the connection and says nothing
		rt := newTransport(3 * time.Second)
		defer rt.Close()
		rt.tcp.Proxy = nil
		var said bytes.Buffer
		rt.dial = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go io.Copy(&said, theirs)
			return ours, nil
		}
		begun := time.Now()
		err := rt.reach(t.Context(), &url.URL{Scheme: "udts", Host: "h:9000"})
		if took := time.Since(begun); took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "tls handshake") {
			t.Errorf("after %v: %v", took, err)
		}
	})
}
