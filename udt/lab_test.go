package udt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

var (
	clientHost = netip.MustParseAddr("10.0.0.1")
	serverHost = netip.MustParseAddr("10.0.0.2")
	serverAddr = netip.AddrPortFrom(serverHost, 9000)
)

// lab is two endpoints on a simulated network in virtual time.
type lab struct {
	t              *testing.T
	net            *simnet.Network
	client, server *Endpoint
	listener       *Listener
	probing        bool // endpoints look for the packet size that the path takes
}

// runIO reads what the simulated network has joined, as batchIO does what the
// kernel has.
type runIO struct {
	singleIO
	conn *simnet.Conn
}

func (r *runIO) recv(in *slabReader, dst []inbound) ([]inbound, error) {
	n, segment, from, err := r.conn.ReadRun(in.reserve(maxDatagram))
	if err != nil {
		return dst, err
	}
	return append(dst, inbound{slab: in.slab, data: in.take(n), segment: max(segment, 1), from: from, train: n > segment}), nil
}

// inLab runs f in bubbles: with datagrams that arrive one by one, and with
// datagrams that come in groups and are read in runs. That f leaves no
// goroutine behind is checked by the bubble: it fails when one is still
// blocked at its end.
func inLab(t *testing.T, link simnet.LinkConfig, cfg *Config, f func(l *lab)) {
	t.Helper()
	inBatchingLab(t, link, simnet.Batching{}, cfg, f)
	inBatchingLab(t, link, simnet.Batching{Interval: 300 * time.Microsecond, Run: 40}, cfg, f)
}

func inBatchingLab(t *testing.T, link simnet.LinkConfig, batching simnet.Batching, cfg *Config, f func(l *lab)) {
	t.Helper()
	inSeededLab(t, simnet.SeedFromTest(t), link, batching, cfg, f)
}

// inMeasuredLab is for tests that ask how fast or how often, and not only
// whether: their network throws the same dice each time.
func inMeasuredLab(t *testing.T, link simnet.LinkConfig, cfg *Config, f func(l *lab)) {
	t.Helper()
	oneProcessor(t)
	inSeededLab(t, simnet.FixedSeed(t), link, simnet.Batching{}, cfg, f)
}

func inSeededLab(t *testing.T, seed uint64, link simnet.LinkConfig, batching simnet.Batching, cfg *Config, f func(l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Config{Seed: seed, Link: link, Batching: batching})
		l := &lab{t: t, net: n, probing: link.MTU > 0}
		l.client = l.endpoint(netip.AddrPortFrom(clientHost, 0), cfg)
		l.server = l.endpoint(serverAddr, cfg)
		var err error
		if l.listener, err = l.server.Listen(); err != nil {
			t.Fatal(err)
		}
		f(l)
		if err := errors.Join(l.client.Close(), l.server.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
}

func (l *lab) endpoint(addr netip.AddrPort, cfg *Config) *Endpoint {
	l.t.Helper()
	conn := l.net.Listen(addr)
	s := &socket{
		datagramIO: &runIO{singleIO: singleIO{conn: conn}, conn: conn}, conn: conn, local: conn.AddrPort(),
		prompt: true,
	}
	if l.probing {
		s.probe = func(p []byte, r route) error { return s.send([][]byte{p}, r) }
	}
	return newEndpoint(s, cfg.get())
}

// connect returns both ends of a new connection.
func (l *lab) connect() (client, server *Conn) {
	l.t.Helper()
	return l.connectFrom(randomISN())
}

func (l *lab) connectFrom(isn seqNo) (client, server *Conn) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	client, err := l.client.connect(ctx, attempt{remote: serverAddr, isn: isn})
	if err != nil {
		l.t.Fatal(err)
	}
	s, err := l.listener.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	return client, s.(*Conn)
}

func randomBytes(n int, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// exchange sends data in both directions at once, closes the client after its
// last byte was read by the server, and checks what arrived.
func (l *lab) exchange(client, server *Conn, up, down []byte) {
	l.t.Helper()
	type result struct {
		data []byte
		err  error
	}
	send := func(c *Conn, data []byte) <-chan error {
		done := make(chan error, 1)
		go func() { _, err := c.Write(data); done <- err }()
		return done
	}
	recv := func(c *Conn, n int) <-chan result {
		done := make(chan result, 1)
		go func() {
			b := make([]byte, n)
			k, err := io.ReadFull(c, b)
			done <- result{b[:k], err}
		}()
		return done
	}
	sentUp, sentDown := send(client, up), send(server, down)
	gotUp, gotDown := recv(server, len(up)), recv(client, len(down))
	for _, d := range []struct {
		name string
		sent <-chan error
		got  <-chan result
		want []byte
	}{{"up", sentUp, gotUp, up}, {"down", sentDown, gotDown, down}} {
		if err := <-d.sent; err != nil {
			l.t.Errorf("%s: %v", d.name, err)
		}
		r := <-d.got
		if r.err != nil {
			l.t.Errorf("%s: after %d of %d bytes: %v", d.name, len(r.data), len(d.want), r.err)
		}
		if !bytes.Equal(r.data, d.want[:len(r.data)]) {
			l.t.Errorf("%s: content differs", d.name)
		}
	}
}
