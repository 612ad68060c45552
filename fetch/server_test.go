package fetch

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/chunkget/chunkget/merkle"
)

// file is a server of one file, at every path. Fields are set before it serves;
// those below mu also later, under it.
type file struct {
	data   []byte
	etag   string
	tree   bool
	leaves bool            // leaf hashes are offered
	lag    <-chan struct{} // the tree is sent when this is closed
	slow   *drip           // how the tree is sent, nil for at once
	repr   []byte          // Repr-Digest
	dispo  string          // Content-Disposition

	wrongLeaves bool // and are wrong

	mu       sync.Mutex
	requests []*http.Request // for data
	sent     int64           // bytes of bodies of the file
	// script answers instead of the file, if it returns true. n counts the
	// requests for data from 1.
	script  func(f *file, n int, w http.ResponseWriter, r *http.Request) bool
	rewrite func(w http.ResponseWriter, r *http.Request) http.ResponseWriter
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Query().Get("digest") {
	case "tree":
		f.serveTree(w, r)
		return
	case "leaves":
		f.serveLeaves(w, r)
		return
	}
	f.mu.Lock()
	f.requests = append(f.requests, r)
	n := len(f.requests)
	script, rewrite := f.script, f.rewrite
	f.mu.Unlock()
	if f.etag != "" {
		w.Header().Set("Etag", f.etag)
	}
	if f.tree {
		w.Header().Set("Link", fmt.Sprintf(`<%s?digest=tree>; rel="describedby"; type="%s", <x>; rel="describedby"; type="application/metalink4+xml"`, r.URL.EscapedPath(), merkle.MediaType))
	}
	if f.leaves {
		w.Header().Add("Link", fmt.Sprintf(`<%s?digest=leaves>; rel="describedby"; type="%s"`, r.URL.EscapedPath(), merkle.LeavesMediaType))
	}
	if f.dispo != "" {
		w.Header().Set("Content-Disposition", f.dispo)
	}
	if f.repr != nil {
		w.Header().Set("Repr-Digest", reprField(f.repr))
	}
	if script != nil && script(f, n, w, r) {
		return
	}
	if rewrite != nil {
		w = rewrite(w, r)
	}
	f.serveFile(w, r)
}

// honest makes the server do what it should from now on.
func (f *file) honest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script, f.rewrite, f.requests = nil, nil, nil
}

// asked returns the requests for data so far.
func (f *file) asked() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

func (f *file) serveFile(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(&countingWriter{w, f}, r, "", time.Time{}, bytes.NewReader(f.data))
}

// countingWriter counts what is sent of the file.
type countingWriter struct {
	http.ResponseWriter
	f *file
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.f.mu.Lock()
	w.f.sent += int64(n)
	w.f.mu.Unlock()
	return n, err
}

func (f *file) serveTree(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Etag", f.etag)
	w.Header().Set("Content-Type", merkle.MediaType)
	if f.lag != nil {
		w.(http.Flusher).Flush()
		select {
		case <-f.lag:
		case <-r.Context().Done():
			return
		}
	}
	if f.slow != nil {
		w = drip{w, r, f.slow.bytes, f.slow.every}
	}
	w.Write(treeOf(f.data))
}

func (f *file) serveLeaves(w http.ResponseWriter, r *http.Request) {
	var first, last int
	if _, err := fmt.Sscanf(r.URL.Query().Get("pieces"), "%d-%d", &first, &last); err != nil || !f.leaves || last-first >= 64 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Etag", f.etag)
	w.Header().Set("Content-Type", merkle.LeavesMediaType)
	for _, h := range merkle.AppendLeaves(nil, f.data[first*mib:min((last+1)*mib, len(f.data))]) {
		if f.wrongLeaves {
			h[0] ^= 1
		}
		w.Write(h[:])
	}
}

// rootOf returns the root of the tree of data.
func rootOf(data []byte) (root merkle.Hash, hashes []merkle.Hash) {
	l, err := merkle.NewLayout(int64(len(data)), merkle.DefaultPieceSize(int64(len(data))))
	if err != nil {
		panic(err)
	}
	for i := range l.Pieces() {
		off, n := l.Piece(i)
		hashes = append(hashes, l.HashPiece(i, data[off:off+n]))
	}
	return l.Root(hashes), hashes
}

func treeOf(data []byte) []byte {
	var b bytes.Buffer
	l, err := merkle.NewLayout(int64(len(data)), merkle.DefaultPieceSize(int64(len(data))))
	if err != nil {
		panic(err)
	}
	root, hashes := rootOf(data)
	e, err := merkle.NewEncoder(&b, l)
	if err != nil {
		panic(err)
	}
	for _, h := range hashes {
		if err := e.WritePiece(h); err != nil {
			panic(err)
		}
	}
	if err := e.Finish(root); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// hijack takes the connection from the server and closes it.
func hijack(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	if tc, ok := c.(interface{ SetLinger(int) error }); ok {
		tc.SetLinger(0)
	}
	c.Close()
}
