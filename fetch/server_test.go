package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/faultfile"
	"github.com/chunkget/chunkget/internal/simnet"
	"github.com/chunkget/chunkget/internal/tlsport"
	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
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
// no other work of the machine is taken for a slow one. With the race detector,
// where a run takes minutes, TLS over UDT stands for all: what it adds is around the
// others.
func run(t *testing.T, f func(t *testing.T, tr transport)) {
	t.Helper()
	overAll(t, func(t *testing.T, tr transport) {
		synctest.Test(t, func(t *testing.T) { f(t, tr) })
	})
}

// overAll is run for tests whose parts are bubbles.
func overAll(t *testing.T, f func(t *testing.T, tr transport)) {
	t.Helper()
	over(t, transports[3:], f)
}

// runLight is run for tests that are about what is done with the answers, by however
// many servers, which the transport hardly touches. With the race detector TCP stands
// for all: TLS over UDT would take minutes more.
func runLight(t *testing.T, f func(t *testing.T, tr transport)) {
	t.Helper()
	over(t, transports[:1], func(t *testing.T, tr transport) {
		synctest.Test(t, func(t *testing.T) { f(t, tr) })
	})
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
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
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
	l := streams.listen(newAddr())
	s := &http.Server{Handler: h, ErrorLog: quiet, ConnContext: withConn}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(tlsport.Wrap(l, tlsport.Options{Source: pair, Require: true})) })
	rt := &http.Transport{MaxIdleConnsPerHost: 32, DialContext: streams.DialContext}
	scheme := "http://"
	if pair != nil {
		rt.TLSClientConfig = pair.Pin().Config(new(tls.Config))
		scheme = "https://"
	}
	t.Cleanup(func() {
		rt.CloseIdleConnections()
		s.Close()
		serving.Wait()
		time.Sleep(time.Second) // which is longer than net/http waits with closing a connection
	})
	return scheme + l.Addr().String(), rt
}

// serveOverUDT does the same over UDT. Packets are large: what they hold is not
// what these tests are about.
func serveOverUDT(t *testing.T, h http.Handler, pair *tlsport.Source) (string, http.RoundTripper) {
	t.Helper()
	n := simnet.New(simnet.Config{
		Seed:     simnet.FixedSeed(t),
		Link:     simnet.LinkConfig{Delay: linkDelay, Rate: linkRate, Queue: 1 << 20},
		Batching: simnet.Batching{Interval: linkEvery},
	})
	addr := newAddr()
	server, err := udt.NewEndpoint(n.Listen(addr), &udt.Config{MSS: 9000})
	if err != nil {
		t.Fatal(err)
	}
	l, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	client, err := udt.NewEndpoint(n.Listen(netip.AddrPortFrom(addr.Addr().Next(), 0)), &udt.Config{MSS: 9000, Linger: -1})
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
		time.Sleep(time.Second)
		s.Close()
		serving.Wait()
		time.Sleep(time.Second) // as above
		if err := errors.Join(client.Close(), server.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
	return scheme + addr.String(), pool
}

// file is a server of one file, at every path. Fields are set before it serves;
// those below mu also later, under it.
type file struct {
	data   []byte
	etag   string
	tree   bool
	leaves bool            // leaf hashes are offered
	lag    <-chan struct{} // the tree is sent when this is closed
	slow   *drip           // how the tree is sent, nil for at once
	repr   []byte          // Repr-Digest
	dispo  string          // Content-Disposition

	wrongLeaves bool // and are wrong

	mu       sync.Mutex
	requests []*http.Request // for data
	sent     int64           // bytes of bodies of the file
	// script answers instead of the file, if it returns true. n counts the
	// requests for data from 1.
	script  func(f *file, n int, w http.ResponseWriter, r *http.Request) bool
	rewrite func(w http.ResponseWriter, r *http.Request) http.ResponseWriter
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Query().Get("digest") {
	case "tree":
		f.serveTree(w, r)
		return
	case "leaves":
		f.serveLeaves(w, r)
		return
	}
	f.mu.Lock()
	f.requests = append(f.requests, r)
	n := len(f.requests)
	script, rewrite := f.script, f.rewrite
	f.mu.Unlock()
	if f.etag != "" {
		w.Header().Set("Etag", f.etag)
	}
	if f.tree {
		w.Header().Set("Link", fmt.Sprintf(`<%s?digest=tree>; rel="describedby"; type="%s", <x>; rel="describedby"; type="application/metalink4+xml"`, r.URL.EscapedPath(), merkle.MediaType))
	}
	if f.leaves {
		w.Header().Add("Link", fmt.Sprintf(`<%s?digest=leaves>; rel="describedby"; type="%s"`, r.URL.EscapedPath(), merkle.LeavesMediaType))
	}
	if f.dispo != "" {
		w.Header().Set("Content-Disposition", f.dispo)
	}
	if f.repr != nil {
		w.Header().Set("Repr-Digest", reprField(f.repr))
	}
	if script != nil && script(f, n, w, r) {
		return
	}
	if rewrite != nil {
		w = rewrite(w, r)
	}
	f.serveFile(w, r)
}

// honest makes the server do what it should from now on.
func (f *file) honest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script, f.rewrite, f.requests = nil, nil, nil
}

