package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/merkle"
)

// A fakeFile is a file whose bytes come when the test allows it.
type fakeFile struct {
	content string
	allow   chan struct{} // a receive for each read; nil allows all

	mu      sync.Mutex
	version version
	opened  int
	failure error // of all reads, if set
}

// open returns a source that reads f from its beginning.
func (f *fakeFile) open() source {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	return &fakeSource{f, strings.NewReader(f.content)}
}

func (f *fakeFile) change() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version.mtime++
}

type fakeSource struct {
	file *fakeFile
	rest *strings.Reader
}

func (s *fakeSource) Read(p []byte) (int, error) {
	if s.file.allow != nil {
		<-s.file.allow
	}
	if s.file.failure != nil {
		return 0, s.file.failure
	}
	return s.rest.Read(p)
}

func (s *fakeSource) Close() error { return nil }

func (s *fakeSource) current() (version, error) {
	s.file.mu.Lock()
	defer s.file.mu.Unlock()
	return s.file.version, nil
}

// testHasher returns a hasher over fake files, for use in a bubble.
func testHasher(limit int, files map[string]*fakeFile) *hasher {
	log := slog.New(slog.DiscardHandler)
	open := func(name string) (source, error) {
		if f := files[name]; f != nil {
			return f.open(), nil
		}
		return nil, errNotFound
	}
	for _, f := range files {
		f.version.size = int64(len(f.content))
	}
	return newHasher(open, newStore("", "/", 0, log), limit, log)
}

func (f *fakeFile) key(k kind, name string) key { return key{k, name, f.version} }

func treeOf(content string) ([]merkle.Hash, merkle.Hash) {
	l := merkle.Layout{Size: int64(len(content)), PieceSize: 1 << 20}
	var hashes []merkle.Hash
	for i := range l.Pieces() {
		off, n := l.Piece(i)
		hashes = append(hashes, l.HashPiece(i, []byte(content[off:off+n])))
	}
	return hashes, l.Root(hashes)
}

// serveFake serves dir, which holds content as the file a. Hash jobs read a fake
// of it, block by block as the test allows.
func serveFake(t *testing.T, dir, content string) (*testFolder, *fakeFile) {
	t.Helper()
	f := serveDir(t, Options{}, dir)
	file, err := openIn(f.root, "a")
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	fake := &fakeFile{content: content, allow: make(chan struct{}), version: file.version}
	f.hasher.open = func(string) (source, error) { return fake.open(), nil }
	return f, fake
}

