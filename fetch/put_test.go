package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/merkle"
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

func TestPut(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, size := range []int{0, 1, mib, 9*mib + 5} {
			data := randomData(size, uint64(size))
			r := newPutRig(t, tr, data)
			res := r.must(data)
			if res.BytesSent != int64(size) || res.BytesResumed != 0 || res.Retries != 0 || res.Connections > 4 || r.left() != 0 {
				t.Errorf("%d bytes: %+v, %d files left", size, res, r.left())
			}
			if size > 0 && r.count(EventStart) != 1 || r.count(EventDone) != 1 {
				t.Errorf("%d bytes: events %+v", size, r.events)
			}
			// What is there already is success if it is the same, and stays if not.
			if res := r.must(data); !res.Intact || res.BytesSent != 0 {
				t.Errorf("%d bytes again: %+v", size, res)
			}
			r.write(append(bytes.Clone(data), 'x'))
			if e := r.fails(KindDisk, nil); e.StatusCode != 409 || e.Resumable || !strings.Contains(e.Hint, "another name") {
				t.Errorf("%d bytes, another file: %+v", size, e)
			}
			r.has(data)
		}
	})
}

// What the server has is not sent again, with the record of the run before and
// without.
func TestPutResumes(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(24*mib, 1)
		for _, recorded := range []bool{true, false} {
			r := newPutRig(t, tr, data)
			r.tries = 1
			r.breakAfter(2)
			if e := r.fails(KindNetwork, nil); !e.Resumable {
				t.Errorf("not resumable: %+v", e)
			}
			if !recorded {
				os.Remove(r.record)
			}
			var posts atomic.Int64
			r.answer(func(_ http.ResponseWriter, req *http.Request) bool {
				if req.Method == http.MethodPost {
					posts.Add(1)
				}
				return false
			})
			res := r.must(data)
			if res.BytesResumed < 2*mib || res.BytesSent != int64(len(data))-res.BytesResumed || r.left() != 0 {
				t.Errorf("recorded %v: %+v, %d files left", recorded, res, r.left())
			}
			if recorded != (posts.Load() == 0) {
				t.Errorf("recorded %v: %d trees were sent", recorded, posts.Load())
			}
		}
	})
}

// Requests that break are made again, for what the server did not get.
func TestPutRetries(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(12*mib, 2)
		r := newPutRig(t, tr, data)
		r.tries = 5
		var patches atomic.Int64
		r.answer(func(w http.ResponseWriter, req *http.Request) bool {
			if req.Method != http.MethodPatch {
				return false
			}
			switch patches.Add(1) {
			case 1:
				w.WriteHeader(http.StatusBadGateway)
				return true
			case 2:
				panic(http.ErrAbortHandler)
			case 3: // two thirds arrive
				req.Body = io.NopCloser(io.LimitReader(req.Body, req.ContentLength*2/3))
				r.handler.ServeHTTP(deadWriter{w}, req)
			}
			return false
		})
		if res := r.must(data); res.Retries < 3 || r.count(EventRetry) != res.Retries {
			t.Errorf("%+v with %d events", res, r.count(EventRetry))
		}
	})
}

// deadWriter answers nobody.
type deadWriter struct{ http.ResponseWriter }

func (deadWriter) WriteHeader(int) { panic(http.ErrAbortHandler) }

// Failures count only as long as nothing arrives.
func TestPutProgressCounts(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(24*mib, 11)
		r := newPutRig(t, tr, data)
		r.tries = 2
		r.answer(func(w http.ResponseWriter, req *http.Request) bool {
			if req.Method == http.MethodPatch && req.ContentLength > mib {
				req.Body = io.NopCloser(io.LimitReader(req.Body, req.ContentLength*2/3))
				r.handler.ServeHTTP(deadWriter{w}, req)
			}
			return false
		})
		if res := r.must(data); res.Retries < 6 {
			t.Errorf("%+v", res)
		}
	})
}

// A file that has changed since an interruption is sent anew, and what was sent of
// the other is discarded.
func TestPutChangedFile(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(12*mib, 3)
		r := newPutRig(t, tr, data)
		r.tries = 1
		r.breakAfter(1)
		r.fails(KindNetwork, nil)
		if n := r.partials(); n != 3 {
			t.Fatalf("%d files of the upload", n)
		}
		r.answer(nil)
		other := randomData(11*mib, 4)
		r.write(other)
		if res := r.must(other); res.BytesResumed != 0 || r.left() != 0 {
			t.Errorf("%+v, %d files left", res, r.left())
		}
		if r.count(EventNote) != 1 {
			t.Errorf("events %+v", r.events)
		}
	})
}

// flipping changes a byte of request bodies as long as there are some to change.
type flipping struct {
	http.RoundTripper
	left *atomic.Int64
}

func (f flipping) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPatch && f.left.Add(-1) >= 0 {
		req = req.Clone(req.Context())
		req.Body = &flippedBody{ReadCloser: req.Body}
	}
	return f.RoundTripper.RoundTrip(req)
}

type flippedBody struct {
	io.ReadCloser
	done bool
}

