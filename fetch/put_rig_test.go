package fetch

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/serve"
)

// putRig is a server that takes uploads into dir, and a file to be sent.
type putRig struct {
	t      *testing.T
	dir    string // of the server
	file   string
	record string
	base   string // its URL
	client http.RoundTripper
	events []Event

	tries       int
	connections int

	handler http.Handler
	patched chan struct{} // has an element for each request for data that was answered

	mu     sync.Mutex
	before func(w http.ResponseWriter, r *http.Request) bool // answers instead; guarded by mu
}

func newPutRig(t *testing.T, tr transport, data []byte) *putRig {
	t.Helper()
	r := &putRig{t: t, dir: t.TempDir(), tries: 3, connections: 4, patched: make(chan struct{}, 1000)}
	own := t.TempDir()
	r.file, r.record = filepath.Join(own, "file"), filepath.Join(own, "record")
	r.write(data)
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	h, err := serve.New(root, serve.Options{Upload: new(serve.UploadOptions)})
	if err != nil {
		t.Fatal(err)
	}
	r.handler = h
	t.Cleanup(func() {
		h.Close()
		root.Close()
	})
	r.base, r.client = tr.serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		before := r.before
		r.mu.Unlock()
		if before == nil || !before(w, req) {
			h.ServeHTTP(w, req)
			if req.Method == http.MethodPatch {
				r.patched <- struct{}{}
			}
		}
	}))
	return r
}

func (r *putRig) write(data []byte) {
	r.t.Helper()
	if err := os.WriteFile(r.file, data, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// answer sets what answers instead of the server.
func (r *putRig) answer(f func(w http.ResponseWriter, req *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = f
}

// breakAfter lets n requests for data be answered, and then breaks all others.
func (r *putRig) breakAfter(n int) {
	var patches atomic.Int64
	unanswered := make(chan int, 1) // who has it waits for so many
	unanswered <- n
	r.answer(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPatch && patches.Add(1) > int64(n) {
			for range <-unanswered {
				<-r.patched
			}
			unanswered <- 0
			panic(http.ErrAbortHandler)
		}
		return false
	})
}

func (r *putRig) put(ctx context.Context, rt http.RoundTripper) (*Result, error) {
	r.t.Helper()
	u, err := url.Parse(r.base + "/big file")
	if err != nil {
		r.t.Fatal(err)
	}
	if rt == nil {
		rt = r.client
	}
	r.events = nil
	return Put(ctx, PutOptions{
		Options: Options{
			URL: u, Transport: rt, Connections: r.connections, Output: r.file,
			Retry:   RetryPolicy{Tries: r.tries, MinDelay: time.Millisecond, MaxDelay: time.Millisecond},
			Observe: func(e Event) { r.events = append(r.events, e) },
		},
		Record: r.record,
	})
}

// must puts the file and checks what is at the server.
func (r *putRig) must(want []byte) *Result {
	r.t.Helper()
	res, err := r.put(r.t.Context(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.has(want)
	if _, err := os.Stat(r.record); err == nil {
		r.t.Error("the record is left")
	}
	if !res.Verified || res.Bytes != int64(len(want)) {
		r.t.Errorf("%+v", res)
	}
	return res
}

func (r *putRig) has(want []byte) {
	r.t.Helper()
	got, err := os.ReadFile(filepath.Join(r.dir, "big file"))
	if err != nil || !bytes.Equal(got, want) {
		r.t.Errorf("the server has %d bytes, not the %d that were sent: %v", len(got), len(want), err)
	}
}

// partials returns how many files of partial uploads the server has.
func (r *putRig) partials() int {
	entries, err := os.ReadDir(filepath.Join(r.dir, ".chunkget-uploads"))
	if err != nil {
		r.t.Fatal(err)
	}
	return len(entries)
}

// left is partials when requests that are over for the client are over for the
// server.
func (r *putRig) left() (n int) {
	comesAbout(30_000, func() bool { n = r.partials(); return n == 0 })
	return n
}

func (r *putRig) count(k EventKind) (n int) {
	for _, e := range r.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

func (r *putRig) fails(kind Kind, rt http.RoundTripper) *Error {
	r.t.Helper()
	_, err := r.put(r.t.Context(), rt)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != kind {
		r.t.Fatalf("%v, want kind %v", err, kind)
	}
	return e
}
