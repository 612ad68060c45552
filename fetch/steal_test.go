package fetch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

// TestStuckConnection: all but the piece that a connection is writing is taken
// over by the others when that connection does not move.
func TestStuckConnection(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		const size = 24 * mib
		f := &file{data: randomData(size, 50), etag: `"a"`, tree: true}
		release := make(chan struct{})
		f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			if n != 2 {
				return false
			}
			var a, b int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a, b, size))
			w.Header().Set("Content-Length", fmt.Sprint(b-a+1))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(f.data[a : a+mib+mib/2])
			w.(http.Flusher).Flush()
			select {
			case <-release:
				w.Write(f.data[a+mib+mib/2 : b+1])
			case <-r.Context().Done():
			}
			return true
		}
		r := newRig(t, tr, f, "/x")
		var once sync.Once
		r.received = func(n int64) {
			// The rest of one piece is missing, and what the tree brings is extra.
			if n >= size-mib/2 {
				once.Do(func() { close(release) })
			}
		}
		res := r.must("x", f.data)
		if res.BytesFetched != size || res.Retries != 0 {
			t.Errorf("%+v", res)
		}
		if n := r.count(EventSteal); n == 0 || n > len(f.asked()) {
			t.Errorf("told of %d thefts, with %d requests", n, len(f.asked()))
		}
		for _, e := range r.events {
			if e.Kind == EventSteal && (e.Bytes < mib || e.Reason == "" || e.Mirror != "" || e.By != "") {
				t.Errorf("told %+v", e)
			}
		}
	})
}

// TestHedge: the last bytes do not wait for a connection that has stopped. It is
// never released; without a hedge its request would be retried.
//
// There are two connections, so nothing but that request is left to hedge when the
// other one is idle, and the other may not take over what the first has not begun:
// it gets nothing more before the half of a piece is there.
func TestHedge(t *testing.T) {
	needsVirtualTime(t)
	run(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct {
			size, hedged, retries int
			tree                  bool
		}{
			{48 * mib, mib / 2, 0, true},
			{48 * mib, mib / 2, 0, false},
			{16 * mib, 0, 1, true}, // of which half a mebibyte is more than 3 %
		} {
			size, tree := tt.size, tt.tree
			const stuckAfter = mib + mib/2
			f := &file{data: randomData(size, 53), etag: `"a"`, tree: tree}
			begun := make(chan struct{}) // the client has all that it will get of the request
			f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
				var a, b int
				fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b)
				if n > 2 {
					select {
					case <-begun:
					case <-r.Context().Done():
					}
				}
				if n != 2 {
					return false
				}
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a, b, size))
				w.Header().Set("Content-Length", fmt.Sprint(b-a+1))
				w.Header().Set("Stuck", "yes")
				w.WriteHeader(http.StatusPartialContent)
				w.Write(f.data[a : a+stuckAfter])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return true
			}
			r := newRig(t, tr, f, "/x")
			r.opts.Connections = 2
			r.opts.Retry.Stall = 3 * time.Minute
			below := r.opts.Transport
			r.opts.Transport = roundTripFunc(func(req *http.Request) (*http.Response, error) {
				resp, err := below.RoundTrip(req)
				if err == nil && resp.Header.Get("Stuck") != "" {
					resp.Body = &watchedBody{resp.Body, stuckAfter, begun}
				}
				return resp, err
			})
			res := r.must("x", f.data)
			if res.Retries != tt.retries || res.BytesFetched != int64(size) || res.BytesHedged != int64(tt.hedged) || res.Verified != tree {
				t.Errorf("%+v: %+v", tt, res)
			}
			var told []Event
			for _, e := range r.events {
				if e.Kind == EventHedge {
					told = append(told, e)
				}
			}
			if tt.hedged == 0 && len(told) == 0 {
				continue
			}
			if len(told) != 2 || told[0].Decision != DecisionStarted || told[1].Decision != DecisionWon {
				t.Fatalf("%+v: told %+v", tt, told)
			}
			for _, e := range told {
				if e.Bytes != int64(tt.hedged) || e.Piece == 0 || e.Reason == "" || e.Mirror != "" {
					t.Errorf("told %+v", e)
				}
			}
		}
	})
}

// A watchedBody tells when so many bytes of it have been read, and asked for the
// next ones: then the first are written.
type watchedBody struct {
	io.ReadCloser
	left int
	read chan struct{}
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.left = -1
		close(b.read)
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	return n, err
}

