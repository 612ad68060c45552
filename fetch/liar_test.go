package fetch

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/faultfile"
	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
)

// changedHeader rewrites the header that the server sends.
type changedHeader struct {
	http.ResponseWriter
	f    func(h http.Header)
	once sync.Once
}

func (w *changedHeader) WriteHeader(code int) {
	w.once.Do(func() { w.f(w.Header()) })
	w.ResponseWriter.WriteHeader(code)
}

// TestLies: an answer that contradicts the question, or itself, is not
// believed: at the first request and at later ones.
func TestLies(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		const size = 10 * mib
		for _, tt := range []struct {
			name string
			lie  func(h http.Header)
			kind Kind
		}{
			{"no Content-Range", func(h http.Header) { h.Del("Content-Range") }, KindHTTPStatus},
			{"two", func(h http.Header) { h.Add("Content-Range", h.Get("Content-Range")) }, KindHTTPStatus},
			{"garbage", func(h http.Header) { h.Set("Content-Range", "bytes x-y/z") }, KindHTTPStatus},
			{"unit", func(h http.Header) {
				h.Set("Content-Range", strings.Replace(h.Get("Content-Range"), "bytes", "lines", 1))
			}, KindHTTPStatus},
			{"another start", func(h http.Header) {
				var a, b, n int64
				fmt.Sscanf(h.Get("Content-Range"), "bytes %d-%d/%d", &a, &b, &n)
				h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a+1, b, n))
			}, KindHTTPStatus},
			{"another end", func(h http.Header) {
				var a, b, n int64
				fmt.Sscanf(h.Get("Content-Range"), "bytes %d-%d/%d", &a, &b, &n)
				h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a, b-1, n))
			}, KindHTTPStatus},
			{"shifted", func(h http.Header) {
				var a, b, n int64
				fmt.Sscanf(h.Get("Content-Range"), "bytes %d-%d/%d", &a, &b, &n)
				if b+1 < n {
					a, b = a+1, b+1
				} else {
					a, b = a-1, b-1
				}
				h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a, b, n))
			}, KindHTTPStatus},
			{"size unknown", func(h http.Header) {
				h.Set("Content-Range", strings.Replace(h.Get("Content-Range"), fmt.Sprint("/", size), "/*", 1))
			}, KindHTTPStatus},
			{"coding", func(h http.Header) { h.Set("Content-Encoding", "gzip") }, KindHTTPStatus},
		} {
			for _, from := range []int{1, 2} {
				inBubble(t, fmt.Sprint(tt.name, " from request ", from), func(t *testing.T) {
					f := &file{data: randomData(size, 11), etag: `"a"`, tree: true}
					f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
						if n < from {
							return false
						}
						f.serveFile(&changedHeader{ResponseWriter: w, f: tt.lie}, r)
						return true
					}
					r := newRig(t, tr, f, "/x")
					r.opts.Retry.Tries = 2
					if e := r.fails(tt.kind); e.Resumable != (from > 1) {
						t.Errorf("resumable = %v: %v", e.Resumable, e)
					}
					// Once is forgiven.
					if from == 2 {
						f.honest()
						r.must("x", f.data)
					}
				})
			}
		}
	})
}

// TestWrongTotal: the same tag with another size is a contradiction.
func TestWrongTotal(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(10*mib, 12), etag: `"a"`, tree: true}
		f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				return false
			}
			f.serveFile(&changedHeader{ResponseWriter: w, f: func(h http.Header) {
				h.Set("Content-Range", strings.Replace(h.Get("Content-Range"), fmt.Sprint("/", 10*mib), fmt.Sprint("/", 11*mib), 1))
			}}, r)
			return true
		}
		r := newRig(t, tr, f, "/x")
		r.fails(KindHTTPStatus)
	})
}

// chunkedPart sends data[a:b] of a part of n bytes without a Content-Length.
func chunkedPart(w http.ResponseWriter, r *http.Request, f *file, more int) {
	var a, b int
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b)
	b = min(b, len(f.data)-1)
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a, b, len(f.data)))
	w.WriteHeader(http.StatusPartialContent)
	w.(http.Flusher).Flush()
	if more < 0 {
		w.Write(f.data[a : b+1+more])
		return
	}
	w.Write(f.data[a : b+1])
	w.(http.Flusher).Flush()
	w.Write(make([]byte, more))
}