func (b *flippedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 && !b.done {
		p[0] ^= 1
		b.done = true
	}
	return n, err
}

func TestPutWrongPieces(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(6*mib, 5)
		for _, tt := range []struct {
			flips int64
			fails bool
		}{{1, false}, {1 << 30, true}} {
			r := newPutRig(t, tr, data)
			rt := flipping{r.client, new(atomic.Int64)}
			rt.left.Store(tt.flips)
			if tt.fails {
				if e := r.fails(KindIntegrity, rt); CodeOf(e) != CodePieceMismatch {
					t.Errorf("%+v", e)
				}
				if _, err := os.Stat(filepath.Join(r.dir, "big file")); err == nil {
					t.Error("a wrong file is there")
				}
			} else {
				res, err := r.put(t.Context(), rt)
				if err != nil || res.PiecesBad != 1 || r.count(EventPieceBad) != 1 {
					t.Errorf("%+v, %v", res, err)
				}
				r.has(data)
			}
		}
	})
}

// A file that is written to while it is sent does not arrive.
func TestPutFileWrittenTo(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		r := newPutRig(t, tr, randomData(8*mib, 6))
		var once sync.Once
		r.answer(func(_ http.ResponseWriter, req *http.Request) bool {
			if req.Method == http.MethodPost { // its tree has been computed
				once.Do(func() { r.write(randomData(8*mib+1, 7)) })
			}
			return false
		})
		if e := r.fails(KindIntegrity, nil); !strings.Contains(e.Error(), "has changed") {
			t.Errorf("%v", e)
		}
	})
}

// rewrite changes the beginning of the file, whose time says so however coarse the
// file system's clock is.
func (r *putRig) rewrite(size int) {
	r.t.Helper()
	f, err := os.OpenFile(r.file, os.O_WRONLY, 0)
	if err != nil {
		r.t.Error(err)
		return
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{'x'}, size), 0)
	when := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := errors.Join(err, f.Close(), os.Chtimes(r.file, when, when)); err != nil {
		r.t.Error(err)
	}
}

// What has changed is noticed although the server has it already and finds nothing
// wrong: as long as more is to come nothing appears there, and after that nobody is
// told that the file is there.
func TestPutFileWrittenToBehind(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(12*mib, 12)
		for _, last := range []bool{false, true} {
			r := newPutRig(t, tr, data)
			r.connections = 1
			var sent int64 // of all requests, which come one after the other
			r.answer(func(w http.ResponseWriter, req *http.Request) bool {
				if req.Method != http.MethodPatch {
					return false
				}
				first := sent == 0
				sent += req.ContentLength
				body, err := io.ReadAll(req.Body)
				if err != nil {
					t.Error(err)
				}
				req.Body = io.NopCloser(bytes.NewReader(body))
				if first && !last || sent == int64(len(data)) {
					r.rewrite(100)
				}
				return false
			})
			e := r.fails(KindIntegrity, nil)
			if e.Resumable || !strings.Contains(e.Error(), "has changed") || last != strings.Contains(e.Error(), "from before is at the server") || last != strings.Contains(e.Hint, "overwrites nothing") {
				t.Errorf("last %v: %v; hint %q", last, e, e.Hint)
			}
			if last {
				r.has(data)
				if _, err := os.Stat(r.record); err == nil {
					t.Error("the record is left")
				}
			} else if _, err := os.Stat(filepath.Join(r.dir, "big file")); err == nil {
				t.Error("a version that is no more has appeared")
			}
		}
	})
}

// A file that changes while it is hashed has no tree to be told.
func TestPutFileWrittenToWhileHashed(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		r := newPutRig(t, tr, randomData(12*mib, 13))
		r.tries = 1
		r.breakAfter(1)
		r.fails(KindNetwork, nil)
		var posts atomic.Int64
		r.answer(func(w http.ResponseWriter, req *http.Request) bool {
			switch req.Method {
			case http.MethodGet: // the upload of the record, without which the file is hashed
				r.rewrite(100)
				http.Error(w, "no such upload", http.StatusNotFound)
				return true
			case http.MethodPost:
				posts.Add(1)
			}
			return false
		})
		if e := r.fails(KindIntegrity, nil); !strings.Contains(e.Error(), "has changed") || posts.Load() != 0 {
			t.Errorf("%v, %d trees were sent", e, posts.Load())
		}
	})
}

// An upload that the server has lost is begun again.
func TestPutLost(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(12*mib, 8)
		r := newPutRig(t, tr, data)
		var once sync.Once
		r.answer(func(w http.ResponseWriter, req *http.Request) bool {
			lost := false
			if req.Method == http.MethodPatch {
				once.Do(func() {
					lost = true
					http.Error(w, "no such upload", http.StatusNotFound)
				})
			}
			return lost
		})
		r.must(data)
	})
}

