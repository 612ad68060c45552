package udtpool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/udt"
)

func hello(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello "+r.URL.Path) }

func TestIdleConnectionIsReused(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *network, p *Pool) {
		u := n.listen(t, "a:9000", http.HandlerFunc(hello))
		for range 3 {
			if got := mustGet(t, p, u); got != "hello /" {
				t.Errorf("got %q", got)
			}
		}
		head, err := http.NewRequest(http.MethodHead, u.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.RoundTrip(head); err != nil {
			t.Fatal(err)
		}
		if got := mustGet(t, p, u); got != "hello /" {
			t.Errorf("after HEAD got %q", got)
		}
		if s := p.Stats(); s.Dials != 1 || s.Reuses != 4 || len(s.Conns) != 1 || !s.Conns[0].Idle || s.Conns[0].Requests != 5 {
			t.Errorf("stats = %+v, want one connection with five requests", s)
		}
	})
}

func TestDefaultPortAndUnknownScheme(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"udt://h/x", "udt://h:9000"},
		{"udt://h:1/x", "udt://h:1"},
		{"http://h/x", "http://h:80"},
		{"udt://[::1]/x", "udt://[::1]:9000"},
		{"https://h/x", ""},
		{"udts://h/x", ""},
		{"udt:///x", ""},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		key, err := keyOf(u)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s: got %v, want an error", tt.url, key)
			}
		} else if err != nil || key.String() != tt.want {
			t.Errorf("%s: got %v, %v, want %s", tt.url, key, err, tt.want)
		}
	}
}

func TestConnectionsAreKeyedBySchemeAndHost(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *network, p *Pool) {
		a := n.listen(t, "a:9000", http.HandlerFunc(hello))
		b := n.listen(t, "b:9000", http.HandlerFunc(hello))
		other := *a
		other.Scheme = "http"
		for _, u := range []*url.URL{a, b, &other, a, b, &other} {
			mustGet(t, p, u)
		}
		if s := p.Stats(); s.Dials != 3 {
			t.Errorf("%d dials, want 3", s.Dials)
		}
	})
}

// blocking is a handler whose requests wait for a token each.
type blocking struct {
	release chan struct{}
	started atomic.Int32
	active  atomic.Int32
	most    atomic.Int32
}

func newBlocking() *blocking { return &blocking{release: make(chan struct{})} }

func (b *blocking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.started.Add(1)
	if n := b.active.Add(1); n > b.most.Load() {
		b.most.Store(n)
	}
	defer b.active.Add(-1)
	select {
	case <-b.release:
	case <-r.Context().Done():
	}
	hello(w, r)
}

func TestRequestsBeyondTheLimitWaitInOrder(t *testing.T) {
	bubble(t, Config{Connections: 2}, func(t *testing.T, n *network, p *Pool) {
		h := newBlocking()
		u := n.listen(t, "a:9000", h)
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				if _, err := get(t.Context(), p, u); err != nil {
					t.Errorf("request %d: %v", i, err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
			synctest.Wait()
		}
		if s := p.Stats(); h.started.Load() != 2 || s.Waiting != 4 || len(s.Conns) != 2 {
			t.Fatalf("%d requests started, stats %+v; want 2 started, 4 waiting", h.started.Load(), s)
		}
		for range 6 {
			h.release <- struct{}{}
			synctest.Wait()
		}
		wg.Wait()
		// Two run at a time and which of these two ends first is open, so that an
		// element may be one place away from where strict order would put it.
		for pos, i := range order {
			if pos-i > 1 || i-pos > 1 {
				t.Errorf("order of completion %v, want first come first served", order)
				break
			}
		}
		if h.most.Load() != 2 || p.Stats().Dials != 2 {
			t.Errorf("%d requests at once over %d connections, want 2 and 2", h.most.Load(), p.Stats().Dials)
		}
	})
}

func TestMostRecentlyUsedIsTakenFirst(t *testing.T) {
	bubble(t, Config{Connections: 3}, func(t *testing.T, n *network, p *Pool) {
		u := n.listen(t, "a:9000", http.HandlerFunc(hello))
		p.Warm(t.Context(), u, 3)
		synctest.Wait()
		var used []net.Conn
		for range 4 {
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotConn: func(i httptrace.GotConnInfo) { used = append(used, i.Conn) },
			})
			if _, err := get(ctx, p, u); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range used[1:] {
			if c != used[0] {
				t.Fatal("sequential requests went over different connections")
			}
		}
	})
}

