package serve

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/chunkget/chunkget/merkle"
)

// DefaultMaxRanges is how many ranges one request may ask for. More are refused
// with status 416, which RFC 9110 (15.5.17) names for an excessive request of
// small ranges, and not answered with the whole file, which is what costs most.
const DefaultMaxRanges = 16

// serveFile sends the file itself.
func (h *Handler) serveFile(w *response, r *http.Request, f *file) {
	if err := h.steady(r, f); err != nil {
		h.fail(w, r, err)
		return
	}
	header := w.Header()
	header.Set("ETag", f.version.etag())
	header.Set("Content-Type", contentType(f.name))
	header.Set("Link", linksOf(r.URL.Path))
	if h.uploads != nil {
		// A page that somebody has uploaded does nothing in the name of this server.
		header.Set("Content-Security-Policy", "sandbox")
	}
	if h.compress && h.samples.worthwhile(f) {
		header.Set("Link-Template", partTemplate(r.URL.Path))
	}
	if d := h.hasher.prefetch(key{kindTree, f.name, f.version}, time.Now()); d != nil {
		header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(d.sha256[:])+":")
	}
	if h.compress && h.serveCodedFile(w, r, f) {
		return
	}
	h.serveContent(w, r, f, f.File, f.version.size)
}

// servePart sends the bytes that part names as a resource of its own.
func (h *Handler) servePart(w *response, r *http.Request, f *file, part string) {
	first, last, err := parsePart(part)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := h.steady(r, f); err != nil {
		h.fail(w, r, err)
		return
	}
	// A part keeps its meaning only if it is never cut short, so one that goes
	// beyond the end is no part of this version.
	if last >= f.version.size {
		w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(f.version.size, 10))
		http.Error(w, "the part is not inside the file", http.StatusRequestedRangeNotSatisfiable)
		return
	}
	n := last - first + 1
	header := w.Header()
	tag := f.version.tag() + "." + part
	header.Set("ETag", `"`+tag+`"`)
	header.Set("Part-Of", f.version.etag())
	header.Set("Part-Range", "bytes "+part+"/"+strconv.FormatInt(f.version.size, 10))
	header.Set("Content-Type", "application/octet-stream")
	content := io.NewSectionReader(f, first, n)
	if h.compress && h.serveCodedPart(w, r, f, content, tag, first, n) {
		return
	}
	h.serveContent(w, r, f, content, n)
}

// serveContent sends size bytes of content, which come from f. Headers that
// describe them are set.
func (h *Handler) serveContent(w *response, r *http.Request, f *file, content io.ReadSeeker, size int64) {
	r, ok := checkRange(w, r, size, h.maxRanges)
	if !ok {
		return
	}
	w.verify = h.unchanged(r, f)
	http.ServeContent(w, r, "", f.modTime, content)
}

// unchanged returns a function that fails if f is no longer what it was when it
// was opened for r.
func (h *Handler) unchanged(r *http.Request, f *file) func() error {
	return func() error {
		now, err := f.current()
		if err == nil && !now.sameBytes(f.version) {
			h.log.Warn("file changed while it was sent", "path", r.URL.EscapedPath())
			err = errChanged
		}
		return err
	}
}

// checkRange prepares the Range header of r for http.ServeContent, which takes
// an unknown unit for an error and any number of ranges for a wish. It reports
// false if it has refused the request.
func checkRange(w *response, r *http.Request, size int64, maxRanges int) (*http.Request, bool) {
	set := r.Header.Get("Range")
	if set == "" {
		return r, true
	}
	unit, ranges, _ := strings.Cut(set, "=")
	switch {
	case r.Method != http.MethodGet || !strings.EqualFold(strings.TrimSpace(unit), "bytes"):
		// RFC 9110, 14.2: a Range that has no meaning here is ignored.
		set = ""
	case strings.Count(ranges, ",") >= maxRanges:
		if tag := r.Header.Get("If-Range"); tag != "" && tag != w.Header().Get("ETag") {
			set = "" // The range is about another version, so the whole is asked for.
			break
		}
		w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
		w.Header().Del("ETag")
		http.Error(w, "more than "+strconv.Itoa(maxRanges)+" ranges", http.StatusRequestedRangeNotSatisfiable)
		return nil, false
	default:
		set = "bytes=" + ranges
	}
	r2 := *r
	r2.Header = r.Header.Clone()
	r2.Header.Del("Range")
	if set != "" {
		r2.Header.Set("Range", set)
	}
	return &r2, true
}

// steady waits for the moment from which on the version of f can be trusted to
// change with its bytes, if that is a matter of milliseconds. It then fails if f
// is no longer the version that it was when it was opened.
func (h *Handler) steady(r *http.Request, f *file) error {
	wait := f.version.settle(time.Now())
	if wait == 0 || wait > fineTick {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	now, err := f.current()
	if err == nil && now != f.version {
		err = errChanged
	}
	return err
}

// contentType returns the media type of the file name. It never looks at the
// bytes: a guess from them is worth little and costs a read.
func contentType(name string) string {
	if t := mime.TypeByExtension(filepath.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// linkSafe escapes what a path may hold as it is but a reader of Link headers
// that looks for separators first would stumble over.
var linkSafe = strings.NewReplacer(",", "%2C", ";", "%3B")

// linksOf returns the Link header of the file at path, decoded.
func linksOf(path string) string {
	target := linkSafe.Replace((&url.URL{Path: path}).EscapedPath())
	return "<" + target + "?digest=" + digestTree + `>; rel="describedby"; type="` + merkle.MediaType + `", <` +
		target + "?digest=" + digestLeaves + `>; rel="describedby"; type="` + merkle.LeavesMediaType + `", <` +
		target + "?digest=" + digestMeta4 + `>; rel="describedby"; type="` + metalinkType + `"`
}

// partRelation is the relation type of a template (RFC 9652) that makes the URL
// of a part from the variables first and last.
const partRelation = "https://github.com/chunkget/chunkget#part"

// partTemplate returns the Link-Template header of the file at path, decoded. An
// escaped path has no braces, quotes or backslashes of its own.
func partTemplate(path string) string {
	return `"` + (&url.URL{Path: path}).EscapedPath() + `?bytes={first}-{last}"; rel="` + partRelation + `"`
}

var errMalformedPart = errors.New("bytes= takes A-B, the first and the last byte of the part")

// parsePart reads A-B: decimal numbers without sign, A not beyond B.
func parsePart(s string) (first, last int64, err error) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, errMalformedPart
	}
	if first, err = parseOffset(a); err != nil {
		return 0, 0, err
	}
	if last, err = parseOffset(b); err != nil {
		return 0, 0, err
	}
	if first > last {
		return 0, 0, errMalformedPart
	}
	return first, last, nil
}

// parseOffset reads a decimal number in the one form that we would write it, so
// that a part has one name.
func parseOffset(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != s {
		return 0, errMalformedPart
	}
	return n, nil
}