// asked returns the requests for data so far.
func (f *file) asked() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

func (f *file) serveFile(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(&countingWriter{w, f}, r, "", time.Time{}, bytes.NewReader(f.data))
}

// countingWriter counts what is sent of the file.
type countingWriter struct {
	http.ResponseWriter
	f *file
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.f.mu.Lock()
	w.f.sent += int64(n)
	w.f.mu.Unlock()
	return n, err
}

func (f *file) serveTree(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Etag", f.etag)
	w.Header().Set("Content-Type", merkle.MediaType)
	if f.lag != nil {
		w.(http.Flusher).Flush()
		select {
		case <-f.lag:
		case <-r.Context().Done():
			return
		}
	}
	if f.slow != nil {
		w = drip{w, r, f.slow.bytes, f.slow.every}
	}
	w.Write(treeOf(f.data))
}

func (f *file) serveLeaves(w http.ResponseWriter, r *http.Request) {
	var first, last int
	if _, err := fmt.Sscanf(r.URL.Query().Get("pieces"), "%d-%d", &first, &last); err != nil || !f.leaves || last-first >= 64 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Etag", f.etag)
	w.Header().Set("Content-Type", merkle.LeavesMediaType)
	for _, h := range merkle.AppendLeaves(nil, f.data[first*mib:min((last+1)*mib, len(f.data))]) {
		if f.wrongLeaves {
			h[0] ^= 1
		}
		w.Write(h[:])
	}
}

// rootOf returns the root of the tree of data.
func rootOf(data []byte) (root merkle.Hash, hashes []merkle.Hash) {
	l, err := merkle.NewLayout(int64(len(data)), merkle.DefaultPieceSize(int64(len(data))))
	if err != nil {
		panic(err)
	}
	for i := range l.Pieces() {
		off, n := l.Piece(i)
		hashes = append(hashes, l.HashPiece(i, data[off:off+n]))
	}
	return l.Root(hashes), hashes
}

func treeOf(data []byte) []byte {
	var b bytes.Buffer
	l, err := merkle.NewLayout(int64(len(data)), merkle.DefaultPieceSize(int64(len(data))))
	if err != nil {
		panic(err)
	}
	root, hashes := rootOf(data)
	e, err := merkle.NewEncoder(&b, l)
	if err != nil {
		panic(err)
	}
	for _, h := range hashes {
		if err := e.WritePiece(h); err != nil {
			panic(err)
		}
	}
	if err := e.Finish(root); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// randomData returns n bytes, none of whose sectors is all zeros.
func randomData(n int, seed uint64) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	rng.Read(b)
	return b
}

// rig is a download into files in memory, with what it reported.
type rig struct {
	t    *testing.T
	dir  *faultfile.Dir
	opts Options
	last *Result

	// received, if not nil, is told after each read of a body how many bytes
	// of bodies have been read, the tree included.
	received func(n int64)
	bytes    atomic.Int64

	mu     sync.Mutex
	events []Event
}

