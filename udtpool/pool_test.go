package udtpool

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
		{"udts://h/x", "udts://h:9000"},
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

// TestProbe: whether a server answers is found out beside the connections of the pool.
func TestProbe(t *testing.T) {
	bubble(t, Config{Connections: 1, DialTimeout: time.Second}, func(t *testing.T, n *network, p *Pool) {
		u := n.listen(t, "a:9000", http.HandlerFunc(hello))
		mustGet(t, p, u)
		if err := p.Probe(t.Context(), u); err != nil {
			t.Error(err)
		}
		if s := p.Stats(); s.Dials != 1 || len(s.Conns) != 1 {
			t.Errorf("stats %+v", s)
		}
		begun := time.Now()
		if err := p.Probe(t.Context(), &url.URL{Scheme: "udt", Host: "nobody:9000"}); err == nil || time.Since(begun) != time.Second {
			t.Errorf("nobody has answered after %v: %v", time.Since(begun), err)
		}
	})
}

func TestConnect(t *testing.T) {
	bubble(t, Config{Connections: 2, DialTimeout: time.Second}, func(t *testing.T, n *network, p *Pool) {
		u := n.listen(t, "a:9000", http.HandlerFunc(hello))
		for range 2 {
			if err := p.Connect(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		if s := p.Stats(); s.Dials != 1 || len(s.Conns) != 1 || s.Conns[0].Requests != 0 || !s.Conns[0].Idle {
			t.Errorf("stats %+v", s)
		}
		mustGet(t, p, u)
		if s := p.Stats(); s.Dials != 1 {
			t.Errorf("%d dials for one request", s.Dials)
		}
		n.setDialHook(func(string) error { return errors.New("no route") })
		if err := p.Connect(t.Context(), &url.URL{Scheme: "udt", Host: "b:9000"}); err == nil {
			t.Error("connected to nobody")
		}
	})
}
