package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestFinalStatus: an answer that another try would not change ends the
// download at once.
func TestFinalStatus(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for status, kind := range map[int]Kind{
			404: KindHTTPStatus, 410: KindHTTPStatus, 400: KindHTTPStatus, 501: KindHTTPStatus, 416: KindHTTPStatus, 204: KindHTTPStatus,
			401: KindAuth, 403: KindAuth, 407: KindAuth,
		} {
			f := &file{script: func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
				w.WriteHeader(status)
				return true
			}}
			r := newRig(t, tr, f, "/x")
			e := r.fails(kind)
			if e.StatusCode != status || len(f.asked()) != 1 || e.Resumable {
				t.Errorf("%d: %+v after %d requests", status, e, len(f.asked()))
			}
			if n := r.dir.Names(); len(n) != 0 {
				t.Errorf("%d: files made: %q", status, n)
			}
		}
	})
}

// TestStatusInMidTransfer: the same in the middle of the file keeps what is
// there, if there is a way to know later what it belongs to.
func TestStatusInMidTransfer(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct {
			etag string
			tree bool
			want bool
		}{{`"a"`, true, true}, {`"a"`, false, true}, {"", true, true}, {"", false, false}} {
			f := &file{data: randomData(12*mib, 3), etag: tt.etag, tree: tt.tree}
			f.script = func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
				if n > 1 {
					w.WriteHeader(404)
				}
				return n > 1
			}
			r := newRig(t, tr, f, "/x")
			if e := r.fails(KindHTTPStatus); e.Resumable != tt.want {
				t.Errorf("%+v: resumable = %v: %v", tt, e.Resumable, e)
			}
			f.honest()
			r.must("x", f.data)
		}
	})
}

// TestTemporaryStatus: answers that may change are asked for again.
func TestTemporaryStatus(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, status := range []int{408, 425, 429, 500, 502, 503, 504} {
			f := &file{data: randomData(10*mib, 4), etag: `"a"`, tree: true}
			f.script = func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
				if n%3 == 1 {
					w.WriteHeader(status)
				}
				return n%3 == 1
			}
			r := newRig(t, tr, f, "/x")
			res := r.must("x", f.data)
			if res.Retries == 0 || r.count(EventRetry) != res.Retries {
				t.Errorf("%d: %d retries, %d events", status, res.Retries, r.count(EventRetry))
			}

			f = &file{script: func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
				w.WriteHeader(status)
				return true
			}}
			r = newRig(t, tr, f, "/x")
			if e := r.fails(KindHTTPStatus); e.StatusCode != status || len(f.asked()) != defaultTries {
				t.Errorf("%d for ever: %v after %d requests", status, e, len(f.asked()))
			}
		}
	})
}

// TestBrokenConnections: connections that end in the middle cost a retry each,
// not what they brought.
func TestBrokenConnections(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(16*mib+7, 5), etag: `"a"`, tree: true}
		f.rewrite = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			return &limitedWriter{ResponseWriter: w, left: 700_000}
		}
		r := newRig(t, tr, f, "/x")
		res := r.must("x", f.data)
		if res.Retries < 5 {
			t.Errorf("%d retries", res.Retries)
		}
		if res.BytesFetched != int64(len(f.data)) {
			t.Errorf("fetched %d bytes of %d", res.BytesFetched, len(f.data))
		}
	})
}

// limitedWriter cuts the connection after some bytes of the body.
type limitedWriter struct {
	http.ResponseWriter
	left int
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if len(p) < w.left {
		n, err := w.ResponseWriter.Write(p)
		w.left -= n
		return n, err
	}
	w.ResponseWriter.Write(p[:w.left])
	w.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// TestServerGone: a server that vanishes in mid-transfer is tried a few times,
// and the next run goes on.
func TestServerGone(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, tree := range []bool{true, false} {
			inBubble(t, fmt.Sprint("tree=", tree), func(t *testing.T) {
				f := &file{data: randomData(24*mib, 6), etag: `"a"`, tree: tree}
				h := newMortal(f, 12*mib)
				r := newRig(t, tr, h, "/x")
				e := r.fails(KindNetwork)
				if !e.Resumable {
					t.Errorf("not resumable: %+v", e)
				}
				h.gone.Store(false)
				f.honest()
				was := r.last.BytesFetched
				res := r.must("x", f.data)
				r.wantResumed(res, was)
			})
		}
	})
}

