package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/faultfile"
	"github.com/chunkget/chunkget/journal"
)

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
