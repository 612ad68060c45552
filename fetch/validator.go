package fetch

import (
	"errors"
	"net/http"
	"time"
)

// The ladder of validators: what makes parts of several answers one file.
//
//  1. A strong ETag. Every part must carry it, whatever the server makes of
//     If-Range.
//  2. A Last-Modified that is strong (see strongDate), in If-Range. A part may
//     leave it out, since it was conditional, but not contradict it.
//  3. The hash tree, which finds pieces of another version.
//  4. Nothing: then the file is one answer, from its first byte to its last.
//
// A weak ETag is no rung, but one that changes shows that the file has.

// combinable reports whether parts from several answers may be put together.
func (r *remote) combinable() bool { return r.ifRange != "" || r.tree != nil }

// strongDate returns Last-Modified if it can tell any two versions of the file
// apart. It has a resolution of one second, so the file must have been left
// alone for longer when the answer was made (RFC 9110, section 8.8.2.2). A
// minute, as RFC 7232 had it, makes different clocks behind one name unlikely
// to matter. An answer with an ETag, if a weak one, is of a server that knows
// its date to be no strong one.
func strongDate(h http.Header) string {
	v := h.Get("Last-Modified")
	modified, err1 := http.ParseTime(v)
	date, err2 := http.ParseTime(h.Get("Date"))
	if err1 != nil || err2 != nil || h.Get("Etag") != "" || date.Sub(modified) < time.Minute {
		return ""
	}
	return v
}

// checkSame fails when the answer is about another version of the file, or does
// not tell.
func (r *remote) checkSame(resp *http.Response) error {
	changed := func(c Code, what, was, is string) error {
		sent := secrets(nil).ofRequests(resp.Request)
		return errorf(KindRemoteChanged, "check answer", "the remote file has changed: %s was %s and is %s", what, sent.quoted(was), sent.quoted(is)).withCode(c)
	}
	h := resp.Header
	if r.etag != "" {
		switch now := h.Get("Etag"); {
		case now == r.etag:
			return nil
		case now == "" && resp.StatusCode == http.StatusPartialContent:
			// A part has to carry the tag that the whole would (RFC 9110,
			// section 15.3.7). Whoever leaves it out may not have looked at
			// If-Range, either.
			return statusError(resp, errors.New("a part without the ETag that other answers have")).withCode(CodeETagMissing)
		default:
			return changed(CodeETagChanged, "ETag", r.etag, now)
		}
	}
	if was, now := r.others.Get("Etag"), h.Get("Etag"); was != now && now != "" {
		return changed(CodeETagChanged, "ETag", was, now)
	}
	if was, now := r.others.Get("Last-Modified"), h.Get("Last-Modified"); was != now && now != "" {
		return changed(CodeLastModifiedChanged, "Last-Modified", was, now)
	}
	return nil
}