// TestTooMuchAndTooLittle: a body without Content-Length may have any length;
// only the bytes asked for count, and each of them once. The second answer comes late:
// what is too much may come when the file is complete, and counts for nothing then.
func TestTooMuchAndTooLittle(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, more := range []int{-1000, 1000} {
			f := &file{data: randomData(10*mib+5, 13), etag: `"a"`, tree: true}
			f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 2 {
					time.Sleep(time.Second)
				}
				if n%2 == 1 {
					chunkedPart(w, r, f, more)
				}
				return n%2 == 1
			}
			r := newRig(t, tr, f, "/x")
			if res := r.must("x", f.data); res.Retries == 0 || res.BytesFetched != int64(len(f.data)) {
				t.Errorf("%+d bytes: %+v", more, res)
			}
		}
	})
}

// TestRangeIgnored: a server that sends 200 gets one plain stream.
func TestRangeIgnored(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, length := range []bool{true, false} {
			for _, broken := range []int{0, 2} {
				for _, tree := range []bool{true, false} {
					inBubble(t, fmt.Sprintf("length=%v broken=%d tree=%v", length, broken, tree), func(t *testing.T) {
						f := &file{data: randomData(6*mib+3, 14), etag: `"a"`, tree: tree}
						f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
							if length {
								w.Header().Set("Content-Length", fmt.Sprint(len(f.data)))
							} else {
								w.WriteHeader(200)
								w.(http.Flusher).Flush()
							}
							if n <= broken {
								w = &limitedWriter{ResponseWriter: w, left: 3 * mib}
							}
							w.Write(f.data)
							return true
						}
						r := newRig(t, tr, f, "/x")
						res := r.must("x", f.data)
						if res.Connections != 1 || res.Retries != broken || !r.hasNote("one stream") {
							t.Errorf("%+v, events %+v", res, r.events)
						}
						if res.Verified != (tree && length) {
							t.Errorf("Verified = %v", res.Verified)
						}
					})
				}
			}
		}
	})
}

// TestRangeIgnoredLater: a server that stops sending parts fails the download
// and does not have its whole file taken for a part.
func TestRangeIgnoredLater(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(10*mib, 15), etag: `"a"`, tree: true}
		f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				w.Write(f.data)
			}
			return n > 1
		}
		r := newRig(t, tr, f, "/x")
		if e := r.fails(KindHTTPStatus); !e.Resumable {
			t.Errorf("%+v", e)
		}
	})
}

// TestRangeIgnoredOnResume: then a part is needed, and what is on disk is not
// thrown away without being asked.
func TestRangeIgnoredOnResume(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for i, recorded := range [][]int{{0, 1, 2}, {0, 1, 2}, nil, nil} {
			f := &file{data: randomData(6*mib, 15), etag: `"a"`, tree: true}
			var changed atomic.Bool
			f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
				if changed.Load() {
					w.Header().Set("Etag", `"b"`)
				}
				if i%2 == 0 {
					w.Header().Set("Content-Length", fmt.Sprint(len(f.data)))
				}
				w.Write(f.data)
				return true
			}
			r := newRig(t, tr, f, "/x")
			r.dir = leftBehind(t, f.data, r.opts.URL.String(), recorded, nil)
			r.fails(KindRangeUnsupported)
			changed.Store(true)
			r.fails(KindRemoteChanged)
			changed.Store(false)
			r.opts.Restart = true
			if res := r.must("x", f.data); res.BytesResumed != 0 {
				t.Errorf("%+v", res)
			}
		}
	})
}