// TestOneConnectionLeft: when the server lets in one connection only, its bad
// piece is fetched again by the slot that brought it.
func TestOneConnectionLeft(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(10*mib, 51), etag: `"a"`, tree: true}
		sem := make(chan struct{}, 1)
		var noticed atomic.Bool
		f.script = func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			var a, b int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b)
			bad := a <= 6*mib+5 && b >= 6*mib+5 && !noticed.Load()
			if bad {
				g := &file{data: append([]byte(nil), f.data...)}
				g.data[6*mib+5] ^= 1
				g.serveFile(w, r)
			}
			return bad
		}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "" {
				select {
				case sem <- struct{}{}:
					defer func() { <-sem }()
				default:
					hijack(w)
					return
				}
			}
			f.ServeHTTP(w, r)
		})
		r := newRig(t, tr, h, "/x")
		r.opts.Retry.Tries = 1000 // a slot that is never let in must not decide
		observe := r.opts.Observe
		r.opts.Observe = func(e Event) {
			if e.Kind == EventPieceBad {
				noticed.Store(true)
			}
			observe(e)
		}
		if res := r.must("x", f.data); res.PiecesBad != 1 {
			t.Errorf("%+v", res)
		}
	})
}

// TestProgress: the speed after a resumption is that of this run.
func TestProgress(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(12*mib, 52), etag: `"a"`, tree: true}
		r := newRig(t, tr, f, "/x")
		r.interrupt(8 * mib)
		begun := time.Now()
		res := r.must("x", f.data)
		took := time.Since(begun)
		var last int64
		for _, e := range r.events {
			switch e.Kind {
			case EventStart:
				if e.Rate != 0 || e.ETA >= 0 || e.Resumed != res.BytesResumed || e.Done != e.Resumed || e.Total != res.Bytes || e.Path != "x" {
					t.Errorf("start: %+v", e)
				}
			case EventProgress:
				if e.Done < last || e.Done > e.Total || e.Rate > float64(res.BytesFetched)/tick.Seconds() {
					t.Errorf("progress after %d: %+v in %v", last, e, took)
				}
				last = e.Done
			}
		}
	})
}

// A staleBody is one whose request had better be made anew.
type staleBody struct {
	io.ReadCloser
	read *atomic.Int64
}

func (b *staleBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Add(int64(n))
	return n, err
}

func (*staleBody) Stale() bool { return true }

// TestStaleBody: a request whose transport says so ends at once, and the rest is asked for
// anew, which is no failure.
func TestStaleBody(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(32*mib, 59), etag: `"a"`, tree: true}
		r := newRig(t, tr, f, "/x")
		below := r.opts.Transport
		var stale [4]atomic.Int64 // what each of the first requests for data brings
		var answers atomic.Int64
		r.opts.Transport = roundTripFunc(func(req *http.Request) (*http.Response, error) {
			resp, err := below.RoundTrip(req)
			if err == nil && req.Header.Get("Range") != "" {
				if n := answers.Add(1); n <= int64(len(stale)) {
					resp.Body = &staleBody{resp.Body, &stale[n-1]}
				}
			}
			return resp, err
		})
		res := r.must("x", f.data)
		if res.Retries != 0 || res.BytesFetched != int64(len(f.data)) || !res.Verified {
			t.Errorf("%+v", res)
		}
		for i := range stale {
			if n := stale[i].Load(); n == 0 || n > readBuffer {
				t.Errorf("stale request %d has brought %d bytes", i, n)
			}
		}
	})
}

// TestHedgeOfStoppedDownload: a hedge is lost with its download, though the request that it
// has raced goes on for a moment.
func TestHedgeOfStoppedDownload(t *testing.T) {
	l, err := merkle.NewLayout(2*mib, mib)
	if err != nil {
		t.Fatal(err)
	}
	var told []Event
	o := &Options{Connections: 2, Logger: slog.New(slog.DiscardHandler), Observe: func(e Event) { told = append(told, e) }}
	d := newDownload(o, []*source{{}}, &remote{size: l.Size, ranges: true}, l, &target{}, new(kept), new(Result), time.Time{})
	first := &attempt{slot: d.slots[0]}
	d.slots[0].attempt = first
	d.stopping = true
	d.hedgeEnded(time.Time{}, &attempt{slot: d.slots[1], hedges: first, asked: segment.Range{Start: mib, End: 2 * mib}}, nil, nil, context.Canceled)
	if len(told) != 1 || told[0].Decision != DecisionLost || told[0].Reason != "the download ends" {
		t.Errorf("%+v", told)
	}
}
