package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// tellsIn has f announce a digest in answers to requests of the method.
func tellsIn(f *file, method string, sum []byte) {
	f.script = func(_ *file, _ int, w http.ResponseWriter, r *http.Request) bool {
		if r.Method == method {
			w.Header().Set("Repr-Digest", reprField(sum))
		}
		return false
	}
}

// hashing is f, which announces a digest once it has been asked for its tree, as a server
// does that computes both in one pass. Until on, it computes none.
type hashing struct {
	*file
	sum       []byte
	on, known atomic.Bool
}

func newHashing(f *file, sum []byte) *hashing {
	h := &hashing{file: f, sum: sum}
	h.on.Store(true)
	f.script = func(_ *file, _ int, w http.ResponseWriter, _ *http.Request) bool {
		if h.known.Load() {
			w.Header().Set("Repr-Digest", reprField(h.sum))
		}
		return false
	}
	return h
}

func (h *hashing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery == "digest=tree" && h.on.Load() {
		h.known.Store(true)
	}
	h.file.ServeHTTP(w, r)
}

func methods(f *file) (asked []string) {
	for _, r := range f.asked() {
		asked = append(asked, r.Method)
	}
	return asked
}

// TestServerDigest: the digest that the server announces counts where it is asked for,
// beside a hash tree and of any size.
func TestServerDigest(t *testing.T) {
	large, wrong := randomData(digestBesideTree+1, 80), sha256.Sum256(nil)
	overAll(t, func(t *testing.T, tr transport) {
		data, sum := large, sha256.Sum256(large)
		right := Digest{"sha-256", sum[:]}
		asking := func(t *testing.T, h http.Handler) *rig {
			r := newRig(t, tr, h, "/x")
			r.opts.ServerDigest = true
			return r
		}
		// mismatch: as a file and to a writer, the digest is found to be another one.
		mismatch := func(t *testing.T, r *rig, hint string) {
			t.Helper()
			if e := r.fails(KindIntegrity); CodeOf(e) != CodeDigestMismatch || e.Resumable || !strings.Contains(e.Hint, hint) || !strings.Contains(e.Error(), digestAnnounced) {
				t.Errorf("%+v", e)
			}
			r.wantFile("x.bad", data)
			if n := r.dir.Names(); len(n) != 1 {
				t.Errorf("files left: %q", n)
			}
			r.opts.Writer = new(bytes.Buffer)
			if e := r.fails(KindIntegrity); CodeOf(e) != CodeDigestMismatch {
				t.Errorf("to a writer: %+v", e)
			}
		}
		match := func(t *testing.T, r *rig) {
			t.Helper()
			if res := r.must("x", data); !res.Digest.Equal(right) || r.count(EventDigestUnused) != 0 {
				t.Errorf("%+v", res)
			}
			var to bytes.Buffer
			r.opts.Writer = &to
			if res, err := r.get(t.Context()); err != nil || !res.Digest.Equal(right) || !bytes.Equal(to.Bytes(), data) {
				t.Errorf("to a writer: %v, %+v", err, res)
			}
		}
		inBubble(t, "beside a tree", func(t *testing.T) {
			f := &file{data: data, etag: `"a"`, tree: true, repr: sum[:]}
			match(t, asking(t, f))
			if slices.Contains(methods(f), http.MethodHead) {
				t.Error("asked for what was told")
			}
			mismatch(t, asking(t, &file{data: data, etag: `"a"`, tree: true, repr: wrong[:]}), "contradict")
		})
		data = data[:5*mib] // of any size
		sum = sha256.Sum256(data)
		right = Digest{"sha-256", sum[:]}
		inBubble(t, "once the tree is computed", func(t *testing.T) {
			for _, to := range []string{"file", "writer"} {
				f := &file{data: data, etag: `"a"`, tree: true}
				r := asking(t, newHashing(f, sum[:]))
				if to == "writer" {
					r.opts.Writer = new(bytes.Buffer)
				}
				if res, err := r.get(t.Context()); err != nil || !res.Digest.Equal(right) || !res.Verified {
					t.Errorf("%s: %v, %+v", to, err, res)
				}
			}
			mismatch(t, asking(t, newHashing(&file{data: data, etag: `"a"`, tree: true}, wrong[:])), "contradict")
		})
		inBubble(t, "without a tree", func(t *testing.T) {
			f := &file{data: data, etag: `"a"`}
			tellsIn(f, http.MethodHead, sum[:])
			match(t, asking(t, f))
			f = &file{data: data, etag: `"a"`}
			tellsIn(f, http.MethodHead, wrong[:])
			mismatch(t, asking(t, f), "source")
		})
		inBubble(t, "in one stream", func(t *testing.T) {
			f := &file{data: data}
			tellsIn(f, http.MethodHead, sum[:])
			match(t, asking(t, f))
		})
	})
}

