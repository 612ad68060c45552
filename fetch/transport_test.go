package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
	"github.com/chunkget/chunkget/internal/tlsport"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
)

const mib = 1 << 20

// A transport is one way to reach a test server.
type transport struct {
	name string
	// serve starts a server for h that ends with the test and returns its URL
	// and a RoundTripper for it.
	serve func(t *testing.T, h http.Handler) (string, http.RoundTripper)
}

// reads is how many times more reads, and writes to the disk, the same bytes take
// than over the others: TLS gives a record at a time, which is at most 16 KiB.
func (tr transport) reads() int {
	if strings.HasSuffix(tr.name, "s") {
		return 16
	}
	return 1
}

// transports are all ways over which the tests of this package run. Those that do not
// have no server: they are about what is refused before one is asked, about errors and
// redirects that are made up, or about time on paths of a given rate (modelPath).
var transports = []transport{{"tcp", serveTCP}, {"udt", serveUDT}, {"https", serveHTTPS}, {"udts", serveUDTS}}

// run runs f over every transport, in virtual time: the network is in memory, and
// no other work of the machine is taken for a slow one. With the race detector, where a
// run takes minutes, TCP and TLS over UDT stand for all: each layer is in one of them.
func run(t *testing.T, f func(t *testing.T, tr transport)) {
	t.Helper()
	overAll(t, func(t *testing.T, tr transport) { inTime(t, func(t *testing.T) { f(t, tr) }) })
}

// overAll is run for tests whose parts are bubbles.
func overAll(t *testing.T, f func(t *testing.T, tr transport)) {
	t.Helper()
	over(t, []transport{transports[0], transports[3]}, f)
}

// runLight is run for tests that are about what is done with the answers, by however
// many servers, which the transport hardly touches. With the race detector TCP stands
// for all: TLS over UDT would take minutes more.
func runLight(t *testing.T, f func(t *testing.T, tr transport)) {
	t.Helper()
	over(t, transports[:1], func(t *testing.T, tr transport) { inTime(t, func(t *testing.T) { f(t, tr) }) })
}

// runPart is runLight for a part of t.
func runPart(t *testing.T, name string, f func(t *testing.T, tr transport)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { runLight(t, f) })
}

// over runs f over all transports, with the race detector over those of racing.
func over(t *testing.T, racing []transport, f func(t *testing.T, tr transport)) {
	t.Helper()
	of := transports
	if raceEnabled {
		of = racing
	}
	for _, tr := range of {
		t.Run(tr.name, func(t *testing.T) { f(t, tr) })
	}
}

// inBubble runs f as a part of t, in virtual time.
func inBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { inTime(t, f) })
}

// inTime runs f in virtual time, over sockets in real time.
func inTime(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if *overSockets {
		f(t)
		return
	}
	synctest.Test(t, f)
}

// needsVirtualTime leaves out, over sockets, what waits for minutes, or depends on how long
// something takes.
func needsVirtualTime(t *testing.T) {
	t.Helper()
	if *overSockets {
		t.Skip("needs virtual time")
	}
}

// connKey is the context key of a request's connection. Connections over UDT
// share an address, so that does not tell them apart.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func serveTCP(t *testing.T, h http.Handler) (string, http.RoundTripper) {
	t.Helper()
	return serveOverTCP(t, h, nil)
}

func serveHTTPS(t *testing.T, h http.Handler) (string, http.RoundTripper) {
	t.Helper()
	return serveOverTCP(t, h, keyPair(t))
}

func serveUDT(t *testing.T, h http.Handler) (string, http.RoundTripper) {
	t.Helper()
	return serveOverUDT(t, h, nil)
}

func serveUDTS(t *testing.T, h http.Handler) (string, http.RoundTripper) {
	t.Helper()
	return serveOverUDT(t, h, keyPair(t))
}