// All has arrived, and the server was stopped before it said so.
func TestPutUnsaid(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(4*mib, 9)
		r := newPutRig(t, tr, data)
		r.tries = 1
		r.answer(func(w http.ResponseWriter, req *http.Request) bool {
			if req.Method != http.MethodPatch {
				return false
			}
			// The name is taken as long as the data comes.
			os.WriteFile(filepath.Join(r.dir, "big file"), nil, 0o600)
			return false
		})
		r.fails(KindDisk, nil)
		if err := os.Remove(filepath.Join(r.dir, "big file")); err != nil {
			t.Fatal(err)
		}
		r.answer(nil)
		if res := r.must(data); res.BytesSent != 0 || res.BytesResumed != 4*mib {
			t.Errorf("%+v", res)
		}
	})
}

func TestPutInterrupted(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		r := newPutRig(t, tr, randomData(8*mib, 10))
		ctx, cancel := context.WithCancel(t.Context())
		r.answer(func(_ http.ResponseWriter, req *http.Request) bool {
			if req.Method == http.MethodPatch {
				cancel()
			}
			return false
		})
		_, err := r.put(ctx, nil)
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindInterrupted || !e.Resumable {
			t.Errorf("%+v", err)
		}
	})
}

// Refusals have their kind, say what the server says, and what to do.
func TestPutRefused(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct {
			status int
			kind   Kind
			hint   string
		}{
			{302, KindHTTPStatus, "elsewhere"}, {401, KindAuth, ""}, {403, KindAuth, ""}, {404, KindHTTPStatus, "folder"},
			{405, KindHTTPStatus, "--upload"}, {413, KindHTTPStatus, "--upload-max-size"}, {415, KindHTTPStatus, "curl -T"},
			{507, KindDisk, "--upload-quota"}, {503, KindHTTPStatus, ""}, {200, KindHTTPStatus, "curl -T"},
		} {
			r := newPutRig(t, tr, []byte("data"))
			var asked atomic.Int64
			r.answer(func(w http.ResponseWriter, req *http.Request) bool {
				asked.Add(1)
				w.Header().Set("Location", "")
				http.Error(w, "what\x1b it says\nmore", tt.status)
				return true
			})
			e := r.fails(tt.kind, nil)
			if e.StatusCode != tt.status || !strings.Contains(e.Hint, tt.hint) || e.Resumable || tt.status != 200 && !strings.Contains(e.Error(), `"what\x1b it says"`) {
				t.Errorf("%d: %v; hint %q", tt.status, e, e.Hint)
			}
			if want := map[bool]int64{true: 3, false: 1}[tt.status == 503 || tt.status == 200]; asked.Load() != want {
				t.Errorf("%d: asked %d times, not %d", tt.status, asked.Load(), want)
			}
		}
		r := newPutRig(t, tr, nil)
		r.file = r.dir
		r.fails(KindDisk, nil)
		r.file = filepath.Join(r.dir, "none")
		r.fails(KindDisk, nil)
	})
}

func FuzzUploadState(f *testing.F) {
	f.Add([]byte(`{"size":3000000,"piece_size":1048576,"received":[{"first":0,"last":1048575},{"first":2097152,"last":2999999}]}`))
	f.Add([]byte(`{"size":3000000,"piece_size":1048576,"received":[{"first":-1,"last":1}]}`))
	f.Add([]byte(`{"size":3000000,"piece_size":1048576,"received":[{"first":1,"last":1048575}]}`))
	f.Add([]byte(`{"size":3000000,"piece_size":1048576,"received":[{"first":0,"last":1048574}]}`))
	f.Add([]byte(`{"size":3000000,"piece_size":1048576,"received":[{"first":0,"last":3000000}]}`))
	f.Add([]byte(`[]`))
	l, err := merkle.NewLayout(3_000_000, mib)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		have, err := parseUploadState(b, l)
		if err != nil {
			return
		}
		for r := range have.All() {
			if r.Start < 0 || r.End > l.Size || r.Empty() || r.Start%l.PieceSize != 0 || r.End != l.Size && r.End%l.PieceSize != 0 {
				t.Errorf("%v of %s", r, b)
			}
		}
	})
}

func FuzzWrongPieces(f *testing.F) {
	f.Add([]byte(`{"error":"x","wrong_pieces":[0,2]}`))
	f.Add([]byte(`{"wrong_pieces":[3]}`))
	l, err := merkle.NewLayout(3_000_000, mib)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		wrong := wrongPieces(b, l)
		if wrong == nil {
			return
		}
		for _, i := range wrong.pieces {
			if i < 0 || i >= l.Pieces() {
				t.Errorf("piece %d of %s", i, b)
			}
		}
	})
}

func FuzzPutRecord(f *testing.F) {
	b, err := json.Marshal(putRecord{URL: "udt://h/x", Upload: "udt://h/x?upload=1", Size: 1, Root: strings.Repeat("0a", 32)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"url":"x"}`))
	f.Add([]byte(`{"url":"udt://h/x","upload":"udt://h/x?upload=1","size":1,"root":"0a"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parsePutRecord(b); err == nil && (r.Size < 0 || r.root.String() != strings.ToLower(r.Root)) {
			t.Errorf("%+v of %s", r, b)
		}
	})
}
