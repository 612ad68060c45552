package serve

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A haltingBody sends a little and then nothing until it is released.
type haltingBody struct {
	halted  *sync.WaitGroup
	release <-chan struct{}
	begun   bool
}

func (b *haltingBody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		return min(len(p), 1000), nil
	}
	b.halted.Done()
	<-b.release
	return 0, io.ErrUnexpectedEOF
}

// TestUploadBuffers: requests that send pieces of an upload hold a buffer each,
// whatever their range.
func TestUploadBuffers(t *testing.T) {
	const (
		requests = 64
		each     = 256<<10 + 64<<10
	)
	f := uploadTo(t, UploadOptions{MaxSize: 64 << 20, Quota: 128 << 20}, nil)
	tree := uploadTree(t, strings.Repeat("x", 32<<20))
	_, location := f.begin(t, "/big", tree)
	if location == "" {
		t.Fatal("the upload has not begun")
	}
	release := make(chan struct{})
	var halted, ended sync.WaitGroup
	halted.Add(requests)
	before := heapInUse()
	for range requests {
		ended.Go(func() {
			r := httptest.NewRequest(http.MethodPatch, location, io.NopCloser(&haltingBody{halted: &halted, release: release}))
			r.ContentLength = -1
			r.Header.Set("Content-Range", rangeOf(tree, 0, len(tree.data)))
			f.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	halted.Wait()
	grown := heapInUse() - before
	t.Logf("%d bytes each", grown/requests)
	if grown > requests*each {
		t.Errorf("%d requests hold %d bytes, want at most %d each", requests, grown, each)
	}
	runtime.KeepAlive(tree)
	close(release)
	ended.Wait()
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