// newRig prepares a download of path from h over tr.
func newRig(t *testing.T, tr transport, h http.Handler, path string) *rig {
	t.Helper()
	base, rt := tr.serve(t, h)
	u, err := url.Parse(base + path)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: faultfile.New()}
	r.opts = Options{
		URL: u, Transport: rt, Connections: 4,
		Retry:   RetryPolicy{MinDelay: time.Millisecond, MaxDelay: 4 * time.Millisecond},
		openDir: func(string) (journal.Dir, func() error, error) { return r.dir, func() error { return nil }, nil },
	}
	r.opts.Observe = func(e Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
	return r
}

func (r *rig) get(ctx context.Context) (*Result, error) {
	r.events = nil
	r.bytes.Store(0)
	o := r.opts
	o.Transport = roundTripFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := r.opts.Transport.RoundTrip(req)
		if err == nil {
			resp.Body = &meteredBody{resp.Body, r}
		}
		return resp, err
	})
	var err error
	r.last, err = Get(ctx, o)
	return r.last, err
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type meteredBody struct {
	io.ReadCloser
	r *rig
}

func (b *meteredBody) Stale() bool { return isStale(b.ReadCloser) }

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if total := b.r.bytes.Add(int64(n)); b.r.received != nil {
		b.r.received(total)
	}
	return n, err
}

// wantResumed fails the test unless a run that went on from one that had
// fetched was bytes lost at most the incomplete piece of each connection.
func (r *rig) wantResumed(res *Result, was int64) {
	r.t.Helper()
	if lost := was - res.BytesResumed; lost > int64(r.opts.Connections)*mib || res.BytesResumed+res.BytesFetched != res.Bytes {
		r.t.Errorf("fetched %d bytes before; resumed %d, fetched %d of %d", was, res.BytesResumed, res.BytesFetched, res.Bytes)
	}
}

// resumable reports what an error says about going on.
func resumable(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Resumable
}

// must downloads and fails the test unless name holds data and nothing else is
// left.
func (r *rig) must(name string, data []byte) *Result {
	r.t.Helper()
	res, err := r.get(r.t.Context())
	if err != nil {
		r.t.Fatalf("download: %v", err)
	}
	r.wantFile(name, data)
	if names := r.dir.Names(); len(names) != 1 {
		r.t.Errorf("files left: %q", names)
	}
	if res.Bytes != int64(len(data)) {
		r.t.Errorf("Bytes = %d, want %d", res.Bytes, len(data))
	}
	if e := r.events[len(r.events)-1]; e.Kind != EventDone || e.Result != res {
		r.t.Errorf("last event %+v", e)
	}
	return res
}

// fails downloads and fails the test unless that gives an error of kind k and
// no finished file.
func (r *rig) fails(k Kind) *Error {
	r.t.Helper()
	_, err := r.get(r.t.Context())
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != k {
		r.t.Fatalf("error %v (%v), want one of kind %v", err, kindOf(err), k)
	}
	for _, name := range r.dir.Names() {
		if !strings.HasSuffix(name, partSuffix) && !strings.HasSuffix(name, journalSuffix) && !strings.HasSuffix(name, badSuffix) {
			r.t.Errorf("file %q has appeared", name)
		}
	}
	return e
}

func kindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return -1
}

func (r *rig) wantFile(name string, data []byte) {
	r.t.Helper()
	got := r.dir.Bytes(name)
	if got == nil {
		r.t.Fatalf("there is no %s, only %q", name, r.dir.Names())
	}
	if !bytes.Equal(got, data) {
		at := 0
		for at < min(len(got), len(data)) && got[at] == data[at] {
			at++
		}
		r.t.Fatalf("%s differs from byte %d on (%d bytes, want %d)", name, at, len(got), len(data))
	}
}

func (r *rig) count(k EventKind) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

// hasNote reports whether a note contains text.
func (r *rig) hasNote(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.events, func(e Event) bool {
		return e.Kind == EventNote && strings.Contains(e.Reason, text)
	})
}

// hijack takes the connection from the server and closes it.
func hijack(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	if tc, ok := c.(interface{ SetLinger(int) error }); ok {
		tc.SetLinger(0)
	}
	c.Close()
}