// TestServerDigestMissing: that there is none is told before anything is fetched, or, of
// a server that may still compute it, when the file is complete.
func TestServerDigestMissing(t *testing.T) {
	data := randomData(5*mib, 81)
	run(t, func(t *testing.T, tr transport) {
		for _, status := range []int{0, http.StatusMethodNotAllowed, http.StatusNotImplemented} {
			for _, w := range []*bytes.Buffer{nil, new(bytes.Buffer)} {
				f := &file{data: data, etag: `"a"`, script: func(_ *file, _ int, w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodHead && status != 0 {
						w.WriteHeader(status)
						return true
					}
					return false
				}}
				r := newRig(t, tr, f, "/x")
				if r.opts.ServerDigest = true; w != nil {
					r.opts.Writer = w
				}
				e := r.fails(KindOther)
				if CodeOf(e) != CodeNoDigest || e.Resumable || !strings.Contains(e.Error(), "HEAD") || !strings.Contains(e.Hint, "--checksum sha256:HEX") {
					t.Errorf("status %d: %+v", status, e)
				}
				if got := methods(f); !slices.Equal(got, []string{http.MethodGet, http.MethodHead}) {
					t.Errorf("status %d: asked %q", status, got)
				}
				if n := r.dir.Names(); len(n) > 0 {
					t.Errorf("status %d: files left: %q", status, n)
				}
			}
		}

		f := &file{data: data, etag: `"a"`, tree: true}
		r := newRig(t, tr, f, "/x")
		r.opts.ServerDigest = true
		if e := r.fails(KindOther); CodeOf(e) != CodeNoDigest || !e.Resumable {
			t.Errorf("beside a tree: %+v", e)
		}
		r.opts.ServerDigest = false
		if res := r.must("x", data); res.BytesFetched > 0 {
			t.Errorf("fetched %d bytes again", res.BytesFetched)
		}

		// Neither a server that breaks nor another version is one that has none.
		f = &file{data: data, etag: `"a"`, script: func(_ *file, _ int, w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusForbidden)
			}
			return r.Method == http.MethodHead
		}}
		r = newRig(t, tr, f, "/x")
		r.opts.ServerDigest = true
		r.fails(KindAuth)
		f = &file{data: data, etag: `"a"`, script: func(_ *file, _ int, w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				w.Header().Set("Etag", `"b"`)
			}
			return false
		}}
		r = newRig(t, tr, f, "/x")
		r.opts.ServerDigest = true
		r.fails(KindRemoteChanged)

		// There is but one file of no bytes.
		r = newRig(t, tr, &file{etag: `"a"`, tree: true}, "/x")
		r.opts.ServerDigest = true
		r.must("x", nil)

		r = newRig(t, tr, &file{data: data, etag: `"a"`}, "/x")
		r.opts.ServerDigest = true
		r.opts.Digest = Digest{"sha-256", make([]byte, sha256.Size)}
		r.fails(KindUsage)
	})
}

