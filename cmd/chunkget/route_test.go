package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/pin"
	"github.com/chunkget/chunkget/internal/tlsport"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
)

// TestChoose plays what the two ways to a server may do, in virtual time.
func TestChoose(t *testing.T) {
	never, refused := time.Duration(-1), errors.New("refused")
	for _, tt := range []struct {
		name     string
		mode     string
		memory   rememberedPath
		udt, tcp time.Duration // until there is an answer; never = none
		udtErr   error
		tcpErr   error

		overTCP bool
		why     string
		took    time.Duration
		fails   bool
	}{
		{name: "UDT answers", udt: 100 * time.Millisecond, took: 100 * time.Millisecond},
		{name: "UDT answers late, TCP at the same time", udt: 1100 * time.Millisecond, tcp: 200 * time.Millisecond, took: 1100 * time.Millisecond},
		{name: "UDT is silent", udt: never, tcp: 50 * time.Millisecond, overTCP: true, why: "no answer over UDP", took: 1050 * time.Millisecond},
		{name: "UDT is refused", udt: 10 * time.Millisecond, udtErr: refused, tcp: 50 * time.Millisecond, overTCP: true, why: "no answer over UDP", took: 60 * time.Millisecond},
		{name: "another key over UDT", udt: 10 * time.Millisecond, udtErr: new(pin.MismatchError), tcp: time.Millisecond, took: 10 * time.Millisecond, fails: true},
		{name: "TCP is refused, UDT slow", udt: 3 * time.Second, tcp: time.Millisecond, tcpErr: refused, took: 3 * time.Second},
		{name: "neither", udt: never, tcp: time.Millisecond, tcpErr: refused, took: 10 * time.Second, fails: true},
		{name: "silent before", memory: rememberedPath{NoUDP: time.Unix(1, 0)}, udt: never, tcp: 50 * time.Millisecond, overTCP: true, why: "no answer over UDP", took: 250 * time.Millisecond},
		{name: "a short way", memory: rememberedPath{Rate: 1e6, MinRTT: 100}, udt: never, tcp: 50 * time.Millisecond, overTCP: true, why: "no answer over UDP", took: 450 * time.Millisecond},
		{name: "TCP was faster", memory: rememberedPath{Rate: 8e6, MinRTT: 100, Long: true, TCPRate: 16e6}, overTCP: true, why: "it was faster before: 1.9 MiB/s against 976.6 KiB/s over UDT"},
		{name: "TCP has brought more", memory: rememberedPath{SlowUDT: time.Unix(1, 0)}, overTCP: true, why: "it brought more than UDT before"},
		{name: "TCP was not much faster", memory: rememberedPath{Rate: 8e6, MinRTT: 100, Long: true, TCPRate: 8.5e6}},
		{name: "TCP is wanted", mode: transportTCP, overTCP: true, why: "as asked"},
		{name: "UDT is wanted", mode: transportUDT, memory: rememberedPath{Rate: 8e6, MinRTT: 100, Long: true, TCPRate: 16e6}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := func(after time.Duration, err error) func(context.Context, string, string) (net.Conn, error) {
					return func(ctx context.Context, _, _ string) (net.Conn, error) {
						var timer <-chan time.Time
						if after >= 0 {
							timer = time.After(after)
						}
						select {
						case <-timer:
						case <-ctx.Done():
							return nil, ctx.Err()
						}
						if err != nil {
							return nil, err
						}
						c, _ := net.Pipe()
						return c, nil
					}
				}
				pool := udtpool.New(udtpool.Config{Dial: answer(tt.udt, tt.udtErr)})
				defer pool.Close()
				paths := &pathMemory{paths: map[string]rememberedPath{"h:9000": tt.memory}}
				reach := func(ctx context.Context, _ *url.URL) error {
					_, err := answer(tt.tcp, tt.tcpErr)(ctx, "", "")
					return err
				}
				r := newRoutes(tt.mode, pool, reach, noRTT, new(trust), paths, func(string, ...any) {})
				defer r.close()
				begun := time.Now()
				c, err := r.choose(t.Context(), &url.URL{Scheme: "udt", Host: "h:9000"})
				if took := time.Since(begun); took != tt.took || (err != nil) != tt.fails {
					t.Fatalf("after %v, want %v: %v", took, tt.took, err)
				}
				if err == nil && (c.overTCP != tt.overTCP || c.why != tt.why) {
					t.Errorf("over TCP %v, because %q, want %v, %q", c.overTCP, c.why, tt.overTCP, tt.why)
				}
			})
		})
	}
}

