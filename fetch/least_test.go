package fetch

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chunkget/chunkget/journal"
)

// drip sends a few bytes of what is written each time, and pauses.
type drip struct {
	http.ResponseWriter
	r     *http.Request
	bytes int
	every time.Duration
}

func (w drip) Write(p []byte) (n int, err error) {
	for n < len(p) {
		k, err := w.ResponseWriter.Write(p[n:min(n+w.bytes, len(p))])
		if n += k; err != nil {
			return n, err
		}
		w.ResponseWriter.(http.Flusher).Flush()
		select {
		case <-time.After(w.every):
		case <-w.r.Context().Done():
			return n, w.r.Context().Err()
		}
	}
	return n, nil
}

// dripping makes f send so many bytes each time.
func (f *file) dripping(bytes int, every time.Duration) *file {
	f.rewrite = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter { return drip{w, r, bytes, every} }
	return f
}

// TestDrippingServer: single bytes are progress for a request, but do not keep a
// download from ending.
func TestDrippingServer(t *testing.T) {
	needsVirtualTime(t)
	overAll(t, func(t *testing.T, tr transport) {
		for _, connections := range []int{1, 4} {
			inBubble(t, fmt.Sprint(connections), func(t *testing.T) {
				f := (&file{data: randomData(9*mib, 90), etag: `"a"`, tree: true}).dripping(1, 300*time.Millisecond)
				r := newRig(t, tr, f, "/x")
				r.opts.Connections = connections
				begun := time.Now()
				e := r.fails(KindTimeout)
				if took := time.Since(begun); took < DefaultMinRateTime || took > DefaultMinRateTime+time.Minute {
					t.Errorf("ended after %v", took)
				}
				if CodeOf(e) != CodeTooSlow || !e.Resumable || !strings.Contains(e.Error(), " bit/s came in 2m0s") || !strings.Contains(e.Hint, "--min-rate") {
					t.Errorf("%+v", e)
				}
				f.honest()
				r.must("x", f.data)
			})
		}
	})
}

// TestDrippingStream: likewise where the file comes in one answer, to a file or to a
// writer, and however often it begins anew.
func TestDrippingStream(t *testing.T) {
	needsVirtualTime(t)
	run(t, func(t *testing.T, tr transport) {
		for _, pipe := range []bool{false, true} {
			f := &file{script: func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
				b := bytes.Repeat([]byte("x"), 200)
				drip{w, r, 1, 300 * time.Millisecond}.Write(b[:min(100+n, len(b))])
				panic(http.ErrAbortHandler)
			}}
			if pipe {
				f.script = func(_ *file, _ int, w http.ResponseWriter, r *http.Request) bool {
					drip{w, r, 1, 300 * time.Millisecond}.Write(make([]byte, 100_000))
					return true
				}
			}
			r := newRig(t, tr, f, "/x")
			if pipe {
				r.opts.Writer = io.Discard
			}
			begun := time.Now()
			e := r.fails(KindTimeout)
			if took := time.Since(begun); CodeOf(e) != CodeTooSlow || took > DefaultMinRateTime+time.Minute {
				t.Errorf("pipe %v: %v after %v", pipe, e, took)
			}
		}
	})
}

// TestLeastRate: what is a little faster goes on for as long as it takes, and what was
// fast at first has no credit.
func TestLeastRate(t *testing.T) {
	needsVirtualTime(t)
	runLight(t, func(t *testing.T, tr transport) {
		policy := RetryPolicy{MinRate: 10_000, MinRateTime: 30 * time.Second}
		for rate, kind := range map[int]Kind{9_000: KindTimeout, 11_000: -1} {
			f := (&file{data: randomData(3*mib, 91), etag: `"a"`}).dripping(rate, time.Second)
			r := newRig(t, tr, f, "/x")
			r.opts.Retry, r.opts.Connections = policy, 1
			if _, err := r.get(t.Context()); kindOf(err) != kind {
				t.Errorf("%d bytes a second: %v", rate, err)
			}
		}
		f := &file{data: randomData(30*mib, 92), etag: `"a"`}
		f.rewrite = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			if len(f.asked()) > 1 {
				return drip{w, r, 1, time.Second}
			}
			return drip{w, r, mib, time.Millisecond}
		}
		r := newRig(t, tr, f, "/x")
		r.opts.Retry, r.opts.Connections = policy, 2
		begun := time.Now()
		if e := r.fails(KindTimeout); CodeOf(e) != CodeTooSlow || time.Since(begun) > 3*policy.MinRateTime {
			t.Errorf("%v after %v", e, time.Since(begun))
		}
	})
}

// TestDrippingMirror: what counts is the total, and whom nobody waits for in the end
// is relieved.
func TestDrippingMirror(t *testing.T) {
	needsVirtualTime(t)
	runLight(t, func(t *testing.T, tr transport) {
		a := (&file{data: randomData(16*mib, 93), etag: `"a"`, tree: true}).dripping(1, 300*time.Millisecond)
		b := a.copyOf(`"b"`).dripping(40_000, time.Second)
		r := alike(t, tr, a, b)
		r.opts.Connections = 2
		r.opts.Retry.MinRate, r.opts.Retry.MinRateTime = 10_000, 30*time.Second
		begun := time.Now()
		r.must("x", a.data)
		if took := time.Since(begun); took < 3*r.opts.Retry.MinRateTime {
			t.Fatalf("over after %v, which shows nothing", took)
		}
	})
}

