package fetch

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestLadder: a server that turns hostile after its first answer sends other
// bytes in every way that could pass for a part of the file. There is no hash
// tree to catch them, so each must be refused for what its header says, and
// the next run, from an honest server, must find nothing wrong on disk.
func TestLadder(t *testing.T) {
	const size = 10 * mib
	part := func(w http.ResponseWriter, r *http.Request, data []byte, status int) {
		a, b := 0, size-1
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b)
		h := w.Header()
		if h.Get("Content-Range") == "" {
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a, b, size))
		}
		w.WriteHeader(status)
		w.Write(data[a : b+1])
	}
	whole := func(w http.ResponseWriter, evil []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(evil)))
		w.Write(evil)
	}
	for _, tt := range []struct {
		name  string
		kind  Kind
		code  Code
		serve func(w http.ResponseWriter, r *http.Request, evil []byte)
	}{
		{"200 under the same tag", KindHTTPStatus, CodeRangeIgnored, func(w http.ResponseWriter, r *http.Request, evil []byte) { whole(w, evil) }},
		{"200 under another tag", KindRemoteChanged, CodeETagChanged, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Set("Etag", `"b"`)
			whole(w, evil)
		}},
		{"200 without a tag", KindRemoteChanged, CodeETagChanged, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Del("Etag")
			whole(w, evil)
		}},
		{"rotating tag", KindRemoteChanged, CodeETagChanged, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Set("Etag", fmt.Sprintf("%q", r.Header.Get("Range")))
			part(w, r, evil, 206)
		}},
		{"the tag turned weak", KindRemoteChanged, CodeETagChanged, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Set("Etag", `W/"a"`)
			part(w, r, evil, 206)
		}},
		{"no tag", KindHTTPStatus, CodeETagMissing, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Del("Etag")
			part(w, r, evil, 206)
		}},
		{"416 of the same size", KindHTTPStatus, CodeRangeUnsatisfied, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
			part(w, r, evil, 416)
		}},
		{"416 of another size", KindRemoteChanged, CodeSizeChanged, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Set("Content-Range", "bytes */5")
			part(w, r, evil, 416)
		}},
		{"another total", KindHTTPStatus, CodeTotalDiffers, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			var a, b int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a, b, size+1))
			part(w, r, evil, 206)
		}},
		{"another part", KindHTTPStatus, CodeContentRange, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-99/%d", size))
			part(w, r, evil, 206)
		}},
		{"several parts", KindHTTPStatus, CodeContentRange, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
			w.WriteHeader(206)
			w.Write(evil)
		}},
		{"a coding", KindHTTPStatus, CodeContentEncoding, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			part(w, r, evil, 206)
		}},
		{"another length", KindHTTPStatus, CodeContentLength, func(w http.ResponseWriter, r *http.Request, evil []byte) {
			w.Header().Set("Content-Length", "10")
			var a, b int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a, b, size))
			w.WriteHeader(206)
			w.Write(evil[:10])
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, tr transport) {
				f := &file{data: randomData(size, 60), etag: `"a"`}
				evil := randomData(size, 61)
				f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
					if n == 1 {
						return false
					}
					if got := r.Header.Get("If-Range"); got != f.etag {
						t.Errorf("request %d: If-Range %q", n, got)
					}
					tt.serve(w, r, evil)
					return true
				}
				r := newRig(t, tr, f, "/x")
				r.opts.Connections = 2
				r.opts.Retry.Tries = 2
				e := r.fails(tt.kind)
				if CodeOf(e) != tt.code {
					t.Errorf("code %q, want %q: %v", CodeOf(e), tt.code, e)
				}
				for _, ev := range r.events {
					if ev.Kind == EventRetry && ev.Code != tt.code {
						t.Errorf("retry for %q, want %q", ev.Code, tt.code)
					}
				}
				f.honest()
				r.must("x", f.data)
			})
		})
	}
}