func TestWarmDialsAheadUpToTheLimit(t *testing.T) {
	bubble(t, Config{Connections: 4}, func(t *testing.T, n *network, p *Pool) {
		u := n.listen(t, "a:9000", http.HandlerFunc(hello))
		p.Warm(t.Context(), u, 3)
		synctest.Wait()
		if s := p.Stats(); len(s.Conns) != 3 {
			t.Errorf("%d connections, want 3", len(s.Conns))
		}
		p.Warm(t.Context(), u, 100)
		synctest.Wait()
		if s := p.Stats(); len(s.Conns) != 4 || s.Dials != 4 {
			t.Errorf("%d connections after %d dials, want 4", len(s.Conns), s.Dials)
		}
		mustGet(t, p, u)
		if s := p.Stats(); s.Dials != 4 {
			t.Errorf("the request dialled although connections were idle")
		}
	})
}

// A request that came while Warm held every place must not fail with Warm's
// context.
func TestEndOfWarmLeavesRequestsAlone(t *testing.T) {
	bubble(t, Config{Connections: 2}, func(t *testing.T, n *network, p *Pool) {
		u := &url.URL{Scheme: "udt", Host: "a:9000", Path: "/"}
		ctx, cancel := context.WithCancel(t.Context())
		p.Warm(ctx, u, 2) // nobody listens yet: hangs
		var wg sync.WaitGroup
		wg.Go(func() { mustGet(t, p, u) })
		synctest.Wait()
		n.listen(t, "a:9000", http.HandlerFunc(hello))
		cancel()
		wg.Wait()
	})
}

func TestIdleTimeout(t *testing.T) {
	bubble(t, Config{IdleTimeout: time.Minute}, func(t *testing.T, n *network, p *Pool) {
		u := n.listen(t, "a:9000", http.HandlerFunc(hello))
		mustGet(t, p, u)
		time.Sleep(59 * time.Second) // virtual
		mustGet(t, p, u)
		time.Sleep(59 * time.Second)
		if s := p.Stats(); s.Dials != 1 || len(s.Conns) != 1 {
			t.Fatalf("before the timeout: %+v", s)
		}
		time.Sleep(2 * time.Second)
		if s := p.Stats(); len(s.Conns) != 0 || s.Retired != 1 {
			t.Errorf("after the timeout: %+v", s)
		}
		mustGet(t, p, u)
	})
}

func TestServerClosesIdleConnections(t *testing.T) {
	bubble(t, Config{Connections: 4}, func(t *testing.T, n *network, p *Pool) {
		u := n.listen(t, "a:9000", http.HandlerFunc(hello))
		p.Warm(t.Context(), u, 4)
		synctest.Wait()
		n.mu.Lock()
		for _, c := range n.dialled {
			c.Close()
		}
		n.mu.Unlock()
		synctest.Wait()
		if s := p.Stats(); len(s.Conns) != 0 {
			t.Errorf("%d connections after all died", len(s.Conns))
		}
		mustGet(t, p, u)
	})
}

func TestServerAsksToClose(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *network, p *Pool) {
		u := n.listen(t, "a:9000", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			hello(w, r)
		}))
		mustGet(t, p, u)
		if s := p.Stats(); len(s.Conns) != 0 {
			t.Errorf("the connection is still in the pool")
		}
		mustGet(t, p, u)
		if s := p.Stats(); s.Retries != 0 {
			t.Errorf("%d retries, want none", s.Retries)
		}
	})
}

func TestDeadConnectionIsReplaced(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		body   string
		bad    int    // connections that fail
		answer string // what a failing connection sends first
		tries  int
		ok     bool
	}{
		{name: "get", method: "GET", bad: 2, tries: 3, ok: true},
		{name: "head", method: "HEAD", bad: 1, tries: 2, ok: true},
		{name: "gives up", method: "GET", bad: 100, tries: maxFreshTries},
		{name: "post", method: "POST", bad: 1, tries: 1},
		{name: "get with body", method: "GET", body: "x", bad: 1, tries: 1},
		{name: "after first byte", method: "GET", bad: 1, answer: "HTTP/1.1 2", tries: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, n *network, p *Pool) {
				var tries atomic.Int32
				u := n.listenRaw(t, "a:9000", func(i int, c net.Conn) {
					if readRequest(c) != nil {
						return
					}
					tries.Add(1)
					if i < tt.bad {
						io.WriteString(c, tt.answer)
						return
					}
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					readRequest(c)
				})
				var body io.Reader
				if tt.body != "" {
					body = strings.NewReader(tt.body)
				}
				req, err := http.NewRequestWithContext(t.Context(), tt.method, u.String(), body)
				if err != nil {
					t.Fatal(err)
				}
				_, err = p.RoundTrip(req)
				if (err == nil) != tt.ok {
					t.Errorf("err = %v, want success %v", err, tt.ok)
				}
				if int(tries.Load()) != tt.tries {
					t.Errorf("%d tries, want %d", tries.Load(), tt.tries)
				}
			})
		})
	}
}