// mortal is a server of a file that goes off the network when so many bytes of it
// are sent.
type mortal struct {
	*file
	life int64
	gone atomic.Bool
}

func newMortal(f *file, life int64) *mortal {
	m := &mortal{file: f, life: life}
	f.rewrite = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter { return &mortalWriter{w, m} }
	return m
}

func (m *mortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.gone.Load() {
		hijack(w)
		return
	}
	m.file.ServeHTTP(w, r)
}

type mortalWriter struct {
	http.ResponseWriter
	m *mortal
}

func (w *mortalWriter) Write(p []byte) (int, error) {
	w.m.mu.Lock()
	sent := w.m.sent
	w.m.mu.Unlock()
	if sent > w.m.life {
		w.m.gone.Store(true)
		panic(http.ErrAbortHandler)
	}
	return w.ResponseWriter.Write(p)
}

// TestConnectionRefused: nothing listens at all.
func TestConnectionRefused(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		r := newRig(t, tr, &file{}, "/x")
		r.opts.Transport = roundTripFunc(func(*http.Request) (*http.Response, error) {
			return nil, io.ErrClosedPipe
		})
		if e := r.fails(KindNetwork); e.Resumable || len(r.dir.Names()) != 0 {
			t.Errorf("%+v, files %q", e, r.dir.Names())
		}
	})
}

// TestConnectionLimit: a server that lets in fewer connections than asked for
// slows a download down and does not end it.
func TestConnectionLimit(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		var open atomic.Int32
		f := &file{data: randomData(12*mib, 7), etag: `"a"`, tree: true}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer open.Add(-1)
			if open.Add(1) > 2 {
				hijack(w)
				return
			}
			f.ServeHTTP(w, r)
		})
		r := newRig(t, tr, h, "/x")
		r.opts.Connections = 8
		r.opts.Retry.Tries = 1000 // the point is that the others go on, not when all give up
		r.must("x", f.data)
	})
}

// TestInterrupted: a cancelled context keeps what was received.
func TestInterrupted(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, tree := range []bool{true, false} {
			ctx, cancel := context.WithCancel(t.Context())
			f := &file{data: randomData(20*mib, 8), etag: `"a"`, tree: tree}
			r := newRig(t, tr, f, "/x")
			r.received = func(n int64) {
				if n > 10*mib {
					cancel()
				}
			}
			res, err := r.get(ctx)
			if kindOf(err) != KindInterrupted || !resumable(err) {
				t.Fatalf("tree %v: %v", tree, err)
			}
			if res.Path == "" {
				t.Error("no result with the error")
			}
			if r.dir.Bytes("x") != nil || r.dir.Bytes("x.part") == nil {
				t.Errorf("tree %v: files %q", tree, r.dir.Names())
			}
			was := res.BytesFetched
			if was < 9*mib || was > 15*mib {
				t.Errorf("fetched %d bytes before the interruption", was)
			}
			r.wantResumed(r.must("x", f.data), was)
		}
	})
}

// silentAfter is silent after so many bytes of the body.
type silentAfter struct {
	http.ResponseWriter
	r    *http.Request
	left int
}

func (w *silentAfter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(w.left, len(p))])
	if w.left -= n; err == nil && n < len(p) {
		w.ResponseWriter.(http.Flusher).Flush()
		<-w.r.Context().Done()
		err = w.r.Context().Err()
	}
	return n, err
}

// TestStall: requests without progress are abandoned after 30 s and made
// again; when that never helps the download times out.
func TestStall(t *testing.T) {
	needsVirtualTime(t)
	for _, headers := range []bool{true, false} {
		runPart(t, fmt.Sprint("headers=", headers), func(t *testing.T, tr transport) {
			f := &file{data: randomData(9*mib, 9), etag: `"a"`}
			f.rewrite = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter { return &silentAfter{w, r, 10} }
			if !headers {
				f.script = func(_ *file, _ int, _ http.ResponseWriter, r *http.Request) bool {
					<-r.Context().Done()
					return true
				}
			}
			r := newRig(t, tr, f, "/x")
			r.opts.Retry = RetryPolicy{MinRateTime: -1}
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			_, err := r.get(ctx)
			took := time.Since(begun)
			if headers {
				// Ten bytes with each try are progress, so without a least rate it goes on
				// for ever.
				if n := r.count(EventRetry); kindOf(err) != KindInterrupted || n < 20 {
					t.Errorf("%v after %d retries", err, n)
				}
				return
			}
			if kindOf(err) != KindTimeout {
				t.Errorf("%v", err)
			}
			if want := 5 * defaultStall; len(f.asked()) != defaultTries || took < want || took > want+time.Minute {
				t.Errorf("%d requests in %v", len(f.asked()), took)
			}
		})
	}
}