// A tree is sent piece by piece while it is computed; those who join later and
// those who leave do not disturb the one job.
func TestTreeStreamed(t *testing.T) {
	content := testBytes(3<<20 + 5)
	dir := t.TempDir()
	writeFile(t, dir+"/a", content)
	synctest.Test(t, func(t *testing.T) {
		f, fake := serveFake(t, dir, content)
		defer f.Close()

		type watcher struct {
			*httptest.ResponseRecorder
			leave   context.CancelFunc
			aborted atomic.Bool
		}
		watch := func() *watcher {
			ctx, cancel := context.WithCancel(t.Context())
			w := &watcher{ResponseRecorder: httptest.NewRecorder(), leave: cancel}
			r := httptest.NewRequest("GET", "/a?digest=tree", nil).WithContext(ctx)
			go func() {
				defer func() { w.aborted.Store(recover() == http.ErrAbortHandler) }()
				f.ServeHTTP(w, r)
			}()
			synctest.Wait()
			return w
		}
		wantPieces := func(w *watcher, n int) {
			t.Helper()
			if got := w.Body.Len(); got != 24+32*n {
				t.Errorf("%d bytes sent, want those of %d pieces", got, n)
			}
		}
		first := watch()
		leaver := watch()
		wantPieces(first, 0)
		if !first.Flushed {
			t.Error("the header was not flushed")
		}
		fake.allow <- struct{}{}
		synctest.Wait()
		wantPieces(first, 1)
		wantPieces(leaver, 1)
		leaver.leave()
		late := watch()
		wantPieces(late, 1)
		fake.allow <- struct{}{}
		synctest.Wait()
		wantPieces(first, 2)
		wantPieces(late, 2)
		wantPieces(leaver, 1)
		if !leaver.aborted.Load() {
			t.Error("the response to the one who left was completed")
		}
		close(fake.allow)
		synctest.Wait()
		after := watch()
		hashes, root := treeOf(content)
		for _, w := range []*watcher{first, late, after} {
			if tag := w.Header().Get("ETag"); tag != fake.version.etag() {
				t.Errorf("ETag %s, want %s", tag, fake.version.etag())
			}
			if w.Header().Get("Content-Type") != merkle.MediaType || w.Header().Get("Content-Length") != "184" {
				t.Errorf("headers %v", w.Header())
			}
			d, err := merkle.NewDecoder(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range hashes {
				if got, err := d.Next(); err != nil || got != want {
					t.Errorf("piece %d: %v, %v", i, got, err)
				}
			}
			if got, err := d.Root(); err != nil || got != root {
				t.Errorf("root %v, %v; want %v", got, err, root)
			}
		}
		if fake.opened != 1 {
			t.Errorf("the file was read %d times", fake.opened)
		}
		if d := f.hasher.store.get(fake.key(kindTree, "a")); d == nil || d.sha256 != sha256.Sum256([]byte(content)) {
			t.Error("no SHA-256, or a wrong one, came with the tree")
		}
	})
}

// A file that changes during the pass leaves no digest behind, neither under its
// old version nor under its new one, and breaks off the tree before its root.
func TestChangedDuringHash(t *testing.T) {
	content := testBytes(2 << 20)
	dir := t.TempDir()
	writeFile(t, dir+"/a", content)
	synctest.Test(t, func(t *testing.T) {
		f, fake := serveFake(t, dir, content)
		defer f.Close()
		old := fake.key(kindTree, "a")

		w := httptest.NewRecorder()
		aborted := make(chan bool, 1)
		go func() {
			defer func() { aborted <- recover() == http.ErrAbortHandler }()
			f.ServeHTTP(w, httptest.NewRequest("GET", "/a?digest=tree", nil))
		}()
		fake.allow <- struct{}{}
		synctest.Wait()
		fake.change()
		close(fake.allow)
		if !<-aborted {
			t.Error("the response was completed")
		}
		if w.Body.Len() >= 24+3*32 {
			t.Errorf("%d bytes sent: a root was among them", w.Body.Len())
		}
		if f.store.get(old) != nil || f.store.get(fake.key(kindTree, "a")) != nil {
			t.Error("digests of a mixture were kept")
		}
	})
}

func TestReadPassFails(t *testing.T) {
	broken := errors.New("bad sector")
	for _, tt := range []struct {
		name string
		file *fakeFile
		size int64 // that the version announces
		want error
	}{
		{"shorter than announced", &fakeFile{content: "abc"}, 4, errChanged},
		{"unreadable", &fakeFile{content: "abc", failure: broken}, 3, broken},
		{"changed before", &fakeFile{content: "abc", version: version{mtime: 1}}, 3, errChanged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := version{size: tt.size}
			tt.file.version.size = tt.size
			if err := readPass(t.Context(), tt.file.open(), v, func([]byte) {}); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errClosed)
	f := &fakeFile{content: "abc", version: version{size: 3}}
	if err := readPass(ctx, f.open(), f.version, func([]byte) {}); !errors.Is(err, errClosed) {
		t.Errorf("cancelled: %v", err)
	}
}

// All sinks see all bytes in order, whatever their speed.
func TestReadPassSinks(t *testing.T) {
	content := testBytes(9<<20 + 3)
	f := &fakeFile{content: content, version: version{size: int64(len(content))}}
	var sinks [3]bytes.Buffer
	err := readPass(t.Context(), f.open(), f.version,
		func(p []byte) { sinks[0].Write(p) },
		func(p []byte) { sha256.Sum256(p); sinks[1].Write(p) },
		func(p []byte) { io.Copy(&sinks[2], bytes.NewReader(p)) })
	for i := range sinks {
		if err != nil || sinks[i].String() != content {
			t.Errorf("sink %d got %d bytes (%v)", i, sinks[i].Len(), err)
		}
	}
}

// What a request waits for goes before what is only prefetched.
func TestWantedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := map[string]*fakeFile{}
		for _, name := range []string{"running", "prefetched", "wanted"} {
			files[name] = &fakeFile{content: name, allow: make(chan struct{})}
		}
		h := testHasher(1, files)
		defer h.close()
		h.prefetch(files["running"].key(kindTree, "running"), time.Now())
		synctest.Wait()
		h.prefetch(files["prefetched"].key(kindTree, "prefetched"), time.Now())
		if _, err := h.want(files["wanted"].key(kindTree, "wanted")); err != nil {
			t.Fatal(err)
		}
		if running, waiting := h.counts(); running != 1 || waiting != 2 {
			t.Errorf("%d running, %d waiting", running, waiting)
		}
		close(files["running"].allow)
		synctest.Wait()
		if files["wanted"].opened != 1 || files["prefetched"].opened != 0 {
			t.Error("the prefetched file went first")
		}
		close(files["wanted"].allow)
		synctest.Wait()
		if files["prefetched"].opened != 1 {
			t.Error("the prefetched file was forgotten")
		}
		close(files["prefetched"].allow)
		synctest.Wait()
		if h.workers != 0 {
			t.Errorf("%d workers without work", h.workers)
		}
	})
}

func TestFailedJobRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("bad sector")
		f := &fakeFile{content: "abc", failure: broken}
		h := testHasher(1, map[string]*fakeFile{"a": f})
		defer h.close()
		k := f.key(kindTree, "a")
		ask := func(want int) {
			t.Helper()
			h.prefetch(k, time.Now())
			synctest.Wait()
			if f.opened != want {
				t.Errorf("opened %d times, want %d", f.opened, want)
			}
		}
		ask(1)
		ask(1)
		j, err := h.want(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.wait(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		ask(2)
		time.Sleep(retryFailed)
		ask(3)
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFile{content: "abc", allow: make(chan struct{})}
		h := testHasher(1, map[string]*fakeFile{"a": f})
		h.prefetch(f.key(kindTree, "a"), time.Now())
		synctest.Wait()
		for i := range maxQueued {
			h.prefetch(key{kindTree, "b", version{inode: uint64(i)}}, time.Now())
		}
		if _, err := h.want(key{kindTree, "one more", version{}}); !errors.Is(err, errBusy) {
			t.Errorf("%v", err)
		}
		if running, waiting := h.counts(); running != 1 || waiting != maxQueued {
			t.Errorf("%d running, %d waiting", running, waiting)
		}
		close(f.allow)
		h.close()
	})
}

// Close ends the running job and those that wait, and waits for its worker.
func TestHasherClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFile{content: testBytes(8 << 20), allow: make(chan struct{})}
		h := testHasher(1, map[string]*fakeFile{"a": f})
		running, err := h.want(f.key(kindTree, "a"))
		if err != nil {
			t.Fatal(err)
		}
		f.allow <- struct{}{}
		synctest.Wait()
		waiting, err := h.want(f.key(kindPieces, "a"))
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() { h.close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("close did not wait for the read under way")
		default:
		}
		close(f.allow)
		<-closed
		for _, j := range []*job{running, waiting} {
			if _, err := j.wait(t.Context()); !errors.Is(err, errClosed) {
				t.Errorf("%v job: %v", j.key.kind, err)
			}
		}
		if _, err := h.want(key{kindTree, "b", version{}}); !errors.Is(err, errClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestPieceHashes(t *testing.T) {
	content := testBytes(2<<20 + 7)
	f := &fakeFile{content: content}
	h := testHasher(1, map[string]*fakeFile{"a": f})
	defer h.close()
	j, err := h.want(f.key(kindPieces, "a"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := j.wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(d.hashes) != 3 {
		t.Fatalf("%d pieces", len(d.hashes))
	}
	for i, got := range d.hashes {
		if want := sha256.Sum256([]byte(content[i<<20 : min((i+1)<<20, len(content))])); got != want {
			t.Errorf("piece %d: %v, want %x", i, got, want)
		}
	}
}

// Pieces of a Metalink are at most 16384, whatever the size.
func TestMetalinkPieceSize(t *testing.T) {
	for _, tt := range []struct{ size, want int64 }{
		{0, 1 << 20}, {16 << 30, 1 << 20}, {16<<30 + 1, 2 << 20}, {1 << 40, 64 << 20},
	} {
		l := key{kindPieces, "a", version{size: tt.size}}.layout()
		if l.PieceSize != tt.want || l.Pieces() > 1<<14 {
			t.Errorf("%d bytes: %d pieces of %d", tt.size, l.Pieces(), l.PieceSize)
		}
	}
}

func BenchmarkHashTree(b *testing.B) {
	content := testBytes(64 << 20)
	f := &fakeFile{content: content, version: version{size: int64(len(content))}}
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		j := &job{key: f.key(kindTree, "a"), changed: make(chan struct{})}
		if _, err := j.hashTree(b.Context(), f.open()); err != nil {
			b.Fatal(err)
		}
	}
}