// TestLeastRateOfWaiting: time in which no server is waited for does not count.
func TestLeastRateOfWaiting(t *testing.T) {
	needsVirtualTime(t)
	for name, test := range map[string]func(t *testing.T, tr transport){
		"Retry-After": func(t *testing.T, tr transport) {
			f := &file{data: randomData(9*mib, 94), etag: `"a"`, tree: true}
			f.script = func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
				if n > 1 && n < 5 {
					w.Header().Set("Retry-After", "290")
					w.WriteHeader(http.StatusServiceUnavailable)
					return true
				}
				return false
			}
			r := newRig(t, tr, f, "/x")
			r.opts.Connections = 1
			f.rewrite = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
				if len(f.asked()) == 1 {
					return &limitedWriter{ResponseWriter: w, left: mib}
				}
				return w
			}
			r.must("x", f.data)
		},
		"writer": func(t *testing.T, tr transport) {
			f := &file{data: randomData(5*mib, 95), etag: `"a"`, tree: true}
			r := newRig(t, tr, f, "/x")
			r.opts.Writer = writerFunc(slowly)
			if res, err := r.get(t.Context()); err != nil || !res.Verified {
				t.Error(err)
			}
		},
		"writer of a stream": func(t *testing.T, tr transport) {
			f := &file{data: randomData(5*mib, 96)}
			r := newRig(t, tr, f, "/x")
			r.opts.Writer = writerFunc(slowly)
			if _, err := r.get(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"disk": func(t *testing.T, tr transport) {
			f := &file{data: randomData(5*mib, 97), etag: `"a"`, tree: true}
			r := newRig(t, tr, f, "/x")
			r.opts.Connections = 1
			r.opts.Retry.Stall = time.Hour
			r.opts.openDir = func(string) (journal.Dir, func() error, error) {
				return slowDir{r.dir}, func() error { return nil }, nil
			}
			r.must("x", f.data)
		},
	} {
		runPart(t, name, func(t *testing.T, tr transport) {
			begun := time.Now()
			test(t, tr)
			if took := time.Since(begun); took < 2*DefaultMinRateTime {
				t.Errorf("over after %v, which shows nothing", took)
			}
		})
	}
}

// TestDrippingTree: single bytes of hashes do not keep a download from ending, nor a
// comparison; a server that is computing them has its time. Another tree will do.
func TestDrippingTree(t *testing.T) {
	needsVirtualTime(t)
	over(t, transports[:1], testDrippingTree)
}

func testDrippingTree(t *testing.T, tr transport) {
	data := randomData(32*mib, 98)
	dripping := &drip{bytes: 1, every: 300 * time.Millisecond}
	tooSlow := func(t *testing.T, err error, over time.Duration, since time.Time) {
		t.Helper()
		if took := time.Since(since); kindOf(err) != KindTimeout || CodeOf(err) != CodeTooSlow || took < over || took > over+20*time.Second { // the first hash comes after 17 s
			t.Fatalf("after %v: %v", took, err)
		}
		if !strings.Contains(err.Error(), " bit/s of hashes came in") {
			t.Errorf("it does not say what: %v", err)
		}
	}
	inBubble(t, "download", func(t *testing.T) {
		f := &file{data: data, etag: `"a"`, tree: true, slow: dripping}
		r := newRig(t, tr, f, "/x")
		now := time.Now()
		e := r.fails(KindTimeout)
		tooSlow(t, e, DefaultMinRateTime, now)
		if !e.Resumable {
			t.Error("not resumable")
		}
		f.slow = nil
		f.honest()
		r.must("x", f.data)
	})
	inBubble(t, "any rate", func(t *testing.T) {
		f := &file{data: data, etag: `"a"`, tree: true, slow: dripping}
		r := newRig(t, tr, f, "/x")
		r.opts.Retry.MinRateTime = -1
		r.must("x", f.data)
	})
	inBubble(t, "being computed", func(t *testing.T) {
		f := &file{data: data, etag: `"a"`, tree: true, slow: &drip{bytes: 32, every: 900 * time.Millisecond}}
		r := newRig(t, tr, f, "/x")
		r.opts.Retry.MinRate, r.opts.Retry.MinRateTime = 1e6, 10*time.Second
		now := time.Now()
		r.must("x", f.data)
		if took := time.Since(now); took < 2*r.opts.Retry.MinRateTime {
			t.Fatalf("over after %v, which shows nothing", took)
		}
	})
	inBubble(t, "mirror", func(t *testing.T) {
		f := &file{data: data, etag: `"a"`, tree: true, slow: dripping}
		other := f.copyOf(`"b"`)
		other.tree, other.slow = true, &drip{bytes: 32, every: 900 * time.Millisecond}
		r := alike(t, tr, f, other)
		res := r.must("x", f.data)
		if res.Elapsed > DefaultMinRateTime+50*time.Second || res.Elapsed < DefaultMinRateTime {
			t.Errorf("took %v", res.Elapsed)
		}
	})
	inBubble(t, "comparison", func(t *testing.T) {
		f := &file{data: data, etag: `"a"`, tree: true, slow: dripping}
		r := newRig(t, tr, f, "/x")
		r.opts.Output = filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(r.opts.Output, data, 0o600); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		_, err := Check(t.Context(), CheckOptions{Options: r.opts})
		tooSlow(t, err, DefaultMinRateTime, now)
	})
}

func slowly(b []byte) (int, error) {
	time.Sleep(DefaultMinRateTime)
	return len(b), nil
}

// slowDir has files that take a minute for each write to the partial file.
type slowDir struct{ journal.Dir }

func (d slowDir) Open(name string, create bool) (journal.File, error) {
	f, err := d.Dir.Open(name, create)
	if err == nil && strings.HasSuffix(name, partSuffix) {
		f = slowFile{f}
	}
	return f, err
}

type slowFile struct{ journal.File }

func (f slowFile) WriteAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Minute)
	return f.File.WriteAt(p, off)
}