// TestStreamStartsOver: after an interruption of one stream the same call begins another
// one, says so, and does not ask to be told to; also when the file, or what is on disk, has
// become another one meanwhile.
func TestStreamStartsOver(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct {
			name                        string
			tree, length, damage, other bool
		}{
			{"tree", true, true, false, false},
			{"tree, damaged", true, true, true, false},
			{"tree, another version", true, true, false, true},
			{"no tree", false, true, true, false},
			{"no tree, another version", false, true, false, true},
			{"no size", false, false, true, true},
		} {
			f := &file{data: randomData(6*mib, 20), etag: `"a"`, tree: tt.tree}
			var most atomic.Int64 // bytes of an answer
			most.Store(4 * mib)
			f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Etag", f.etag)
				if tt.length {
					w.Header().Set("Content-Length", fmt.Sprint(len(f.data)))
				} else {
					w.WriteHeader(200)
					w.(http.Flusher).Flush()
				}
				(&limitedWriter{ResponseWriter: w, left: int(most.Load())}).Write(f.data)
				return true
			}
			r := newRig(t, tr, f, "/x")
			r.opts.Retry.Tries = 1
			if e := r.fails(KindNetwork); e.Resumable {
				t.Errorf("%s: %+v", tt.name, e)
			}
			most.Store(3 * mib)
			r.fails(KindNetwork)
			if tt.damage {
				b := r.dir.Bytes("x.part")
				b[mib] ^= 1
				r.dir.Put("x.part", b)
			}
			if tt.other {
				f.mu.Lock()
				f.data, f.etag = randomData(6*mib, 21), `"b"`
				f.mu.Unlock()
			}
			most.Store(7 * mib)
			res := r.must("x", f.data)
			if res.BytesResumed != 0 || res.BytesFetched != 6*mib || res.Verified != tt.tree || !r.hasNote("starting over") {
				t.Errorf("%s: %+v, events %+v", tt.name, res, r.events)
			}
		}
	})
}

// TestStreamIsNotRecorded: one stream writes over what is on disk from its first byte on,
// so when it is broken off nothing that a journal said of those bytes counts any more.
func TestStreamIsNotRecorded(t *testing.T) {
	for _, tt := range []struct {
		name     string
		length   bool
		recorded []int // by an earlier run
	}{
		{"over an earlier run", true, []int{0, 1, 2}},
		{"without a size, over an earlier run", false, []int{0, 1, 2}},
		{"over one before", true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, tr transport) {
				f := &file{data: randomData(6*mib, 18), etag: `"a"`, tree: true}
				bad := bytes.Clone(f.data)
				bad[17] ^= 1
				f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
					if tt.length {
						w.Header().Set("Content-Length", fmt.Sprint(len(f.data)))
					} else {
						w.WriteHeader(200)
						w.(http.Flusher).Flush()
					}
					if n == 1 && tt.recorded == nil {
						(&limitedWriter{ResponseWriter: w, left: 3 * mib}).Write(f.data)
						return true
					}
					(&limitedWriter{ResponseWriter: w, left: 4 * mib}).Write(bad)
					return true
				}
				r := newRig(t, tr, f, "/x")
				r.opts.Retry.Tries = 2
				if tt.recorded != nil {
					r.dir = leftBehind(t, f.data, r.opts.URL.String(), tt.recorded, nil)
					r.opts.Restart = true
				}
				if _, err := r.get(t.Context()); err == nil {
					t.Fatal("no error")
				}
				f.honest()
				r.opts.Restart = false
				r.must("x", f.data)
			})
		})
	}
}

// TestStreamBeginsAnewUnderCheck: what a slow disk has shown of a piece before the stream
// began anew says nothing of what has been written over it since.
func TestStreamBeginsAnewUnderCheck(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(3*mib, 19), etag: `"a"`, tree: true}
		bad := bytes.Clone(f.data)
		bad[17] ^= 1
		f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(f.data)))
			if n == 1 {
				(&limitedWriter{ResponseWriter: w, left: 3 * mib / 2}).Write(f.data)
				return true
			}
			w.Write(bad)
			return true
		}
		r := newRig(t, tr, f, "/x")
		r.opts.openDir = func(string) (journal.Dir, func() error, error) {
			return slowReads{r.dir}, func() error { return nil }, nil
		}
		if e := r.fails(KindIntegrity); CodeOf(e) != CodePieceMismatch {
			t.Errorf("%v", e)
		}
	})
}

// slowReads is a directory of files that take a second to give what they have read.
type slowReads struct{ *faultfile.Dir }

func (d slowReads) Open(name string, create bool) (journal.File, error) {
	f, err := d.Dir.Open(name, create)
	return slowlyRead{f}, err
}

type slowlyRead struct{ journal.File }

func (f slowlyRead) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	time.Sleep(time.Second)
	return n, err
}

