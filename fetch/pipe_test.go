package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/merkle"
)

// pipeTo runs r with a writer, and fails the test if that leaves a file behind.
func pipeTo(r *rig, w io.Writer) (*Result, error) {
	r.t.Helper()
	r.opts.Writer = w
	res, err := r.get(r.t.Context())
	if names := r.dir.Names(); len(names) > 0 {
		r.t.Errorf("files left: %q", names)
	}
	if resumable(err) {
		r.t.Errorf("resumable: %v", err)
	}
	return res, err
}

func TestPipe(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct {
			name     string
			file     *file
			size, n  int
			verified bool
		}{
			{"tree", &file{etag: `"a"`, tree: true}, 20*mib + 7, 4, true},
			{"one connection", &file{etag: `"a"`, tree: true}, 20*mib + 7, 1, true},
			{"more connections than pieces", &file{etag: `"a"`, tree: true}, 3 * mib, 16, true},
			{"no tree", &file{etag: `"a"`}, 9*mib + 1, 4, false},
			{"nothing to tell versions apart", &file{}, 9*mib + 1, 4, false},
			{"one byte", &file{etag: `"a"`, tree: true}, 1, 4, true},
			{"empty", &file{etag: `"a"`, tree: true}, 0, 4, true},
			{"connections break", &file{etag: `"a"`, tree: true, rewrite: func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
				return &limitedWriter{ResponseWriter: w, left: 1_700_000}
			}}, 12 * mib, 4, true},
		} {
			inBubble(t, tt.name, func(t *testing.T) {
				f := tt.file
				f.data = randomData(tt.size, 3)
				r := newRig(t, tr, f, "/x")
				r.opts.Connections = tt.n
				var got bytes.Buffer
				res, err := pipeTo(r, &got)
				if err != nil || !bytes.Equal(got.Bytes(), f.data) {
					t.Fatalf("%d bytes of %d, %v", got.Len(), len(f.data), err)
				}
				if res.Bytes != int64(len(f.data)) || res.Verified != tt.verified || res.BytesFetched != res.Bytes {
					t.Errorf("%+v", res)
				}
			})
		}
	})
}

// A reader that takes nothing for a while costs the window and no more.
func TestPipeMemoryIsBounded(t *testing.T) {
	needsVirtualTime(t)
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(pipeMemory+pipeMemory/4, 4), etag: `"a"`, tree: true}
		r := newRig(t, tr, f, "/x")
		full := make(chan struct{})
		var written, most atomic.Int64
		r.received = func(n int64) {
			if n >= pipeMemory {
				select {
				case <-full:
				default:
					close(full)
				}
			}
			for held := n - written.Load(); held > most.Load(); {
				most.Store(held)
			}
		}
		var digest bytes.Buffer
		h := sha256.New()
		_, err := pipeTo(r, writerFunc(func(b []byte) (int, error) {
			<-full
			written.Add(int64(len(b)))
			return h.Write(b)
		}))
		digest.Write(h.Sum(nil))
		if want := sha256.Sum256(f.data); err != nil || !bytes.Equal(digest.Bytes(), want[:]) {
			t.Errorf("err = %v, the bytes are the right ones: %v", err, bytes.Equal(digest.Bytes(), want[:]))
		}
		// What is read of the tree is not of the window.
		if slack := int64(len(treeOf(f.data))); most.Load() > pipeMemory+slack {
			t.Errorf("%d bytes were held", most.Load())
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// badAt answers with a wrong byte at one offset, for so many requests that
// contain it.
func badAt(at int, times int32) func(*file, int, http.ResponseWriter, *http.Request) bool {
	var told atomic.Int32
	return func(f *file, _ int, w http.ResponseWriter, r *http.Request) bool {
		bad := bytes.Clone(f.data)
		bad[at] ^= 1
		cw := &touchingWriter{ResponseWriter: w}
		if told.Load() >= times {
			return false
		}
		http.ServeContent(cw, r, "", time.Time{}, bytes.NewReader(bad))
		if cw.start <= at && at < cw.start+cw.n {
			told.Add(1)
		}
		return true
	}
}

// touchingWriter learns which bytes of the file an answer holds.
type touchingWriter struct {
	http.ResponseWriter
	start, n int
}

func (w *touchingWriter) WriteHeader(code int) {
	if cr, err := parseContentRange(w.Header().Get("Content-Range")); err == nil {
		w.start = int(cr.r.Start)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *touchingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.n += n
	return n, err
}

// A wrong piece is fetched again, and never written.
func TestPipeBadPiece(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		const at = 6*mib + 99
		f := &file{data: randomData(9*mib, 5), etag: `"a"`, tree: true, script: badAt(at, 1)}
		r := newRig(t, tr, f, "/x")
		var got bytes.Buffer
		res, err := pipeTo(r, &got)
		if err != nil || !bytes.Equal(got.Bytes(), f.data) || res.PiecesBad == 0 {
			t.Errorf("%d bytes, %d bad pieces, %v", got.Len(), res.PiecesBad, err)
		}

		f.mu.Lock()
		f.script = badAt(at, 1000)
		f.mu.Unlock()
		got.Reset()
		if _, err := pipeTo(r, &got); kindOf(err) != KindIntegrity || got.Len() > 6*mib || !bytes.HasPrefix(f.data, got.Bytes()) {
			t.Errorf("%d bytes, %v", got.Len(), err)
		}
	})
}