// Eight idle connections that all died unnoticed must not use up the tries of
// one request.
func TestStaleConnectionsDoNotCount(t *testing.T) {
	bubble(t, Config{Connections: 8}, func(t *testing.T, n *network, p *Pool) {
		var fresh atomic.Bool
		u := n.listenRaw(t, "a:9000", func(i int, c net.Conn) {
			for k := 0; readRequest(c) == nil; k++ {
				if k > 0 && !fresh.Load() {
					return
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		})
		// Use all eight once.
		var open8 []*http.Response
		for range 8 {
			resp, err := open(t.Context(), p, u)
			if err != nil {
				t.Fatal(err)
			}
			open8 = append(open8, resp)
		}
		for _, resp := range open8 {
			io.Copy(io.Discard, resp.Body)
		}
		if got := mustGet(t, p, u); got != "ok" {
			t.Errorf("got %q", got)
		}
		if s := p.Stats(); s.Retries != 8 || s.Dials != 9 {
			t.Errorf("%d retries, %d dials, want 8 and 9", s.Retries, s.Dials)
		}
	})
}

func TestDialTimeoutSaysWhatWasTried(t *testing.T) {
	bubble(t, Config{DialTimeout: 10 * time.Second}, func(t *testing.T, n *network, p *Pool) {
		start := time.Now()
		_, err := get(t.Context(), p, &url.URL{Scheme: "udt", Host: "nobody:9000"})
		de, ok := errors.AsType[*DialError](err)
		if !ok {
			t.Fatalf("err = %v, want a DialError", err)
		}
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("failed after %v", got)
		}
		if want := "dial udt nobody:9000: no answer within 10s"; err.Error() != want || !de.Timeout() {
			t.Errorf("err = %q, timeout %v, want %q", err, de.Timeout(), want)
		}
	})
}

func TestDialFailureFailsEachWaiterOnce(t *testing.T) {
	bubble(t, Config{Connections: 4}, func(t *testing.T, n *network, p *Pool) {
		boom := errors.New("no route")
		n.setDialHook(func(string) error { return boom })
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := get(t.Context(), p, &url.URL{Scheme: "udt", Host: "a:9000"})
				if !errors.Is(err, boom) || !strings.Contains(err.Error(), "a:9000") {
					t.Errorf("err = %v", err)
				}
			})
		}
		wg.Wait()
	})
}

// A server that admits two connections serves eight workers over two.
func TestDialFailureIsNoFailureWhileOthersServe(t *testing.T) {
	bubble(t, Config{Connections: 8}, func(t *testing.T, n *network, p *Pool) {
		h := newBlocking()
		u := n.listen(t, "a:9000", h)
		var dials atomic.Int32
		n.setDialHook(func(string) error {
			if dials.Add(1) > 2 {
				return errors.New("refused")
			}
			return nil
		})
		p.Warm(t.Context(), u, 2)
		synctest.Wait()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { mustGet(t, p, u) })
		}
		for range 8 {
			time.Sleep(20 * time.Second) // virtual: time for many a repeated dial
			h.release <- struct{}{}
		}
		wg.Wait()
		if h.most.Load() != 2 {
			t.Errorf("%d requests at once, want 2", h.most.Load())
		}
		synctest.Wait()
		time.Sleep(2 * redialMax)
		if s := p.Stats(); s.Dialing != 0 {
			t.Errorf("%d dials still going on with nobody waiting", s.Dialing)
		}
		if s := p.Stats(); s.DialFailures > 300 {
			t.Errorf("%d dials in three minutes, want them paced", s.DialFailures)
		}
	})
}