// TestBadPiece: a piece that does not match its hash comes again over another
// connection; the others are not fetched again.
func TestBadPiece(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, conns := range []int{1, 4} {
			f := &file{data: randomData(12*mib+99, 16), etag: `"a"`, tree: true}
			bad := bytes.Clone(f.data)
			bad[5*mib+17] ^= 1
			var mu sync.Mutex
			spoilt := map[any]bool{} // connections that got the bad byte
			f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
				var a, b int64
				fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b)
				if b == 0 {
					b = int64(len(bad)) - 1
				}
				if a > 5*mib+17 || b < 5*mib+17 {
					return false
				}
				mu.Lock()
				defer mu.Unlock()
				conn := r.Context().Value(connKey{})
				if spoilt[conn] {
					t.Error("the piece was asked for again over the same connection")
				}
				if len(spoilt) == 2 {
					return false
				}
				spoilt[conn] = true
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bad))
				return true
			}
			r := newRig(t, tr, f, "/x")
			r.opts.Connections = conns
			res := r.must("x", f.data)
			// With several connections, one of the bad ranges may have been
			// stolen before its bad byte was read.
			if n := res.PiecesBad; n < 1 || n > 2 || conns == 1 && n != 2 || r.count(EventPieceBad) != n {
				t.Errorf("%d connections: %d bad pieces, %d events", conns, res.PiecesBad, r.count(EventPieceBad))
			}
			if res.Retries != 0 || r.count(EventRetry) != 0 {
				t.Errorf("%d connections: closing a connection on purpose counts as %d retries", conns, res.Retries)
			}
			if got, want := res.BytesFetched, int64(len(f.data)+res.PiecesBad*mib); got != want {
				t.Errorf("%d connections: fetched %d bytes, want %d", conns, got, want)
			}
			for _, e := range r.events {
				if e.Kind == EventPieceBad && e.Piece != 5 {
					t.Errorf("event %+v", e)
				}
			}
		}
	})
}

// TestBadPieceForEver: three times is enough, and the file does not appear.
func TestBadPieceForEver(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(8*mib, 17), etag: `"a"`, tree: true}
		bad := bytes.Clone(f.data)
		bad[6*mib] ^= 1
		f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bad))
			return true
		}
		r := newRig(t, tr, f, "/x")
		if e := r.fails(KindIntegrity); !e.Resumable {
			t.Errorf("%+v", e)
		}
		if n := r.count(EventPieceBad); n != maxBad {
			t.Errorf("%d events of bad pieces, want %d", n, maxBad)
		}
		f.honest()
		if res := r.must("x", f.data); res.BytesFetched > 2*mib {
			t.Errorf("fetched %d bytes to replace one piece", res.BytesFetched)
		}
	})
}

// TestTreeTroubles: a tree that was offered has to come, and to be of the file.
func TestTreeTroubles(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		data := randomData(8*mib, 18)
		good := treeOf(data)
		other := treeOf(randomData(8*mib, 19))
		for _, tt := range []struct {
			name  string
			times int // the tree is bad for this many requests
			serve func(w http.ResponseWriter)
			kind  Kind // -1 for success
		}{
			{"missing", 99, func(w http.ResponseWriter) { w.WriteHeader(404) }, KindHTTPStatus},
			{"busy", 2, func(w http.ResponseWriter) { w.WriteHeader(503) }, -1},
			{"cut", 3, func(w http.ResponseWriter) { w.Write(good[:len(good)-40]) }, -1},
			{"cut for ever", 99, func(w http.ResponseWriter) { w.Write(good[:len(good)-40]) }, KindNetwork},
			{"other magic", 99, func(w http.ResponseWriter) { w.Write(append([]byte("x"), good[1:]...)) }, KindOther},
			{"flipped hash, once", 1, func(w http.ResponseWriter) {
				b := bytes.Clone(good)
				b[len(b)-40] ^= 1
				w.Write(b)
			}, -1},
			{"flipped root", 99, func(w http.ResponseWriter) {
				b := bytes.Clone(good)
				b[len(b)-1] ^= 1
				w.Write(b)
			}, KindOther},
			{"of another file", 99, func(w http.ResponseWriter) { w.Write(other) }, KindIntegrity},
			{"of another size", 99, func(w http.ResponseWriter) { w.Write(treeOf(data[:7*mib])) }, KindIntegrity},
			{"of another version", 99, func(w http.ResponseWriter) { w.Header().Set("Etag", `"b"`); w.Write(good) }, KindRemoteChanged},
			{"of another type", 99, func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html"); w.Write(good) }, KindHTTPStatus},
		} {
			inBubble(t, tt.name, func(t *testing.T) {
				f := &file{data: data, etag: `"a"`, tree: true}
				var mu sync.Mutex
				asked := 0
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.RawQuery == "" {
						f.ServeHTTP(w, r)
						return
					}
					mu.Lock()
					asked++
					n := asked
					mu.Unlock()
					if n > tt.times {
						f.ServeHTTP(w, r)
						return
					}
					w.Header().Set("Etag", f.etag)
					w.Header().Set("Content-Type", merkle.MediaType)
					tt.serve(w)
				})
				r := newRig(t, tr, h, "/x")
				if tt.kind < 0 {
					if res := r.must("x", data); !res.Verified || res.PiecesBad != 0 {
						t.Errorf("%+v", res)
					}
					return
				}
				r.fails(tt.kind)
			})
		}
	})
}

