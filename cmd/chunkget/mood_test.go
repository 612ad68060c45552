package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
)

// A mood is what a server does that was as it should be when it answered first.
type mood struct {
	// do answers request n for data, of a file of so many bytes, or changes what is asked
	// and answered and returns false.
	do func(w http.ResponseWriter, r *http.Request, n, size int) bool
	// once is for the second request only. Then the first answer does not go on before
	// there is a third request, which a client of two connections makes when it has dealt
	// with the second: what that brings is needed.
	once bool
}

var moods = map[string]mood{
	"whole": {func(_ http.ResponseWriter, r *http.Request, _, _ int) bool {
		r.Header.Del("Range")
		return false
	}, true},
	"416": {func(w http.ResponseWriter, _ *http.Request, _, size int) bool {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return true
	}, true},
	"total": {func(w http.ResponseWriter, r *http.Request, _, size int) bool { return sendZeros(w, r, 0, size+1) }, true},
	"range": {func(w http.ResponseWriter, r *http.Request, _, size int) bool { return sendZeros(w, r, 1, size) }, true},
	"untagged": {func(w http.ResponseWriter, r *http.Request, _, size int) bool {
		w.Header().Del("Etag")
		return sendZeros(w, r, 0, size)
	}, true},
	"busy": {func(w http.ResponseWriter, _ *http.Request, _, _ int) bool {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}, true},
	"tags": {func(w http.ResponseWriter, r *http.Request, n, size int) bool {
		w.Header().Set("Etag", fmt.Sprintf(`"%d"`, n))
		return n > 1 && sendZeros(w, r, 0, size)
	}, false},
	"changed": {func(w http.ResponseWriter, _ *http.Request, n, _ int) bool {
		if n > 1 {
			w.Header().Set("Etag", `"b"`) // so If-Range makes it the whole file
		}
		return false
	}, false},
	"strict": {func(w http.ResponseWriter, r *http.Request, n, _ int) bool {
		if n == 1 || r.Header.Get("If-Range") == w.Header().Get("Etag") {
			return false
		}
		w.WriteHeader(http.StatusPreconditionRequired)
		return true
	}, false},
	"weak": {func(w http.ResponseWriter, _ *http.Request, _, _ int) bool {
		w.Header().Set("Etag", `W/"a"`)
		return false
	}, false},
}

// sendZeros sends zeros as the range that is asked for, and says that it is one that begins
// so much later, of a file of that size.
func sendZeros(w http.ResponseWriter, r *http.Request, later, size int) bool {
	var first, last int
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first+later, last+later, size))
	w.Header().Set("Content-Length", fmt.Sprint(last-first+1))
	w.WriteHeader(http.StatusPartialContent)
	w.Write(make([]byte, last-first+1))
	return true
}

// moodyHandler serves a folder like the kind range, but for one of moods.
func moodyHandler(_ *server, dir, arg string) (http.Handler, func(), error) {
	m, ok := moods[arg]
	if !ok {
		return nil, nil, fmt.Errorf("no mood %q", arg)
	}
	h := files{dir: dir, ranges: true}
	var requests atomic.Int64
	third := make(chan struct{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := os.Stat(filepath.Join(dir, filepath.Base(r.URL.Path)))
		if err != nil || r.URL.RawQuery != "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Etag", `"a"`)
		n := int(requests.Add(1))
		switch {
		case m.once && n == 1:
			w = &pausingWriter{w, 1 << 20, third, r.Context().Done()}
		case n == 3:
			close(third)
		}
		if m.once && n != 2 || !m.do(w, r, n, int(info.Size())) {
			h.ServeHTTP(w, r)
		}
	}), nil, nil
}

// A pausingWriter pauses when it has written so much.
type pausingWriter struct {
	http.ResponseWriter
	left        int
	open, ended <-chan struct{}
}

func (w *pausingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		http.NewResponseController(w.ResponseWriter).Flush()
		select {
		case <-w.open:
		case <-w.ended:
		}
	}
	return w.ResponseWriter.Write(b)
}
