package fetch

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

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
