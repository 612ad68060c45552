package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An addrConn is a connection from a given address.
type addrConn struct {
	net.Conn
	remote net.Addr
}

func (c addrConn) RemoteAddr() net.Addr { return c.remote }

// dialFrom connects from address, IP and port.
func (l pipeListener) dialFrom(t *testing.T, address string) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	if err := l.Hand(t.Context(), addrConn{server, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}); err != nil {
		t.Fatal(err)
	}
	return client
}

// guarded runs test against a server of h on a guarded listener, in virtual time.
func guarded(t *testing.T, h http.Handler, limits Limits, test func(t *testing.T, s *Server, l pipeListener)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := NewServer(h, ServerOptions{Limits: limits})
		l := newPipeListener()
		ended := make(chan error)
		go func() { ended <- s.Serve(ctx, s.Guard(l)) }()
		defer func() { // also after a failure: the bubble waits for every goroutine
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if open := s.gate.open + len(s.gate.byAddr); open != 0 {
				t.Errorf("%d connections are still counted", open)
			}
		}()
		test(t, s, l)
	})
}

// isOpen reports whether the server has not closed c.
func isOpen(c net.Conn) bool {
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestConnectionLimits(t *testing.T) {
	guarded(t, http.NotFoundHandler(), Limits{Conns: 5, ConnsPerAddr: 2}, func(t *testing.T, s *Server, l pipeListener) {
		var conns []net.Conn
		for i, tt := range []struct {
			from string
			open bool
		}{
			{"192.0.2.1:1", true}, {"192.0.2.1:2", true}, {"192.0.2.1:3", false},
			{"[::ffff:192.0.2.1]:4", false}, // the same address on another kind of socket
			{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true},
			{"[2001:db8::3]:1", false}, // of the same /64
			{"192.0.2.2:1", true},
			{"192.0.2.3:1", false}, // the sixth
		} {
			c := l.dialFrom(t, tt.from)
			defer c.Close()
			conns = append(conns, c)
			if isOpen(c) != tt.open {
				t.Errorf("connection %d, from %s: open is not %v", i, tt.from, tt.open)
			}
		}
		if n := s.LimitStats().ConnsRefused; n != 4 || s.OpenConns() != 5 {
			t.Errorf("%d refused, %d open", n, s.OpenConns())
		}
		conns[0].Close()
		synctest.Wait()
		again := l.dialFrom(t, "192.0.2.1:5")
		defer again.Close()
		if !isOpen(again) {
			t.Error("a place that became free is not given away")
		}
	})
	guarded(t, http.NotFoundHandler(), Limits{Conns: -1, ConnsPerAddr: -1}, func(t *testing.T, s *Server, l pipeListener) {
		for range 2 * DefaultConns {
			defer l.dialFrom(t, "192.0.2.1:1").Close()
		}
		synctest.Wait()
		if n := s.OpenConns(); n != 2*DefaultConns {
			t.Errorf("%d connections open without a limit", n)
		}
	})
}

// Who sends no request, or accepts no response, does not keep a connection. Who
// does so at the least rate may.
func TestSlowClients(t *testing.T) {
	const size = 3 << 20
	limits := Limits{MinRate: 10_000, MinRateTime: 30 * time.Second}
	f := serveFolder(t, Options{}, map[string]string{"a": testBytes(size)})
	f.known(t, "a")
	guarded(t, f, limits, func(t *testing.T, s *Server, l pipeListener) {
		silent := l.dial(t)
		defer silent.Close()
		start := time.Now()
		if _, err := silent.Read(make([]byte, 1)); err == nil || time.Since(start) > 2*DefaultHeaderTime {
			t.Errorf("silent client: %v after %v", err, time.Since(start))
		}
		drip := l.dial(t)
		defer drip.Close()
		start = time.Now()
		for _, err := io.WriteString(drip, "GET /a HTTP/1.1\r\nX: "); err == nil; _, err = io.WriteString(drip, "x") {
			time.Sleep(time.Second)
		}
		if d := time.Since(start); d > 2*DefaultHeaderTime {
			t.Errorf("a header could take %v", d)
		}

		// read takes n bytes every second and returns how long that went well.
		read := func(n int64) (took time.Duration, all bool) {
			c := l.dial(t)
			defer c.Close()
			if _, err := io.WriteString(c, "GET /a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for got := int64(0); ; {
				time.Sleep(time.Second)
				k, err := io.CopyN(io.Discard, c, n)
				if got += k; err != nil {
					return time.Since(start), got > size
				}
			}
		}
		if took, all := read(1); all || took > 2*limits.MinRateTime {
			t.Errorf("a byte per second: %v, complete %v", took, all)
		}
		if took, all := read(9_000); all || took > 3*limits.MinRateTime {
			t.Errorf("less than the least rate: %v, complete %v", took, all)
		}
		if took, all := read(12_000); !all || took < 2*time.Minute {
			t.Errorf("more than the least rate: %v, complete %v", took, all)
		}
		if n := s.LimitStats().ConnsSlow; n != 2 {
			t.Errorf("%d connections were too slow", n)
		}

		idle := l.dial(t)
		defer idle.Close()
		if body := readAll(t, get(t, idle, "/a").Body); len(body) != size {
			t.Errorf("%d bytes", len(body))
		}
		time.Sleep(DefaultIdleTime - time.Second)
		if resp := get(t, idle, "/nothing"); resp.StatusCode != 404 {
			t.Errorf("status %d after a pause", resp.StatusCode)
		}
		time.Sleep(DefaultIdleTime + time.Second)
		if isOpen(idle) {
			t.Error("an idle connection stays for ever")
		}
	})
}

// A body that nobody wants is awaited for no longer than one that is read.
func TestSlowBodies(t *testing.T) {
	limits := Limits{MinRate: 1000, MinRateTime: 30 * time.Second}
	for name, h := range map[string]http.HandlerFunc{
		"read": func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, "broken", 400)
			}
		},
		"ignored": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			guarded(t, h, limits, func(t *testing.T, s *Server, l pipeListener) {
				c := l.dial(t)
				defer c.Close()
				start := time.Now()
				_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n")
				go io.Copy(io.Discard, c)
				for ; err == nil; _, err = io.WriteString(c, "x") {
					time.Sleep(time.Second)
				}
				if d := time.Since(start); d > 2*limits.MinRateTime {
					t.Errorf("it could take %v", d)
				}
			})
		})
	}
	// One that comes in time leaves no deadline behind for the response.
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		select {
		case <-time.After(10 * limits.MinRateTime):
			io.WriteString(w, "done")
		case <-r.Context().Done():
		}
	})
	guarded(t, slow, limits, func(t *testing.T, s *Server, l pipeListener) {
		c := l.dial(t)
		defer c.Close()
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp.Body); string(body) != "done" {
			t.Errorf("body %q", body)
		}
	})
}

