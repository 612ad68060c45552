package serve

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
)

// errUsedUp says that a client that refuses identity has as much compressed for
// it as it may have.
var errUsedUp = errors.New("too many responses are being compressed")

// A candidate is a coding that a client accepts, and where it would come from.
type candidate struct {
	coding  string
	weight  int
	sibling *file // nil if the body would be compressed while it is sent
}

// serveCoded answers r with a body in a coding, if the client wants one and it
// can be had, and reports whether it has answered. base is the identity's entity
// tag without quotes; worth tells whether compressing pays, and is called only
// if need be.
//
// Parts are cut from identity only: a request with Range gets that. So does one
// for which the budget is used up.
func (h *Handler) serveCoded(w *response, r *http.Request, f *file, content io.ReadSeeker, base string, candidates []candidate, worth func() bool) bool {
	a := acceptedCodings(r.Header)
	if a.identity > 0 && r.Method == http.MethodGet && r.Header.Get("Range") != "" {
		return false
	}
	for i := range candidates {
		candidates[i].weight = a.weightOf(candidates[i].coding)
	}
	slices.SortStableFunc(candidates, func(x, y candidate) int { return cmp.Compare(y.weight, x.weight) })
	usedUp := false
	for _, c := range candidates {
		switch {
		case c.weight == 0 || c.weight < a.identity:
			continue
		case c.sibling != nil:
			if h.steady(r, c.sibling) != nil {
				continue
			}
			tag := base + "." + c.coding + "-" + c.sibling.version.tag()
			w.Header().Set("Content-Length", strconv.FormatInt(c.sibling.version.size, 10))
			h.sendCoded(w, w, r, f, c.sibling, c.sibling.File, c.coding, tag)
			return true
		}
		t := h.budget.enter(r.RemoteAddr)
		if t == nil {
			usedUp = true
			continue
		}
		defer t.leave()
		if a.identity > 0 {
			pays := false
			if err := t.work(r.Context(), func() error { pays = worth(); return nil }); err != nil || !pays {
				break
			}
		}
		tag := base + "." + c.coding + "-" + coderTag()
		h.sendCoded(w, &codedResponse{w, r.Context(), t, c.coding}, r, f, f, content, c.coding, tag)
		return true
	}
	if a.identity > 0 {
		return false
	}
	w.Header().Del("ETag")
	if usedUp {
		h.fail(w, r, errUsedUp)
	} else {
		http.Error(w, "only zstd, gzip and identity can be sent", http.StatusNotAcceptable)
	}
	return true
}

// sendCoded sends content, read from source, as f in a coding; to is w or wraps
// it. Headers that describe f are set, and those that would not be true of the
// coded body are replaced.
func (h *Handler) sendCoded(w *response, to http.ResponseWriter, r *http.Request, f, source *file, content io.ReadSeeker, coding, tag string) {
	r2 := *r
	r2.Header = r.Header.Clone()
	r2.Header.Del("Range")
	header := w.Header()
	header.Set("Content-Encoding", coding)
	header.Set("ETag", `"`+tag+`"`)
	// RFC 9530, 3: it is about the bytes after coding, whose digest nobody knows.
	header.Del("Repr-Digest")
	w.verify = h.unchanged(r, source)
	http.ServeContent(to, &r2, "", f.modTime, content)
}

// dynamic are the codings of bodies that are compressed while they are sent,
// the better one first.
func dynamic() []candidate { return []candidate{{coding: codingZstd}, {coding: codingGzip}} }

// serveCodedFile is serveCoded for the whole of f, which may have files beside it
// that hold it in a coding already.
func (h *Handler) serveCodedFile(w *response, r *http.Request, f *file) bool {
	w.Header().Add("Vary", "Accept-Encoding")
	var all []candidate
	if a := acceptedCodings(r.Header); a.zstd+a.gzip > 0 {
		for _, c := range dynamic() {
			if a.weightOf(c.coding) == 0 {
				continue
			}
			if c.sibling = h.sibling(f, c.coding); c.sibling != nil {
				defer c.sibling.Close()
				all = append(all, c)
			}
		}
	}
	// Among codings that are equally welcome, one that costs nothing goes first.
	return h.serveCoded(w, r, f, f.File, f.version.tag(), append(all, dynamic()...), func() bool { return h.samples.worthwhile(f) })
}

// serveCodedPart is serveCoded for n bytes of f from first on.
func (h *Handler) serveCodedPart(w *response, r *http.Request, f *file, content io.ReadSeeker, base string, first, n int64) bool {
	w.Header().Add("Vary", "Accept-Encoding")
	return h.serveCoded(w, r, f, content, base, dynamic(), func() bool {
		return !compressedName(f.name) && shrinks(f, first, n)
	})
}