func TestCancelWhileWaiting(t *testing.T) {
	bubble(t, Config{Connections: 1}, func(t *testing.T, n *network, p *Pool) {
		h := newBlocking()
		u := n.listen(t, "a:9000", h)
		var wg sync.WaitGroup
		wg.Go(func() { mustGet(t, p, u) })
		synctest.Wait()
		why := errors.New("changed my mind")
		ctx, cancel := context.WithCancelCause(t.Context())
		wg.Go(func() {
			if _, err := get(ctx, p, u); !errors.Is(err, why) {
				t.Errorf("err = %v, want the cause of the cancellation", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { mustGet(t, p, u) })
		synctest.Wait()
		cancel(why)
		synctest.Wait()
		if s := p.Stats(); s.Waiting != 1 {
			t.Errorf("%d waiting, want 1", s.Waiting)
		}
		h.release <- struct{}{}
		h.release <- struct{}{}
		wg.Wait()
		if s := p.Stats(); s.Dials != 1 {
			t.Errorf("%d dials, want 1", s.Dials)
		}
	})
}

func TestCancelInFlightFreesThePlace(t *testing.T) {
	bubble(t, Config{Connections: 1}, func(t *testing.T, n *network, p *Pool) {
		h := newBlocking()
		u := n.listen(t, "a:9000", h)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := get(ctx, p, u); !errors.Is(err, context.Canceled) {
				t.Errorf("err = %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		synctest.Wait() // the server has noticed too, and leaves the token alone
		wg.Go(func() { mustGet(t, p, u) })
		h.release <- struct{}{}
		wg.Wait()
	})
}

func TestCloseWithRequestsInFlight(t *testing.T) {
	bubble(t, Config{Connections: 2}, func(t *testing.T, n *network, p *Pool) {
		h := newBlocking()
		u := n.listen(t, "a:9000", h)
		endless := n.listen(t, "b:9000", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}))
		resp, err := open(t.Context(), p, endless)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 { // two run, two wait
			wg.Go(func() {
				if _, err := get(t.Context(), p, u); !errors.Is(err, net.ErrClosed) {
					t.Errorf("request: err = %v, want net.ErrClosed", err)
				}
			})
		}
		wg.Go(func() {
			if _, err := get(t.Context(), p, &url.URL{Scheme: "udt", Host: "nobody:1"}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("dial: err = %v, want net.ErrClosed", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		p.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v", d)
		}
		wg.Wait()
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Error("the body ended without an error")
		}
		resp.Body.Close()
		if _, err := get(t.Context(), p, u); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		p.Warm(t.Context(), u, 2)
	})
}

func TestBodyClosedEarlyRetiresTheConnection(t *testing.T) {
	bubble(t, Config{Connections: 1}, func(t *testing.T, n *network, p *Pool) {
		u := n.listen(t, "a:9000", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write(make([]byte, 1<<20))
		}))
		for range 3 {
			resp, err := open(t.Context(), p, u)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, resp.Body, 1000); err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if s := p.Stats(); len(s.Conns) != 0 {
				t.Fatal("the place is still taken after Close")
			}
			resp.Body.Close()
		}
		if s := p.Stats(); s.Dials != 3 || s.Retired != 3 {
			t.Errorf("stats %+v, want 3 connections, all retired", s)
		}
	})
}

// A caller that reads exactly the bytes announced has not read io.EOF from its
// own view, but the connection must go back.
func TestBodyReadToItsLengthFreesTheConnection(t *testing.T) {
	bubble(t, Config{Connections: 1}, func(t *testing.T, n *network, p *Pool) {
		u := n.listen(t, "a:9000", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make([]byte, 1<<20)))
		}))
		for range 3 {
			resp, err := open(t.Context(), p, u)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if s := p.Stats(); s.Dials != 1 {
			t.Errorf("%d dials, want 1", s.Dials)
		}
	})
}

