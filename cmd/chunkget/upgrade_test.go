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
		r := newRoutes(transportAuto, pool, nil, noRTT, new(trust), memory, func(string, ...any) {})
		r.offered(&url.URL{Scheme: "http", Host: "h"}, http.Header{"Alt-Svc": {`udt=":9000"`}})
		r.upgrading.Wait()
		r.close()
		if dialed == slow {
			t.Errorf("slower before: %v, but tried: %v", slow, dialed)
		}
	}
}

// TestNotCompared: what was measured to be no faster over TCP, or is not to be compared, goes
// over UDT as soon as it is there.
func TestNotCompared(t *testing.T) {
	for name, tt := range map[string]struct {
		mode   string
		paced  bool
		memory rememberedPath
		want   bool
	}{
		"new":            {mode: transportAuto},
		"slower before":  {mode: transportAuto, memory: rememberedPath{SlowTCP: time.Unix(1, 0)}, want: true},
		"UDT is wanted":  {mode: transportUDT, want: true},
		"paced by users": {mode: transportAuto, paced: true, want: true},
	} {
		r := testRoutes(t, tt.mode, noRTT)
		r.paced = tt.paced
		r.paths = &pathMemory{paths: map[string]rememberedPath{"h:9000": tt.memory}}
		u := &url.URL{Scheme: "http", Host: "h"}
		r.offered(u, http.Header{"Alt-Svc": {`udt=":9000"`}})
		c := r.contests[origin(u)]
		if got := c.decided && c.best == wayUDT; got != tt.want || c.measured(wayUDT) {
			t.Errorf("%s: goes over UDT without a contest: %v, want %v", name, got, tt.want)
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
	r := newRoutes(transportAuto, pool, nil, noRTT, new(trust), new(pathMemory), func(string, ...any) {})
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
