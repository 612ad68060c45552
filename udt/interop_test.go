//go:build libudt

package udt_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/libudt"
	"github.com/chunkget/chunkget/internal/lossyrelay"
	"github.com/chunkget/chunkget/internal/simnet"
	"github.com/chunkget/chunkget/udt"
)

// The interop tests connect a peer of this package with one of the C++ library
// through a relay that damages the traffic. Each runs in both roles where that
// makes a difference, and in each a tap checks whatever our side sends.
//
// The case numbers in the comments are those of the list of interop cases that
// the tests follow: 1 to 14 handshakes, 15 to 32 data, 33 to 45 teardown and
// robustness.

// interop describes a connection between the two libraries.
type interop struct {
	goServer bool // our side listens
	v6       bool
	goCfg    *udt.Config
	cppCfg   *libudt.Config // nil = do not wait in Close
	fromGo   simnet.LinkConfig
	fromCpp  simnet.LinkConfig
	goFault  fault // for what our side sends, after fromGo's faults
	cppFault fault
	renumber *renumber // see there; goFault must include its other half
}

// mesh is the relay and the listener of an interop test.
type mesh struct {
	interop
	t      *testing.T
	tap    *tap
	relay  *lossyrelay.Relay
	goL    *udt.Listener
	cppL   *libudt.Listener
	dialer *udt.Dialer
}

// eachRole runs a test with our side as client and as server.
func eachRole(t *testing.T, test func(t *testing.T, goServer bool)) {
	t.Run("go client", func(t *testing.T) { test(t, false) })
	t.Run("go server", func(t *testing.T) { test(t, true) })
}

// eachDirection runs a test with data from our side and from the C++ side.
func eachDirection(t *testing.T, test func(t *testing.T, fromGo bool)) {
	t.Run("from go", func(t *testing.T) { test(t, true) })
	t.Run("from c++", func(t *testing.T) { test(t, false) })
}

func (x interop) start(t *testing.T) *mesh {
	t.Helper()
	if x.cppCfg == nil {
		x.cppCfg = &libudt.Config{Linger: -1}
	}
	m := &mesh{interop: x, t: t, tap: newTap(t)}
	if x.renumber != nil {
		m.tap.before = x.renumber.fault(true)
	}
	host := "127.0.0.1:0"
	if x.v6 {
		host = "[::1]:0"
	}
	var server net.Addr
	var err error
	if x.goServer {
		if m.goL, err = (&udt.ListenConfig{Config: x.goCfg}).Listen(t.Context(), "udt", host); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.goL.Close() })
		server = m.goL.Addr()
	} else {
		if m.cppL, err = libudt.Listen(host, x.cppCfg); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.cppL.Close() })
		server = m.cppL.Addr()
	}
	cfg := lossyrelay.Config{Seed: simnet.SeedFromTest(t)}
	fromGo, fromCpp := m.links()
	if cfg.ToServer, cfg.ToClient = fromGo, fromCpp; x.goServer {
		cfg.ToServer, cfg.ToClient = fromCpp, fromGo
	}
	if m.relay, err = lossyrelay.Listen("udp", server.String(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.relay.Close() })
	m.dialer = &udt.Dialer{Config: x.goCfg}
	return m
}

func (m *mesh) links() (fromGo, fromCpp simnet.LinkConfig) {
	fromGo, fromCpp = m.fromGo, m.fromCpp
	fromGo.Filter = m.tap.filter(true, m.goFault)
	fromCpp.Filter = m.tap.filter(false, m.cppFault)
	return fromGo, fromCpp
}

// cut stops all traffic.
func (m *mesh) cut() {
	m.relay.SetLinks(simnet.LinkConfig{Loss: 1}, simnet.LinkConfig{Loss: 1})
}

// connect opens one connection.
func (m *mesh) connect() (*udt.Conn, *libudt.Conn) {
	m.t.Helper()
	if m.goServer {
		cpp, err := m.dialCpp()
		if err != nil {
			m.t.Fatal(err)
		}
		return m.acceptGo(), cpp
	}
	c, err := m.dialGo()
	if err != nil {
		m.t.Fatal(err)
	}
	return c, m.acceptCpp()
}

func (m *mesh) dialGo() (*udt.Conn, error) {
	c, err := m.dialer.DialContext(m.t.Context(), "udt", m.relay.Addr().String())
	if err != nil {
		return nil, err
	}
	m.t.Cleanup(func() { c.Close() })
	return c.(*udt.Conn), nil
}

func (m *mesh) dialCpp() (*libudt.Conn, error) {
	c, err := libudt.Dial(m.relay.Addr().String(), m.cppCfg)
	if err != nil {
		return nil, err
	}
	m.t.Cleanup(func() { c.Close() })
	return c, nil
}

func (m *mesh) acceptGo() *udt.Conn {
	m.t.Helper()
	c, err := m.goL.Accept()
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	return c.(*udt.Conn)
}

func (m *mesh) acceptCpp() *libudt.Conn {
	m.t.Helper()
	c, err := m.cppL.Accept()
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	return c.(*libudt.Conn)
}

// patience is far beyond what any test takes; it turns a hang into a failure.
const patience = 60 * time.Second