// A caller that learns a connection through GotConn and closes it, as a
// downloader does with the source of a corrupt piece, gets another one next.
func TestCloseThroughGotConn(t *testing.T) {
	for _, when := range []string{"in flight", "idle"} {
		t.Run(when, func(t *testing.T) {
			bubble(t, Config{Connections: 1}, func(t *testing.T, n *network, p *Pool) {
				u := n.listen(t, "a:9000", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Write(make([]byte, 1<<20))
				}))
				var got []net.Conn
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					GotConn: func(i httptrace.GotConnInfo) { got = append(got, i.Conn) },
				})
				resp, err := open(ctx, p, u)
				if err != nil {
					t.Fatal(err)
				}
				n.mu.Lock()
				raw := n.dialled[0]
				n.mu.Unlock()
				if len(got) != 1 || got[0] != raw {
					t.Fatalf("GotConn got %v, want the very connection that Dial returned", got)
				}
				if when == "idle" {
					io.Copy(io.Discard, resp.Body)
				}
				got[0].Close()
				if when == "in flight" {
					if _, err := io.Copy(io.Discard, resp.Body); err == nil {
						t.Error("body complete over a closed connection")
					}
				}
				// At once, before the death can have been noticed.
				if _, err := get(ctx, p, u); err != nil {
					t.Fatal(err)
				}
				if last := got[len(got)-1]; last == raw {
					t.Error("the closed connection was used again")
				}
				if s := p.Stats(); len(s.Conns) != 1 || s.Dials != 2 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

// Many workers over real sockets, with connections that die at random, for the
// race detector.
func TestWorkersOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served atomic.Int64
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1)%7 == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Write(make([]byte, 100<<10))
	})}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(l) })
	defer wg.Wait()
	defer srv.Close()

	var d net.Dialer
	p := New(Config{Connections: 4, Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", address)
	}})
	u := &url.URL{Scheme: "udt", Host: l.Addr().String(), Path: "/"}
	p.Warm(t.Context(), u, 4)
	var workers sync.WaitGroup
	var failed atomic.Int64
	for w := range 8 {
		workers.Go(func() {
			for i := range 40 {
				var nc net.Conn
				ctx, cancel := context.WithCancel(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					GotConn: func(i httptrace.GotConnInfo) { nc = i.Conn },
				}))
				resp, err := open(ctx, p, u)
				if err != nil {
					// Three fresh connections in a row can be unlucky.
					failed.Add(1)
					cancel()
					continue
				}
				switch (w + i) % 5 {
				case 0:
					resp.Body.Close()
				case 1:
					cancel()
				case 2:
					nc.Close()
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				cancel()
			}
		})
	}
	workers.Wait()
	if failed.Load() > 20 {
		t.Errorf("%d of 320 requests failed", failed.Load())
	}
	if s := p.Stats(); len(s.Conns) > 4 || s.Waiting != 0 {
		t.Errorf("at the end: %+v", s)
	}
	p.Close()
	if s := p.Stats(); len(s.Conns) != 0 || s.Dialing != 0 {
		t.Errorf("after Close: %+v", s)
	}
}

func TestErrorNamesTheServer(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *network, p *Pool) {
		u := n.listenRaw(t, "a:9000", func(i int, c net.Conn) { readRequest(c) })
		_, err := get(t.Context(), p, u)
		want := fmt.Sprintf("request to udt://a:9000 failed on %d connections", maxFreshTries)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want it to contain %q", err, want)
		}
	})
}

func TestStatsOrder(t *testing.T) {
	bubble(t, Config{Connections: 2}, func(t *testing.T, n *network, p *Pool) {
		for _, a := range []string{"b:1", "a:1"} {
			p.Warm(t.Context(), n.listen(t, a, http.HandlerFunc(hello)), 1)
			synctest.Wait()
			time.Sleep(time.Second)
		}
		var hosts []string
		for _, c := range p.Stats().Conns {
			hosts = append(hosts, c.Host)
		}
		if want := []string{"udt://b:1", "udt://a:1"}; !slices.Equal(hosts, want) {
			t.Errorf("hosts %v, want %v", hosts, want)
		}
	})
}

// The default dial, end to end over UDT on the loopback interface.
func TestOverUDT(t *testing.T) {
	l, err := udt.Listen("udt", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})}
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(l) })
	defer serving.Wait()
	defer srv.Close()

	p := New(Config{Connections: 4})
	u := &url.URL{Scheme: "udt", Host: l.Addr().String(), Path: "/"}
	p.Warm(t.Context(), u, 4)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 3 {
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					GotConn: func(i httptrace.GotConnInfo) {
						if _, ok := i.Conn.(*udt.Conn); !ok {
							t.Errorf("GotConn got a %T, want a *udt.Conn", i.Conn)
						}
					},
				})
				got, err := get(ctx, p, u)
				if err != nil || got != string(data) {
					t.Errorf("worker %d: %d bytes, %v", i, len(got), err)
				}
			}
		})
	}
	wg.Wait()
	s := p.Stats()
	if s.Dials != 4 || len(s.Conns) != 4 || s.Retries != 0 {
		t.Errorf("stats %+v, want four connections", s)
	}
	ports := make(map[string]bool)
	for _, c := range s.Conns {
		_, port, err := net.SplitHostPort(c.Conn.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		ports[port] = true
	}
	if len(ports) != 1 {
		t.Errorf("connections from %d UDP ports, want one for all", len(ports))
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestUDTPortClosed(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0") // held, and silent
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	p := New(Config{DialTimeout: 300 * time.Millisecond})
	defer p.Close()
	_, err = get(t.Context(), p, &url.URL{Scheme: "udt", Host: pc.LocalAddr().String(), Path: "/"})
	de, ok := errors.AsType[*DialError](err)
	if !ok || !de.Timeout() || !strings.Contains(err.Error(), pc.LocalAddr().String()) || de.Elapsed < 300*time.Millisecond {
		t.Errorf("err = %v, want a timeout that names %v", err, pc.LocalAddr())
	}
}
