package fetch

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

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