// randomData returns the same n random bytes each time.
func randomData(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{42}).Read(b)
	return b
}

// send transfers data over an open connection and checks what arrives.
func send(t *testing.T, from, to net.Conn, data []byte) {
	t.Helper()
	if err := trySend(from, to, data); err != nil {
		t.Fatal(err)
	}
}

func trySend(from, to net.Conn, data []byte) error {
	written := make(chan error, 1)
	from.SetWriteDeadline(time.Now().Add(patience))
	to.SetReadDeadline(time.Now().Add(patience))
	go func() {
		_, err := from.Write(data)
		written <- err
	}()
	got := make([]byte, len(data))
	n, err := io.ReadFull(to, got)
	switch err2 := <-written; {
	case err != nil || err2 != nil:
		return fmt.Errorf("after %d of %d bytes: read: %v, write: %v", n, len(data), err, err2)
	case !bytes.Equal(got, data):
		return errors.New("data differs")
	}
	return nil
}

// roundTrip checks that both directions work.
func roundTrip(t *testing.T, a, b net.Conn) {
	t.Helper()
	send(t, a, b, []byte("there"))
	send(t, b, a, []byte("and back"))
}

var interopFull = flag.Bool("interop.full", false, "transfer 64 MiB at each loss rate, also where it takes minutes")

// TestInteropHTTP is net/http with one side on each library.
func TestInteropHTTP(t *testing.T) {
	all := randomData(64 << 20)
	for _, tt := range []struct {
		loss float64 // in both directions
		size int
	}{
		{0, len(all)},
		{0.01, len(all)},
		{0.05, 8 << 20}, // the native congestion control makes about 0.5 MB/s of it
	} {
		loss, size := tt.loss, tt.size
		switch {
		case *interopFull:
			size = len(all)
		case testing.Short():
			size = 4 << 20
		}
		data := all[:size]
		want := sha256.Sum256(data)
		t.Run(fmt.Sprintf("loss %g%%", 100*loss), func(t *testing.T) {
			eachRole(t, func(t *testing.T, goServer bool) {
				link := simnet.LinkConfig{Loss: loss}
				m := interop{goServer: goServer, fromGo: link, fromCpp: link}.start(t)
				var l net.Listener = m.cppL
				dial := func(ctx context.Context, network, address string) (net.Conn, error) {
					return m.dialer.DialContext(ctx, "udt", address)
				}
				if goServer {
					l = m.goL
					dial = func(_ context.Context, network, address string) (net.Conn, error) {
						return libudt.Dial(address, m.cppCfg)
					}
				}
				srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					http.ServeContent(w, r, "data", time.Time{}, bytes.NewReader(data))
				})}
				var wg sync.WaitGroup
				wg.Go(func() { srv.Serve(l) })
				defer wg.Wait()
				defer srv.Close()
				transport := &http.Transport{DialContext: dial}
				defer transport.CloseIdleConnections()

				start := time.Now()
				resp, err := (&http.Client{Transport: transport}).Get("http://" + m.relay.Addr().String() + "/data")
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				h := sha256.New()
				n, err := io.Copy(h, resp.Body)
				if err != nil || n != int64(size) {
					t.Fatalf("got %d of %d bytes: %v", n, size, err)
				}
				if !bytes.Equal(h.Sum(nil), want[:]) {
					t.Error("checksum differs")
				}
				t.Logf("%.1f MB/s", float64(n)/1e6/time.Since(start).Seconds())
			})
		})
	}
}

// TestInteropRandomLoss is case 21 at sizes for seconds, and 23 (both
// directions at once). It logs the rates; the C++ library's own are measured
// by internal/libudt.
func TestInteropRandomLoss(t *testing.T) {
	for _, tt := range []struct {
		loss  float64
		delay time.Duration
		size  int
	}{
		{0.001, 0, 16 << 20},
		{0.001, 20 * time.Millisecond, 8 << 20},
		{0.03, 5 * time.Millisecond, 2 << 20},
		{0.10, 5 * time.Millisecond, 1 << 20},
		{0.01, 100 * time.Millisecond, 1 << 20},
	} {
		t.Run(fmt.Sprintf("%g%% %v", 100*tt.loss, 2*tt.delay), func(t *testing.T) {
			link := simnet.LinkConfig{Loss: tt.loss, Delay: tt.delay}
			data := randomData(tt.size)
			for _, mode := range []string{"from go", "from c++", "both"} {
				t.Run(mode, func(t *testing.T) {
					m := interop{goServer: true, fromGo: link, fromCpp: link}.start(t)
					g, cpp := m.connect()
					start := time.Now()
					var wg sync.WaitGroup
					transfer := func(from, to net.Conn) {
						wg.Go(func() {
							if err := trySend(from, to, data); err != nil {
								t.Error(err)
							}
						})
					}
					if mode != "from c++" {
						transfer(g, cpp)
					}
					if mode != "from go" {
						transfer(cpp, g)
					}
					wg.Wait()
					t.Logf("%.2f MB/s", float64(tt.size)/1e6/time.Since(start).Seconds())
				})
			}
		})
	}
}