func TestHeaderSize(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	guarded(t, ok, Limits{HeaderBytes: 8 << 10}, func(t *testing.T, s *Server, l pipeListener) {
		for _, tt := range []struct{ size, status int }{{8 << 10, 200}, {64 << 10, 431}} {
			c := l.dial(t)
			defer c.Close()
			go fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: test\r\nX: %s\r\n\r\n", strings.Repeat("x", tt.size))
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != tt.status {
				t.Errorf("header of %d bytes: %v, %v", tt.size, resp, err)
			}
		}
	})
}

func TestRequestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		s := NewServer(ok, ServerOptions{Limits: Limits{RequestRate: 0.5}})
		ask := func(from string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = from
			w := httptest.NewRecorder()
			s.http.Handler.ServeHTTP(w, r)
			return w
		}
		for i := range rateBurst / 2 {
			if w := ask(fmt.Sprintf("192.0.2.1:%d", i+1)); w.Code != 200 {
				t.Fatalf("request %d: status %d", i, w.Code)
			}
		}
		for range 3 { // being refused makes nothing worse
			if w := ask("192.0.2.1:9"); w.Code != 429 || w.Header().Get("Retry-After") != "2" {
				t.Fatalf("one too many: status %d, %v", w.Code, w.Header())
			}
		}
		if w := ask("192.0.2.2:9"); w.Code != 200 {
			t.Errorf("another address: status %d", w.Code)
		}
		time.Sleep(2 * time.Second)
		if w := ask("192.0.2.1:9"); w.Code != 200 {
			t.Errorf("when it may come again: status %d", w.Code)
		}
		if n := s.LimitStats().RequestsRefused; n != 3 {
			t.Errorf("%d refused", n)
		}
		var a [4]byte
		for i := range 2 * maxRates {
			a[1], a[2], a[3] = byte(i>>16), byte(i>>8), byte(i)
			s.requests.rates.take(time.Now(), netip.AddrFrom4(a))
		}
		if r := s.requests.rates; r.recent.Len() != maxRates || len(r.byAddr) != maxRates {
			t.Errorf("%d and %d addresses are remembered", r.recent.Len(), len(r.byAddr))
		}
	})
	s := NewServer(http.NotFoundHandler(), ServerOptions{Limits: Limits{RequestRate: -1}})
	for range 5000 {
		w := httptest.NewRecorder()
		if s.http.Handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil)); w.Code != 404 {
			t.Fatalf("without a limit: status %d", w.Code)
		}
	}
}

