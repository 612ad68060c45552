package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/simnet"
)

// TestConfide: the token for a udt:// server goes to its TCP port only where UDT does not
// get through, and only if the server there says that it speaks UDT.
func TestConfide(t *testing.T) {
	link := simnet.LinkConfig{Delay: 10 * time.Millisecond, Rate: 20e6, Queue: 1 << 18}
	fast := rememberedPath{SlowUDT: time.Unix(1, 0)}
	for _, tt := range []struct {
		name      string
		header    http.Header // with a token if it is nil
		mode      string
		memory    rememberedPath
		size      int  // MiB, 1 if it is 0
		blocked   bool // UDP, from the beginning
		cut       bool // UDP, after 3 s
		stranger  bool // at the TCP port
		elsewhere bool // what is at the TCP port has UDT, at another one

		asked, confided bool // over TCP
		fails           bool
	}{
		{name: "open", size: leastCompared >> 20},
		{name: "open, TCP faster before", memory: fast},
		{name: "open, no token", header: http.Header{"Accept": {"*/*"}}, size: leastCompared >> 20, asked: true},
		{name: "blocked", blocked: true, asked: true, confided: true},
		{name: "blocked, a stranger over TCP", blocked: true, stranger: true, asked: true, fails: true},
		{name: "blocked, over TCP one with UDT elsewhere", blocked: true, elsewhere: true, asked: true, fails: true},
		{name: "blocked, over TCP one with UDT elsewhere, no token", header: http.Header{}, blocked: true, elsewhere: true, asked: true},
		{name: "blocked, a stranger over TCP, no token", header: http.Header{}, blocked: true, stranger: true, asked: true},
		{name: "blocked, a stranger over TCP that is wanted", mode: transportTCP, blocked: true, stranger: true, asked: true, confided: true},
		{name: "cut", cut: true, size: 12, asked: true, confided: true},
		{name: "cut, over TCP one with UDT elsewhere", cut: true, size: 12, elsewhere: true, asked: true, fails: true},
		{name: "cut, a stranger over TCP", cut: true, size: 12, stranger: true, asked: true, fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inTwoWays(t, "udt", link, max(tt.size, 1)<<20, func(t *testing.T, w *twoWay) {
				header := tt.header
				if header == nil {
					header = http.Header{"Authorization": {"Bearer token"}}
				}
				if tt.mode != "" {
					w.rt.route.mode = tt.mode
				}
				w.rt.route.paths = &pathMemory{paths: map[string]rememberedPath{hostPort(w.u): tt.memory}}
				w.stranger.Store(tt.stranger)
				w.elsewhere.Store(tt.elsewhere)
				gone := simnet.LinkConfig{Loss: 1}
				if tt.blocked {
					w.net.SetLinks(w.client, w.server, gone)
				}
				if tt.cut {
					time.AfterFunc(3*time.Second, func() { w.net.SetLinks(w.client, w.server, gone) })
				}
				var out bytes.Buffer
				_, err := fetch.Get(t.Context(), fetch.Options{
					URL: w.u, Transport: w.rt, Connections: 8, Ramp: true, Writer: &out, Header: header, Logger: slog.New(slog.DiscardHandler),
					Retry: fetch.RetryPolicy{Tries: 2},
				})
				if (err != nil) != tt.fails || err == nil && !bytes.Equal(out.Bytes(), w.file) {
					t.Errorf("%d bytes of %d, %v", out.Len(), len(w.file), err)
				}
				if asked, confided := w.asked.Load() > 0, w.confided.Load() > 0; asked != tt.asked || confided != tt.confided {
					t.Errorf("asked %d times over TCP, with a token %d times", w.asked.Load(), w.confided.Load())
				}
			})
		})
	}
}

// doctor tells the TCP port of a udt:// server nothing of the URL and the user.
func TestDoctorConfides(t *testing.T) {
	var asked *http.Request
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r }))
	defer s.Close()
	host := s.Listener.Addr().String()
	for scheme, told := range map[string]bool{"udt": false, "http": true} {
		u := &url.URL{Scheme: scheme, Host: host, Path: "/x", RawQuery: "token=secret"}
		d := &destination{url: u, security: &security{auth: map[string]string{origin(u): "Bearer secret"}}, timeout: time.Minute, header: 1 << 20}
		if _, err := ask(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if told != (asked.Header.Get("Authorization") != "") || told != (asked.URL.Path == "/x") || told != (asked.URL.RawQuery != "") {
			t.Errorf("%s: asked for %v with %v", scheme, asked.URL, asked.Header)
		}
	}
}
