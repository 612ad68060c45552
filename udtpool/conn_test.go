package udtpool

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

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
