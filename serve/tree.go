package serve

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/chunkget/chunkget/merkle"
)

// serveTree sends the hash tree of f, each piece as soon as it is known. When
// the job fails, as it does if the file changes, the response breaks off before
// the root.
func (h *Handler) serveTree(w *response, r *http.Request, f *file) {
	k := key{kindTree, f.name, f.version}
	header := w.Header()
	header.Set("ETag", f.version.etag())
	if !checkMatch(w, r, f.version.etag()) {
		return
	}
	j, err := h.hasher.want(k)
	if err != nil {
		header.Del("ETag")
		h.fail(w, r, err)
		return
	}
	// Later on a failure can no longer be told by the status.
	if state, _ := j.progress(); state.err != nil {
		header.Del("ETag")
		h.fail(w, r, state.err)
		return
	}
	header.Set("Content-Type", merkle.MediaType)
	header.Set("Content-Length", strconv.FormatInt(merkle.StreamSize(k.layout()), 10))
	if r.Method == http.MethodHead {
		return
	}
	w.err = sendTree(w, r, j)
	if w.err != nil && r.Context().Err() == nil {
		h.log.Info("tree broken off", "path", r.URL.EscapedPath(), "err", w.err)
	}
}

// sendTree follows j to its end.
func sendTree(w *response, r *http.Request, j *job) error {
	e, err := merkle.NewEncoder(w, j.key.layout())
	if err != nil {
		return err
	}
	for sent := 0; ; {
		state, changed := j.progress()
		for _, hash := range state.hashes[sent:] {
			if err := e.WritePiece(hash); err != nil {
				return err
			}
			sent++
		}
		if state.err != nil {
			return state.err
		}
		if state.result != nil {
			return e.Finish(state.result.root)
		}
		if err := w.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// checkMatch evaluates If-Match and If-None-Match (RFC 9110, 13.2.2) against the
// strong etag. It reports false if it has answered the request.
func checkMatch(w *response, r *http.Request, etag string) bool {
	if want := r.Header.Values("If-Match"); len(want) > 0 && !listsTag(want, etag) {
		w.Header().Del("ETag")
		http.Error(w, "another version", http.StatusPreconditionFailed)
		return false
	}
	if have := r.Header.Values("If-None-Match"); len(have) > 0 && listsTag(have, etag) {
		w.WriteHeader(http.StatusNotModified)
		return false
	}
	return true
}

// listsTag reports whether etag, or "*", is in a list of entity tags. Our tags
// hold no comma, so cutting foreign ones in two does no harm.
func listsTag(list []string, etag string) bool {
	for _, line := range list {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}
