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

	"github.com/chunkget/chunkget/internal/handover"
)

// A pipeListener accepts connections in memory, for virtual time.
type pipeListener struct{ *handover.Listener }

func newPipeListener() pipeListener {
	return pipeListener{handover.Listen(&net.UnixAddr{Net: "pipe", Name: "test"})}
}

func (l pipeListener) dial(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	if err := l.Hand(t.Context(), server); err != nil {
		t.Fatal(err)
	}
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
		listeners := []pipeListener{newPipeListener(), newPipeListener()}
		ended := make(chan error)
		go func() { ended <- s.Serve(ctx, listeners[0], listeners[1]) }()
		var conns []net.Conn
		for _, l := range listeners {
			c := l.dial(t)
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
				c := l.dial(t)
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

type brokenListener struct{ pipeListener }

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
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the other listener is still open: %v", err)
	}
}
