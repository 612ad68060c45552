package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/pin"
	"github.com/chunkget/chunkget/internal/tlsport"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
)

// countedListener counts what it accepts.
type countedListener struct {
	net.Listener
	accepted *atomic.Int64
}

func (l countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

// TestRival: a server of UDT is compared with TCP if it has the same file there and
// proves to be the same server. What is found to be no use is not asked again.
func TestRival(t *testing.T) {
	large := bytes.Repeat([]byte{1}, leastCompared)
	for _, tt := range []struct {
		name    string
		scheme  string
		mode    string
		paced   bool
		memory  rememberedPath
		size    int    // leastCompared if it is 0
		etag    string // over UDT
		proxied bool
		tcp     string // what is there: "same", "other file", "other key", "plain", "nothing"

		compared bool
		absent   bool
		conns    int64 // over TCP
		note     string
	}{
		{name: "plain", scheme: "udt", tcp: "same", compared: true, conns: 1},
		{name: "encrypted", scheme: "udts", tcp: "same", compared: true, conns: 1},
		{name: "another file", scheme: "udt", tcp: "other file", absent: true, conns: 1},
		{name: "nothing over TCP", scheme: "udt", tcp: "nothing", absent: true},
		{name: "another key", scheme: "udts", tcp: "other key", absent: true, conns: 1, note: "does not prove to be that of the same server"},
		{name: "out of encryption", scheme: "udts", tcp: "plain", absent: true, conns: 1},
		{name: "UDT is wanted", scheme: "udt", mode: transportUDT, tcp: "same"},
		{name: "paced", scheme: "udt", paced: true, tcp: "same"},
		{name: "a small file", scheme: "udt", size: leastCompared - 1, tcp: "same"},
		{name: "a weak ETag", scheme: "udt", etag: `W/"a"`, tcp: "same"},
		{name: "through a proxy", scheme: "udt", tcp: "same", proxied: true},
		{name: "nothing there before", scheme: "udt", memory: rememberedPath{NoTCP: time.Unix(1, 0)}, tcp: "same"},
		{name: "slower before", scheme: "udt", memory: rememberedPath{SlowTCP: time.Unix(1, 0)}, tcp: "same"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overTCP, overUDT, err := samePort(listenUDT)
			if err != nil {
				t.Fatal(err)
			}
			address := overTCP.Addr().String()
			if tt.tcp == "nothing" {
				overTCP.Close()
			}
			var accepted, asked atomic.Int64
			trusted := new(trust)
			var onTCP, onUDT net.Listener = countedListener{overTCP, &accepted}, overUDT
			if tt.scheme == "udts" {
				keys := testKeys(t)
				trusted.pins = map[string]pin.Pin{"udts://" + address: keys.Pin()}
				onUDT = tlsport.Wrap(onUDT, tlsport.Options{Source: keys, Require: true})
				if tt.tcp == "other key" {
					keys = testKeys(t)
				}
				if tt.tcp != "plain" {
					onTCP = tlsport.Wrap(onTCP, tlsport.Options{Source: keys, Require: true})
				}
			}
			etag := tt.etag
			if etag == "" {
				etag = `"a"`
			}
			size := tt.size
			if size == 0 {
				size = len(large)
			}
			var serving sync.WaitGroup
			serve := func(l net.Listener, etag string) *http.Server {
				s := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if l == onTCP {
						asked.Add(1)
					}
					w.Header().Set("Etag", etag)
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(large[:size]))
				})}
				serving.Go(func() { s.Serve(l) })
				return s
			}
			defer serving.Wait()
			defer serve(onUDT, etag).Close()
			if tt.tcp == "other file" {
				etag = `"b"`
			}
			defer serve(onTCP, etag).Close()

			paths := &pathMemory{paths: map[string]rememberedPath{address: tt.memory}}
			rt := newTransports(2, 5*time.Second, udtpool.DefaultHeaderBytes, trusted, udt.Ask{}, paths, newUI(io.Discard, io.Discard), slog.New(slog.DiscardHandler), new(observation))
			defer rt.Close()
			rt.tcp.Proxy = nil
			if tt.proxied {
				rt.tcp.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: address})
			}
			if tt.mode != "" {
				rt.route.mode = tt.mode
			}
			rt.route.paced = tt.paced
			var told []string
			rt.route.note = func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
			u := &url.URL{Scheme: tt.scheme, Host: address, Path: "/x"}
			for range 2 {
				req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, u.String(), nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Range", "bytes=0-9")
				resp, err := rt.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(resp.Body); len(b) != 10 || err != nil {
					t.Fatalf("%d bytes, %v", len(b), err)
				}
				resp.Body.Close()
				rt.route.upgrading.Wait()
			}
			c := rt.route.contests[origin(u)]
			if compared := c != nil && c.ready; compared != tt.compared {
				t.Errorf("compared: %v", compared)
			}
			if l := rt.route.course(u).lesson; l != (lesson{noTCP: tt.absent}) {
				t.Errorf("learnt %+v", l)
			}
			if n := accepted.Load(); n != tt.conns {
				t.Errorf("%d connections over TCP", n)
			}
			if n := asked.Load(); n > 0 && (tt.tcp == "plain" || tt.tcp == "other key") {
				t.Errorf("%d requests reached a server that is not the same", n)
			}
			if text := strings.Join(told, "; "); tt.note == "" && text != "" || !strings.Contains(text, tt.note) {
				t.Errorf("told %q", text)
			}
		})
	}
}