func noRTT(*contest) time.Duration { return 0 }

// testKeys makes a key pair for a server.
func testKeys(t *testing.T) *tlsport.Source {
	t.Helper()
	files, err := tlsport.SelfSigned(t.TempDir(), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	source, err := tlsport.Open(files, slog.New(slog.DiscardHandler), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// An http:// server that offers UDT is reached over it from the next request on, and
// over TCP again when that fails; an https:// server over UDT with TLS, if it proves
// there to be the same.
func TestUpgrade(t *testing.T) {
	for _, tt := range []struct {
		name       string
		scheme     string
		offer      string // the protocol of Alt-Svc
		other      bool   // the server over UDT has another key
		proxy      bool
		over, note string
	}{
		{name: "plain", scheme: "http", offer: "udt", over: "udt"},
		{name: "encrypted", scheme: "https", offer: "udts", over: "udts"},
		{name: "out of encryption", scheme: "https", offer: "udt"},
		{name: "into encryption", scheme: "http", offer: "udts"},
		{name: "another key", scheme: "https", offer: "udts", other: true, note: "does not prove to be the same server"},
		{name: "through a proxy", scheme: "http", offer: "udt", proxy: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overTCP, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			overUDT, err := udt.Listen("udt", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var plainTCP, plainUDT net.Listener = overTCP, overUDT
			trusted := new(trust)
			host := overTCP.Addr().String()
			if tt.scheme == "https" {
				keys := testKeys(t)
				trusted.pins = map[string]pin.Pin{"https://" + host: keys.Pin()}
				plainTCP = tlsport.Wrap(overTCP, tlsport.Options{Source: keys, Require: true})
				if tt.other {
					keys = testKeys(t)
				}
				plainUDT = tlsport.Wrap(overUDT, tlsport.Options{Source: keys, Require: true})
			}
			var serving sync.WaitGroup
			serve := func(name string, l net.Listener) *http.Server {
				s := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, port, _ := net.SplitHostPort(overUDT.Addr().String())
					w.Header().Set("Alt-Svc", tt.offer+`=":`+port+`"`)
					io.WriteString(w, name+" "+r.Host)
				})}
				serving.Go(func() { s.Serve(l) })
				return s
			}
			tcpServer, udtServer := serve("tcp", plainTCP), serve("udt", plainUDT)
			defer serving.Wait()
			defer tcpServer.Close()
			defer udtServer.Close()
			rt := newTransports(2, time.Second, udtpool.DefaultHeaderBytes, trusted, udt.Ask{}, new(pathMemory), newUI(io.Discard, io.Discard), slog.New(slog.DiscardHandler), new(observation))
			defer rt.Close()
			var told []string
			rt.route.note = func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
			rt.route.paced = true // so that nothing is compared
			asked := host
			rt.tcp.Proxy = nil
			if tt.proxy { // which answers itself
				rt.tcp.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: host})
				asked = "127.0.0.1:1"
			}
			get := func() (string, error) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.scheme+"://"+asked+"/", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := rt.RoundTrip(req)
				if err != nil {
					return "", err
				}
				defer resp.Body.Close()
				if resp.Request != req {
					t.Error("the answer is of another request")
				}
				b, err := io.ReadAll(resp.Body)
				return string(b), err
			}
			if got, err := get(); got != "tcp "+asked || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			rt.route.upgrading.Wait()
			scheme, why := rt.route.carried(&url.URL{Scheme: tt.scheme, Host: asked, Path: "/"})
			if scheme != tt.scheme || why != "" {
				t.Errorf("at first carried over %s: %s", scheme, why)
			}
			want := "tcp "
			if tt.over != "" {
				want = "udt "
			}
			if got, err := get(); got != want+asked || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			if text := strings.Join(told, "; "); tt.note == "" && text != "" || !strings.Contains(text, tt.note) {
				t.Errorf("told %q, want %q", text, tt.note)
			}
			scheme, why = rt.route.carried(&url.URL{Scheme: tt.scheme, Host: asked, Path: "/"})
			if scheme != cmp.Or(tt.over, tt.scheme) || strings.Contains(why, "Alt-Svc") != (tt.over != "") {
				t.Errorf("carried over %s: %s", scheme, why)
			}
			udtServer.Close()
			for range 3 {
				if _, err = get(); err != nil {
					break // the request over UDT fails, for the caller to make again
				}
			}
			if got, err := get(); got != "tcp "+asked || err != nil {
				t.Errorf("after UDT has failed: %q, %v", got, err)
			}
		})
	}
}

