package udtpool

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/chunkget/chunkget/internal/handover"
)

// network is an in-memory network for one test: synchronous pipes, so that it
// works in virtual time.
type network struct {
	mu      sync.Mutex
	servers map[string]*handover.Listener
	dial    func(address string) error // called before a dial; an error fails it
	dialled []net.Conn                 // client ends, in order
}

func (n *network) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	server, hook := n.servers[address], n.dial
	n.mu.Unlock()
	if hook != nil {
		if err := hook(address); err != nil {
			return nil, err
		}
	}
	if server == nil {
		<-ctx.Done() // as with UDP: nobody answers
		return nil, ctx.Err()
	}
	near, far := net.Pipe()
	if err := server.Hand(ctx, far); err != nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	n.mu.Lock()
	n.dialled = append(n.dialled, near)
	n.mu.Unlock()
	return near, nil
}

func (n *network) setDialHook(f func(address string) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dial = f
}

// listener returns what accepts the connections that are dialled to address.
func (n *network) listener(address string) *handover.Listener {
	l := handover.Listen(new(net.UDPAddr))
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.servers == nil {
		n.servers = make(map[string]*handover.Listener)
	}
	n.servers[address] = l
	return l
}

// listen starts an HTTP server and returns the URL of its root.
func (n *network) listen(t *testing.T, address string, h http.Handler) *url.URL {
	t.Helper()
	l := n.listener(address)
	srv := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(l) })
	t.Cleanup(func() {
		srv.Close()
		wg.Wait()
	})
	return &url.URL{Scheme: "udt", Host: address, Path: "/"}
}

// listenRaw starts a server that speaks for itself, a goroutine per connection.
func (n *network) listenRaw(t *testing.T, address string, serve func(i int, c net.Conn)) *url.URL {
	t.Helper()
	l := n.listener(address)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				serve(i, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return &url.URL{Scheme: "udt", Host: address, Path: "/"}
}

// readRequest reads a request's header from a raw connection.
func readRequest(c net.Conn) error {
	var buf []byte
	b := make([]byte, 1)
	for {
		if _, err := c.Read(b); err != nil {
			return err
		}
		buf = append(buf, b[0])
		if n := len(buf); n >= 4 && string(buf[n-4:]) == "\r\n\r\n" {
			return nil
		}
	}
}

// bubble runs a test in virtual time with a network and a pool of its own.
func bubble(t *testing.T, cfg Config, f func(t *testing.T, n *network, p *Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		cfg.Dial = n.Dial
		p := New(cfg)
		defer func() {
			if err := p.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.hosts) != 0 {
				t.Errorf("%d hosts are left after Close", len(p.hosts))
			}
		}()
		f(t, n, p)
	})
}

// get does one GET and returns the body.
func get(ctx context.Context, p *Pool, u *url.URL) (string, error) {
	resp, err := open(ctx, p, u)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	return string(b), errors.Join(err, resp.Body.Close())
}

func open(ctx context.Context, p *Pool, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	return p.RoundTrip(req)
}

func mustGet(t *testing.T, p *Pool, u *url.URL) string {
	t.Helper()
	s, err := get(t.Context(), p, u)
	if err != nil {
		t.Fatalf("GET %s: %v", u, err)
	}
	return s
}