// TestTreeLate: the tree may come after all the data.
func TestTreeLate(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		lag := make(chan struct{})
		f := &file{data: randomData(8*mib, 20), etag: `"a"`, tree: true, lag: lag}
		r := newRig(t, tr, f, "/x")
		var once sync.Once
		r.received = func(n int64) {
			if n >= 8*mib {
				once.Do(func() { close(lag) })
			}
		}
		if res := r.must("x", f.data); !res.Verified {
			t.Error("not verified")
		}
	})
}

// TestTreeElsewhere: a tree on another origin proves nothing.
func TestTreeElsewhere(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(2*mib, 21), etag: `"a"`}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `<http://elsewhere.invalid/x?digest=tree>; rel="describedby"; type="`+merkle.MediaType+`"`)
			f.ServeHTTP(w, r)
		})
		r := newRig(t, tr, h, "/x")
		if res := r.must("x", f.data); res.Verified {
			t.Error("verified against a tree of another origin")
		}
	})
}

// TestChangedInMidTransfer: a file that changes ends the download at once.
func TestChangedInMidTransfer(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct{ first, then string }{
			{`"a"`, `"b"`}, {`"a"`, ""}, {`"a"`, `W/"a"`}, {`W/"a"`, `W/"b"`},
		} {
			f := &file{data: randomData(10*mib, 22)}
			f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
				tag := tt.first
				if n > 1 {
					tag = tt.then
				}
				w.Header().Del("Etag")
				if tag != "" {
					w.Header().Set("Etag", tag)
				}
				return false
			}
			r := newRig(t, tr, f, "/x")
			if e := r.fails(KindRemoteChanged); e.Resumable {
				t.Errorf("%q, %q: %+v", tt.first, tt.then, e)
			}
		}
	})
}

// TestIfRange: every request after the first is bound to the strong tag, and
// to none that is weak.
func TestIfRange(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for tag, want := range map[string]string{`"a"`: `"a"`, `W/"a"`: "", "": ""} {
			f := &file{data: randomData(10*mib, 23), etag: tag, tree: true}
			r := newRig(t, tr, f, "/x")
			r.must("x", f.data)
			for i, req := range f.asked() {
				if got := req.Header.Get("If-Range"); i > 0 && got != want || i == 0 && got != "" {
					t.Errorf("tag %s, request %d: If-Range %q", tag, i+1, got)
				}
				if req.Header.Get("Accept-Encoding") != "identity" || req.Header.Get("Range") == "" {
					t.Errorf("request %d: %v", i+1, req.Header)
				}
			}
		}
	})
}

// TestHostileDisposition: whatever name the server wants, the file is one
// plain name in the directory.
func TestHostileDisposition(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: []byte("hello"), etag: `"a"`, dispo: `attachment; filename="../../../etc/passwd"`}
		newRig(t, tr, f, "/x").must("passwd", f.data)
		f = &file{data: []byte("hello"), etag: `"a"`}
		newRig(t, tr, f, "/a/..%2f..%2fb").must("b", f.data)
	})
}