// keyPair makes a key pair for a server.
func keyPair(t *testing.T) *tlsport.Source {
	t.Helper()
	files, err := tlsport.SelfSigned(t.TempDir(), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s, err := tlsport.Open(files, slog.New(slog.DiscardHandler), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ports are given once each, so that all servers of a test can be told apart.
var ports atomic.Uint32

func newAddr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(10_000+ports.Add(1)%50_000))
}

// serveOverTCP serves plain text without a key pair, and TLS only with one.
func serveOverTCP(t *testing.T, h http.Handler, pair *tlsport.Source) (string, http.RoundTripper) {
	t.Helper()
	l, dial := net.Listener(nil), new(net.Dialer).DialContext
	if *overSockets {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	} else {
		l, dial = streams.listen(newAddr()), streams.DialContext
	}
	s := &http.Server{Handler: h, ErrorLog: quiet, ConnContext: withConn}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(tlsport.Wrap(l, tlsport.Options{Source: pair, Require: true})) })
	rt := &http.Transport{MaxIdleConnsPerHost: 32, DialContext: dial}
	scheme := "http://"
	if pair != nil {
		rt.TLSClientConfig = pair.Pin().Config(new(tls.Config))
		scheme = "https://"
	}
	t.Cleanup(func() {
		rt.CloseIdleConnections()
		s.Close()
		serving.Wait()
		settle() // which is longer than net/http waits with closing a connection
	})
	return scheme + l.Addr().String(), rt
}

// settle gives way for a second of virtual time to what ends by itself.
func settle() {
	if !*overSockets {
		time.Sleep(time.Second)
	}
}

// udtEndpoints returns the endpoints of a server and of a client, and what is below
// them. In memory packets are large: what they hold is not what these tests are about.
func udtEndpoints(t *testing.T) (server, client *udt.Endpoint, below io.Closer) {
	t.Helper()
	endpoint := func(e *udt.Endpoint, err error) *udt.Endpoint {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if *overSockets {
		server = endpoint(udt.ListenEndpoint("udt", "127.0.0.1:0", nil))
		return server, endpoint(udt.ListenEndpoint("udt", "127.0.0.1:0", &udt.Config{Linger: -1})), io.NopCloser(nil)
	}
	n := simnet.New(simnet.Config{
		Seed:     simnet.FixedSeed(t),
		Link:     simnet.LinkConfig{Delay: linkDelay, Rate: linkRate, Queue: 1 << 20},
		Batching: simnet.Batching{Interval: linkEvery},
	})
	addr := newAddr()
	server = endpoint(udt.NewEndpoint(n.Listen(addr), &udt.Config{MSS: 9000}))
	return server, endpoint(udt.NewEndpoint(n.Listen(netip.AddrPortFrom(addr.Addr().Next(), 0)), &udt.Config{MSS: 9000, Linger: -1})), n
}

// serveOverUDT does the same over UDT.
func serveOverUDT(t *testing.T, h http.Handler, pair *tlsport.Source) (string, http.RoundTripper) {
	t.Helper()
	server, client, below := udtEndpoints(t)
	l, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ErrorLog: quiet, ConnContext: withConn}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(tlsport.Wrap(l, tlsport.Options{Source: pair, Require: true})) })
	dialer := udt.Dialer{Endpoint: client, EarlyData: true}
	scheme, config := "udt://", udtpool.Config{Connections: 32, Dial: dialer.DialContext}
	if pair != nil {
		scheme, config.TLS = "udts://", func(string) *tls.Config { return pair.Pin().Config(new(tls.Config)) }
	}
	pool := udtpool.New(config)
	t.Cleanup(func() {
		pool.Close()
		// Server.Close closes connections under a lock that their goroutines want
		// too, and time would stand still while one of them waits for its peer. They
		// learn of the end of the pool behind all that was sent before.
		settle()
		s.Close()
		serving.Wait()
		settle() // as above
		if err := errors.Join(client.Close(), server.Close(), below.Close()); err != nil {
			t.Error(err)
		}
	})
	return scheme + l.Addr().String(), pool
}
