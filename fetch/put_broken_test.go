package fetch

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

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