func TestPipeFailures(t *testing.T) {
	data := randomData(5*mib, 6)
	runPart(t, "digest", func(t *testing.T, tr transport) {
		for _, tree := range []bool{true, false} {
			wrong, right := sha256.Sum256(nil), sha256.Sum256(data)
			r := newRig(t, tr, &file{data: data, etag: `"a"`, tree: tree}, "/x")
			r.opts.Digest = Digest{"sha-256", wrong[:]}
			if _, err := pipeTo(r, io.Discard); kindOf(err) != KindIntegrity {
				t.Errorf("err = %v", err)
			}
			r.opts.Digest = Digest{"sha-256", right[:]}
			if res, err := pipeTo(r, io.Discard); err != nil || !res.Digest.Equal(r.opts.Digest) {
				t.Errorf("err = %v", err)
			}
		}
	})
	runPart(t, "writer", func(t *testing.T, tr transport) {
		full := errors.New("no more room")
		r := newRig(t, tr, &file{data: data, etag: `"a"`, tree: true}, "/x")
		_, err := pipeTo(r, writerFunc(func(b []byte) (int, error) { return 0, full }))
		if kindOf(err) != KindDisk || !errors.Is(err, full) {
			t.Errorf("err = %v", err)
		}
	})
	runPart(t, "interrupted", func(t *testing.T, tr transport) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := newRig(t, tr, &file{data: data, etag: `"a"`, tree: true}, "/x")
		r.opts.Writer = writerFunc(func(b []byte) (int, error) { cancel(); return len(b), nil })
		if _, err := r.get(ctx); kindOf(err) != KindInterrupted || resumable(err) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestWindow(t *testing.T) {
	l, err := merkle.NewLayout(100_000, merkle.LeafSize)
	if err != nil {
		t.Fatal(err)
	}
	data := randomData(100_000, 7)
	w := newWindow(l)
	for _, off := range []int{0, 16383, 16384, 99_000} {
		b := data[off:min(off+30_000, len(data))]
		if n, err := w.WriteAt(b, int64(off)); n != len(b) || err != nil {
			t.Fatalf("WriteAt(%d): %d, %v", off, n, err)
		}
		got := make([]byte, len(b))
		if n, err := w.ReadAt(got, int64(off)); n != len(b) || err != nil || !bytes.Equal(got, b) {
			t.Fatalf("ReadAt(%d): %d, %v", off, n, err)
		}
	}
	if _, err := w.WriteAt([]byte("xx"), 99_999); err == nil {
		t.Error("a write beyond the end succeeded")
	}
	if _, err := w.ReadAt(make([]byte, 1), 60_000); err != io.EOF {
		t.Errorf("a piece that is not there: %v", err)
	}
	w.release(6) // the short one, whose memory the next piece takes
	if b := w.at(3*merkle.LeafSize, true); len(b) != merkle.LeafSize {
		t.Errorf("a piece of %d bytes", len(b))
	}
}
