package serve

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A pipeListener is a net.Listener of net.Pipe connections, for virtual time.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Net: "pipe", Name: "test"} }

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// get asks over c and returns the response with its body not read.
func get(t *testing.T, c net.Conn, path string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestServerOnSeveralListeners(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": "abc"})
	f.known(t, "a")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := NewServer(f, ServerOptions{})
		listeners := []*pipeListener{newPipeListener(), newPipeListener()}
		ended := make(chan error)
		go func() { ended <- s.Serve(ctx, listeners[0], listeners[1]) }()
		var conns []net.Conn
		for _, l := range listeners {
			c := l.dial()
			conns = append(conns, c)
			if body := readAll(t, get(t, c, "/a").Body); string(body) != "abc" {
				t.Errorf("body %q", body)
			}
		}
		synctest.Wait()
		if n := s.OpenConns(); n != 2 {
			t.Errorf("%d connections open", n)
		}
		start := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("idle connections kept the server for %v", d)
		}
		if n := s.OpenConns(); n != 0 {
			t.Errorf("%d connections open at the end", n)
		}
		for _, c := range conns {
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("client reads %v", err)
			}
		}
	})
}

// A response under way may go on for the shutdown timeout, and no longer.
func TestServerShutdown(t *testing.T) {
	for _, tt := range []struct {
		name   string
		finish bool // the response ends in time
	}{{"in time", true}, {"too long", false}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					wait := time.Hour
					if tt.finish {
						wait = 3 * time.Second
					}
					select {
					case <-time.After(wait):
						io.WriteString(w, "done")
					case <-r.Context().Done():
					}
				})
				ctx, cancel := context.WithCancel(t.Context())
				s := NewServer(handler, ServerOptions{ShutdownTimeout: 5 * time.Second})
				l := newPipeListener()
				ended := make(chan error)
				go func() { ended <- s.Serve(ctx, l) }()
				c := l.dial()
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				start := time.Now()
				cancel()
				got := make(chan error)
				go func() {
					resp, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err == nil {
						_, err = io.ReadAll(resp.Body)
					}
					got <- err
				}()
				err := <-got
				if (err == nil) != tt.finish {
					t.Errorf("client got %v", err)
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if d := time.Since(start); d > 6*time.Second {
					t.Errorf("took %v", d)
				}
				c.Close()
			})
		})
	}
}

type brokenListener struct{ *pipeListener }

var errBroken = errors.New("broken")

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }

// One listener that fails takes the others with it, and says which it was.
func TestServerListenerFails(t *testing.T) {
	s := NewServer(http.NotFoundHandler(), ServerOptions{})
	l := newPipeListener()
	err := s.Serve(t.Context(), l, brokenListener{newPipeListener()})
	if !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
	select {
	case <-l.closed:
	default:
		t.Error("the other listener is still open")
	}
}