// TestBodyCodes: bodies that end early or late are told from lost connections.
func TestBodyCodes(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for more, want := range map[int]Code{-1000: CodeBodyShort, 1000: CodeBodyLong} {
			f := &file{data: randomData(6*mib, 62), etag: `"a"`}
			// The first part goes on only when something was told of the second: nobody
			// takes the second one's work away, and the download cannot end before it.
			told := make(chan struct{})
			f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
				switch n {
				case 1:
					w.Header().Set("ETag", f.etag)
					http.ServeContent(w, r, "", time.Time{}, &gated{bytes.NewReader(f.data), mib, told, r.Context().Done()})
				case 2:
					chunkedPart(w, r, f, more)
				}
				return n <= 2
			}
			r := newRig(t, tr, f, "/x")
			r.opts.Connections = 2
			observe, once := r.opts.Observe, new(sync.Once)
			r.opts.Observe = func(e Event) {
				observe(e)
				if e.Kind == EventRetry {
					once.Do(func() { close(told) })
				}
			}
			r.must("x", f.data)
			if !slices.ContainsFunc(r.events, func(e Event) bool { return e.Kind == EventRetry && e.Code == want }) {
				t.Errorf("%+d bytes: no retry for %q in %+v", more, want, r.events)
			}
		}
	})
}

// gated is content that from a position on is held back.
type gated struct {
	*bytes.Reader
	from        int64
	open, ended <-chan struct{}
}

func (g *gated) Read(p []byte) (int, error) {
	if at, _ := g.Seek(0, io.SeekCurrent); at >= g.from {
		select {
		case <-g.open:
		case <-g.ended:
		}
	}
	return g.Reader.Read(p)
}

// TestWithoutStrongTag: without a validator that tells versions apart, no two
// answers are put together; with one, the change is found.
func TestWithoutStrongTag(t *testing.T) {
	const size = 9 * mib
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of virtual time
	if *overSockets {
		begin = time.Now()
	}
	long := begin.Add(-time.Hour)
	for _, tt := range []struct {
		name     string
		etag     string
		modified []time.Time // of the first version and of the second
		want     Code        // "" where the second version arrives whole
		ifRange  bool
	}{
		{"nothing", "", []time.Time{{}, {}}, "", false},
		{"weak tag", `W/"a"`, []time.Time{{}, {}}, "", false},
		{"weak tag and date", `W/"a"`, []time.Time{long, long}, "", false},
		{"date of a moment ago", "", []time.Time{begin, begin}, "", false},
		{"date that changes", "", []time.Time{long, long.Add(time.Second)}, CodeLastModifiedChanged, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, tr transport) {
				versions := [][]byte{randomData(size, 63), randomData(size, 64)}
				f := &file{data: versions[0], etag: tt.etag}
				f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
					if n > 1 && (r.Header.Get("If-Range") != "") != tt.ifRange {
						t.Errorf("request %d: If-Range %q", n, r.Header.Get("If-Range"))
					}
					i := min(n-1, 1)
					http.ServeContent(w, r, "", tt.modified[i], bytes.NewReader(versions[i]))
					return true
				}
				r := newRig(t, tr, f, "/x")
				if tt.want != "" {
					if e := r.fails(KindRemoteChanged); CodeOf(e) != tt.want {
						t.Errorf("code %q: %v", CodeOf(e), e)
					}
					return
				}
				r.must("x", versions[1])
				if !slices.ContainsFunc(r.events, func(e Event) bool { return e.Kind == EventNote && e.Code == CodeNoValidator }) {
					t.Errorf("no note: %+v", r.events)
				}
			})
		})
	}
	t.Run("date that stays", func(t *testing.T) {
		run(t, func(t *testing.T, tr transport) {
			f := &file{data: randomData(size, 63)}
			f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
				http.ServeContent(w, r, "", long, bytes.NewReader(f.data))
				return true
			}
			r := newRig(t, tr, f, "/x")
			if res := r.must("x", f.data); res.Connections < 2 {
				t.Errorf("%+v", res)
			}
			for i, req := range f.asked() {
				if got, want := req.Header.Get("If-Range"), long.UTC().Format(http.TimeFormat); i > 0 && got != want {
					t.Errorf("request %d: If-Range %q, want %q", i+1, got, want)
				}
			}
		})
	})
}