// TestRetryAfterIsHonoured in virtual time.
func TestRetryAfterIsHonoured(t *testing.T) {
	needsVirtualTime(t)
	runLight(t, func(t *testing.T, tr transport) {
		var mu sync.Mutex
		var times []time.Time
		after := "45"
		r := newRig(t, tr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			times = append(times, time.Now())
			w.Header().Set("Retry-After", after)
			w.WriteHeader(503)
		}), "/x")
		r.fails(KindHTTPStatus)
		for i := 1; i < len(times); i++ {
			if d := times[i].Sub(times[i-1]); d < 45*time.Second {
				t.Errorf("try %d came after %v", i+1, d)
			}
		}
		if len(times) != defaultTries {
			t.Errorf("%d tries", len(times))
		}
		// Longer than is waited for.
		for _, tt := range []struct {
			after string
			most  time.Duration
			tries int
			hint  string
		}{
			{"86400", 0, 1, "no more than 5m0s"},
			{"301", 0, 1, "no more than 5m0s"},
			{"300", 0, defaultTries, ""},
			{"300", 299 * time.Second, 1, "no more than 4m59s"},
			{"86400", 24 * time.Hour, defaultTries, ""},
			{"1", -1, 1, "no more than 0s"},
			{"0", -1, defaultTries, ""},
		} {
			times, after = nil, tt.after
			r.opts.Retry.MaxRetryAfter = tt.most
			e := r.fails(KindHTTPStatus)
			if len(times) != tt.tries || !strings.Contains(e.Hint, tt.hint) || (tt.hint != "") != strings.Contains(e.Hint, "--max-retry-after") {
				t.Errorf("Retry-After %s, %v at most: %d tries, hint %q", tt.after, tt.most, len(times), e.Hint)
			}
		}
	})
}

// TestRedirect: redirects are followed; what the user says to one server does
// not reach another, nor does a redirect leave encryption.
func TestRedirect(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(6*mib, 10)
		f := &file{data: data, etag: `"a"`, tree: true}
		otherBase, otherRT := tr.serve(t, f)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Secret") != "s" {
				t.Error("the header did not reach the first server")
			}
			http.Redirect(w, r, otherBase+"/real", http.StatusFound)
		})
		r := newRig(t, tr, h, "/x?token=t")
		first := r.opts.Transport
		r.opts.Transport = roundTripFunc(func(req *http.Request) (*http.Response, error) {
			if strings.HasPrefix(req.URL.String(), otherBase) {
				return otherRT.RoundTrip(req)
			}
			return first.RoundTrip(req)
		})
		r.opts.Header = http.Header{"X-Secret": {"s"}, "Authorization": {"Bearer b"}}
		r.must("x", data)
		for _, req := range f.asked() {
			for _, k := range []string{"X-Secret", "Authorization", "Referer"} {
				if v := req.Header.Get(k); v != "" {
					t.Errorf("%s %q reached the other server", k, v)
				}
			}
			if req.Header.Get("Range") == "" {
				t.Error("no Range after a redirect")
			}
		}
	})
	t.Run("out of encryption", func(t *testing.T) {
		rt := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			if r.URL.Scheme != "https" {
				t.Errorf("asked %s", r.URL)
			}
			return &http.Response{StatusCode: 302, Status: "302 Found", Header: http.Header{"Location": {"http://h/x"}}, Body: http.NoBody, Request: r}, nil
		})
		tr := transport{serve: func(*testing.T, http.Handler) (string, http.RoundTripper) { return "https://h", rt }}
		r := newRig(t, tr, nil, "/x")
		r.fails(KindNetwork)
	})
}