// TestServerDigestResumed: what goes on from an earlier run is held against the server's
// digest as well, also if it needs no tree, so that the server has not been asked to
// compute any.
func TestServerDigestResumed(t *testing.T) {
	data := randomData(12*mib, 82)
	sum, wrong := sha256.Sum256(data), sha256.Sum256(nil)
	run(t, func(t *testing.T, tr transport) {
		for _, tree := range []bool{true, false} {
			f := &file{data: data, etag: `"a"`, tree: tree}
			tellsIn(f, http.MethodHead, sum[:])
			r := newRig(t, tr, f, "/x")
			r.opts.ServerDigest = true
			ctx, cancel := context.WithCancel(t.Context())
			r.received = func(n int64) {
				if n > 6*mib {
					cancel()
				}
			}
			if _, err := r.get(ctx); kindOf(err) != KindInterrupted {
				t.Fatalf("tree %v: %v", tree, err)
			}
			was := r.last.BytesFetched
			r.received = nil
			res := r.must("x", data)
			r.wantResumed(res, was)
			if !res.Digest.Equal(Digest{"sha-256", sum[:]}) {
				t.Errorf("tree %v: %+v", tree, res)
			}
		}

		for _, told := range [][]byte{sum[:], wrong[:]} {
			h := newHashing(&file{data: data, etag: `"a"`, tree: true}, told)
			h.on.Store(false)
			r := newRig(t, tr, h, "/x")
			r.opts.ServerDigest = true
			r.fails(KindOther) // complete, but for the digest
			h.on.Store(true)
			if bytes.Equal(told, sum[:]) {
				if res := r.must("x", data); res.BytesFetched > 0 {
					t.Errorf("fetched %d bytes again", res.BytesFetched)
				}
				continue
			}
			if e := r.fails(KindIntegrity); CodeOf(e) != CodeDigestMismatch {
				t.Errorf("%+v", e)
			}
			r.wantFile("x.bad", data)
		}
	})
}

// TestServerDigestOfLocalFiles: repair and Check hold against it what the tree proves.
func TestServerDigestOfLocalFiles(t *testing.T) {
	data := randomData(3*mib, 83)
	sum, wrong := sha256.Sum256(data), sha256.Sum256(nil)
	run(t, func(t *testing.T, tr transport) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		for _, local := range [][]byte{data, damaged(data, mib)} {
			f := &file{data: data, etag: `"a"`, tree: true, leaves: true}
			r := newRig(t, tr, newHashing(f, sum[:]), "/x")
			r.opts.ServerDigest = true
			r.dir.Put("x", local)
			if res := r.mustRepair(data); !res.Digest.Equal(Digest{"sha-256", sum[:]}) {
				t.Errorf("%+v", res)
			}
			r = newRig(t, tr, &file{data: data, etag: `"a"`, tree: true, leaves: true, repr: wrong[:]}, "/x")
			r.opts.ServerDigest = true
			r.dir.Put("x", local)
			if _, err := r.repair(); kindOf(err) != KindIntegrity || CodeOf(err) != CodeDigestMismatch || !strings.Contains(err.Error(), digestAnnounced) {
				t.Errorf("repair: %v", err)
			}
			r.wantFile("x", local)
			r = newRig(t, tr, &file{data: data, etag: `"a"`, tree: true, leaves: true}, "/x")
			r.opts.ServerDigest = true
			r.dir.Put("x", local)
			if _, err := r.repair(); CodeOf(err) != CodeNoDigest {
				t.Errorf("repair: %v", err)
			}
		}
		for _, tree := range []bool{true, false} {
			for _, tt := range []struct {
				told []byte
				code Code
			}{{sum[:], ""}, {wrong[:], CodeDigestMismatch}, {nil, CodeNoDigest}} {
				f := &file{data: data, etag: `"a"`, tree: tree}
				if tt.told != nil {
					tellsIn(f, http.MethodHead, tt.told)
				}
				r := newRig(t, tr, f, "/x")
				r.opts.Output, r.opts.ServerDigest = path, true
				rep, err := Check(t.Context(), CheckOptions{Options: r.opts})
				if CodeOf(err) != tt.code || err == nil && !rep.Digest.Equal(Digest{"sha-256", sum[:]}) {
					t.Errorf("tree %v: %v, %+v; want code %q", tree, err, rep, tt.code)
				}
			}
		}
	})
}