// A haltingConn takes step bytes in a call and then lets the deadline pass.
type haltingConn struct {
	net.Conn
	got  bytes.Buffer
	step int64
	lose int64 // bytes that are read in each call and not sent
}

func (c *haltingConn) SetWriteDeadline(time.Time) error { return nil }
func (c *haltingConn) RemoteAddr() net.Addr             { return &net.UnixAddr{} }

func (c *haltingConn) Write(p []byte) (int, error) {
	if int64(len(p)) <= c.step {
		return c.got.Write(p)
	}
	n, _ := c.got.Write(p[:c.step])
	return n, os.ErrDeadlineExceeded
}

func (c *haltingConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.CopyN(&c.got, r, c.step)
	if err == io.EOF {
		return n, nil
	}
	io.CopyN(io.Discard, r, c.lose)
	return n, os.ErrDeadlineExceeded
}

// What a deadline interrupts goes on with the next byte, or not at all.
func TestWriteGoesOn(t *testing.T) {
	content := testBytes(100_000)
	path := filepath.Join(t.TempDir(), "a")
	writeFile(t, path, content)
	for name, src := range map[string]func(f *os.File) io.Reader{
		"file":    func(f *os.File) io.Reader { return io.LimitReader(f, 90_000) },
		"section": func(f *os.File) io.Reader { return io.LimitReader(io.NewSectionReader(f, 0, 1e6), 90_000) },
	} {
		for _, lose := range []int64{0, 1} {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			halting := &haltingConn{step: 7001, lose: lose}
			g := newGate(Limits{}.withDefaults(), nil)
			n, err := io.Copy(guard(halting, g, netip.Addr{}), src(f))
			f.Close()
			if lose > 0 && name == "file" {
				if !errors.Is(err, errTooSlow) || halting.got.String() != content[:n] {
					t.Errorf("%s, with loss: %d bytes, %v", name, n, err)
				}
				continue
			}
			if err != nil || n != 90_000 || halting.got.String() != content[:90_000] {
				t.Errorf("%s: %d bytes, %v", name, n, err)
			}
		}
	}
}

// The user's own deadline holds beside ours.
func TestUserDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		g := newGate(Limits{}.withDefaults(), nil)
		g.enter(time.Now(), netip.Addr{})
		c := guard(server, g, netip.Addr{})
		defer c.Close()
		start := time.Now()
		c.SetWriteDeadline(start.Add(3 * time.Second))
		_, err := c.Write([]byte("x"))
		if d := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || d != 3*time.Second {
			t.Errorf("%v after %v", err, d)
		}
		// Taken off and set during a Write.
		c.SetWriteDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { c.SetWriteDeadline(time.Now()) })
		start = time.Now()
		_, err = c.Write([]byte("x"))
		if d := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || d != time.Second {
			t.Errorf("%v after %v", err, d)
		}
		c.SetDeadline(time.Time{})
		time.AfterFunc(time.Minute, func() { client.Read(make([]byte, 1)) })
		if _, err := c.Write([]byte("x")); err != nil {
			t.Error(err)
		}
	})
}