// A server that answers over UDT no more is reached over TCP from then on, and the
// other way round.
func TestReconsider(t *testing.T) {
	overTCP, overUDT, err := samePort(listenUDT)
	if err != nil {
		t.Fatal(err)
	}
	host := overTCP.Addr().String()
	udtServer, tcpServer := serveName("udt", overUDT), serveName("tcp", overTCP)
	defer tcpServer.Close()
	var told []string
	rt := newTransports(2, time.Second, udtpool.DefaultHeaderBytes, new(trust), udt.Ask{}, new(pathMemory), newUI(io.Discard, io.Discard), slog.New(slog.DiscardHandler), new(observation))
	defer rt.Close()
	rt.route.note = func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	u := &url.URL{Scheme: "udt", Host: host, Path: "/"}
	// get makes a request up to 3 times, as fetch does, since one that fails may be the
	// first to show that connections are gone.
	get := func(want string) {
		t.Helper()
		var err error
		for range 3 {
			var req *http.Request
			if req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil); err != nil {
				t.Fatal(err)
			}
			var resp *http.Response
			if resp, err = rt.RoundTrip(req); err != nil {
				continue
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); string(b) != want || err != nil {
				t.Fatalf("%q, %v, want %q", b, err, want)
			}
			return
		}
		t.Fatal(err)
	}
	get("udt")
	udtServer.Close()
	get("tcp")
	if scheme, why := rt.route.carried(u); scheme != "http" || why != "no answer over UDP" || len(told) != 1 {
		t.Errorf("carried over %s: %s; told %q", scheme, why, told)
	}
	// Who has the port now, another program's connection for one, gives it back.
	overUDT, err = listenUDT(host)
	for tick := time.Tick(10 * time.Millisecond); errors.Is(err, syscall.EADDRINUSE); <-tick {
		overUDT, err = listenUDT(host)
	}
	if err != nil {
		t.Fatal(err)
	}
	udtServer = serveName("udt", overUDT)
	defer udtServer.Close()
	tcpServer.Close()
	get("udt")
}

// A choice that was remembered and is none any more does not stand in the way of the other.
func TestRecalledChoice(t *testing.T) {
	l, err := udt.Listen("udt", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer serveName("udt", l).Close()
	host := l.Addr().String()
	paths := &pathMemory{paths: map[string]rememberedPath{host: {SlowUDT: time.Unix(1, 0)}}}
	rt := newTransports(2, time.Second, udtpool.DefaultHeaderBytes, new(trust), udt.Ask{}, paths, newUI(io.Discard, io.Discard), slog.New(slog.DiscardHandler), new(observation))
	defer rt.Close()
	for try, want := range []bool{false, true} { // TCP is refused, then UDT takes its place
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "udt://"+host+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rt.RoundTrip(req)
		if (err == nil) != want {
			t.Fatalf("try %d: %v", try, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}

// serveName serves a name to all requests.
func serveName(name string, l net.Listener) *http.Server {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) })}
	go s.Serve(l)
	return s
}
