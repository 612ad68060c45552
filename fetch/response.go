package fetch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

// remote is what the first answer told about the file. It does not change; all
// later answers are held against it.
type remote struct {
	size int64  // in bytes, -1 when the server did not say
	etag string // strong entity tag with its quotes, "" if there is none
	// secretTag is true if etag repeats a secret. A journal would keep it as it is.
	secretTag bool
	others    http.Header // ETag and Last-Modified as they came, for servers without a strong tag
	ranges    bool        // the server answers range requests

	// ifRange is the validator of conditional requests (RFC 9110, section
	// 13.1.5): the strong tag, else a Last-Modified that is as good as one,
	// else "".
	ifRange string

	tree   *url.URL      // of the hash tree, nil when none is offered
	leaves *url.URL      // of its leaves, likewise
	part   *partTemplate // of parts that may be compressed, likewise
	// strayed is true if the redirects to the answer led through another origin.
	strayed bool
	digest  Digest // from Repr-Digest or Digest, none when it was not sent
	name    string // from Content-Disposition, made safe, "" if there was none

	metalink   *url.URL   // of the Metalink that the answer names, nil if it names none
	duplicates []*url.URL // other addresses of the file that the answer names
}

// tag is what partial data on disk is known by, "" if there is nothing.
func (r *remote) tag() string {
	if r.secretTag {
		return ""
	}
	return r.etag
}

// newRemote reads the first answer, which is a 206 for asked or a 200.
func newRemote(resp *http.Response, asked segment.Range) (*remote, error) {
	r := &remote{
		size:   resp.ContentLength,
		etag:   strongETag(resp.Header),
		others: http.Header{"Etag": resp.Header.Values("Etag"), "Last-Modified": resp.Header.Values("Last-Modified")},
		digest: reprDigest(resp.Header),
		name:   suggestedName(resp.Header),
	}
	if err := checkCoding(resp); err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusPartialContent {
		r.ranges = true
		cr, err := checkPart(resp, asked)
		if err != nil {
			return nil, err
		}
		r.size = cr.total
	}
	r.tree = digestLink(resp, merkle.MediaType)
	r.leaves = digestLink(resp, merkle.LeavesMediaType)
	r.part = partLink(resp)
	r.strayed = strayed(resp.Request)
	r.metalink = metalinkOf(resp)
	r.duplicates = duplicates(resp)
	if r.ifRange = r.etag; r.ifRange == "" {
		r.ifRange = strongDate(resp.Header)
	}
	return r, nil
}

// contentRange is the value of a Content-Range of unit bytes.
type contentRange struct {
	r     segment.Range // empty in an unsatisfied range
	total int64         // -1 for *
}

// parseContentRange parses a Content-Range (RFC 9110, section 14.4):
//
//	Content-Range     = range-unit SP ( range-resp / unsatisfied-range )
//	range-resp        = first-pos "-" last-pos "/" ( complete-length / "*" )
//	unsatisfied-range = "*/" complete-length
func parseContentRange(s string) (contentRange, error) {
	bad := func() (contentRange, error) {
		return contentRange{}, fmt.Errorf("malformed Content-Range %q", s)
	}
	unit, rest, ok := strings.Cut(s, " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return bad()
	}
	positions, length, ok := strings.Cut(rest, "/")
	if !ok {
		return bad()
	}
	cr := contentRange{total: -1}
	if length != "*" {
		if cr.total, ok = parseDigits(length); !ok {
			return bad()
		}
	}
	if positions == "*" {
		if cr.total < 0 {
			return bad()
		}
		return cr, nil
	}
	first, last, ok := strings.Cut(positions, "-")
	if !ok {
		return bad()
	}
	a, ok1 := parseDigits(first)
	b, ok2 := parseDigits(last)
	// "A Content-Range field value is invalid if it contains a range-resp that
	// has a last-pos value less than its first-pos value, or a complete-length
	// value less than or equal to its last-pos value."
	if !ok1 || !ok2 || b < a || b == 1<<63-1 || cr.total >= 0 && cr.total <= b {
		return bad()
	}
	cr.r = segment.Range{Start: a, End: b + 1}
	return cr, nil
}

// parseDigits parses 1*DIGIT; strconv alone would take a sign, too.
func parseDigits(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// checkPart fails unless the answer is exactly the part that was asked for,
// which ends with the file if that is shorter.
func checkPart(resp *http.Response, asked segment.Range) (contentRange, error) {
	code := CodeContentRange
	lie := func(format string, args ...any) (contentRange, error) {
		return contentRange{}, statusError(resp, fmt.Errorf(format, args...)).withCode(code)
	}
	if v := resp.Header.Values("Content-Range"); len(v) != 1 {
		return lie("a part with %d Content-Range fields", len(v))
	}
	cr, err := parseContentRange(resp.Header.Get("Content-Range"))
	switch {
	case err != nil:
		return lie("%w", err)
	case cr.total < 0:
		return lie("the server does not tell the size of the file")
	case cr.r.Empty(), cr.r != segment.Range{Start: asked.Start, End: min(asked.End, cr.total)}:
		return lie("asked for bytes %d-%d, got Content-Range %q", asked.Start, asked.End-1, resp.Header.Get("Content-Range"))
	case resp.ContentLength >= 0 && resp.ContentLength != cr.r.Len():
		code = CodeContentLength
		return lie("Content-Length %d does not fit Content-Range %q", resp.ContentLength, resp.Header.Get("Content-Range"))
	}
	return cr, nil
}

// checkCoding fails when the body is not the file itself.
func checkCoding(resp *http.Response) error {
	if c := resp.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return statusError(resp, fmt.Errorf("the server sent the coding %q although identity was asked for", c)).
			withCode(CodeContentEncoding).withHint("the server does not offer the plain file")
	}
	return nil
}

// strongETag returns the entity tag if it is one and is strong (RFC 9110,
// section 8.8.3).
func strongETag(h http.Header) string {
	t := h.Get("Etag")
	if len(t) < 2 || len(t) > maxETag || t[0] != '"' || t[len(t)-1] != '"' || strings.Contains(t[1:len(t)-1], `"`) {
		return ""
	}
	return t
}

// maxETag is the length of the longest tag that is taken for one, in bytes.
const maxETag = 4 << 10

// checkStatus returns the error that a status other than 200 and 206 means, without
// the secrets that were sent. most is the longest wait that is obeyed, now the time of
// the answer.
func checkStatus(resp *http.Response, sent secrets, most time.Duration, now time.Time) error {
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		return nil
	}
	said := saidBy(resp, sent)
	e := statusError(resp, errors.New("the server answered "+said))
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		e.Kind, e.Hint = KindAuth, refusedHint(resp)
	case http.StatusNotFound, http.StatusGone:
		e.Hint = "check the path in the URL"
	case http.StatusBadRequest:
		// What chunkserve and Go's server say to plain text where TLS is expected.
		if plain := resp.Request.URL.Scheme; (plain == "http" || plain == "udt") && (strings.Contains(said, "TLS") || strings.Contains(said, "HTTPS")) {
			e.Hint = "the server wants TLS: use https:// or udts://"
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return slowDown(e, resp.Header, most, now)
	}
	return e
}

// saidBy returns the status of a refusal, and the first line of what the server says of
// it if that is more than the status does, quoted and without the secrets that were
// sent.
func saidBy(resp *http.Response, sent secrets) string {
	sent = sent.ofRequests(resp.Request)
	code, reason, ok := strings.Cut(resp.Status, " ")
	if ok { // a code is none of the server's words
		reason = " " + sent.hide(reason, maxSaid)
	}
	status := strconv.Quote(code + reason)
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t != "text/plain" && t != "" {
		return status
	}
	line, err := bufio.NewReaderSize(io.LimitReader(resp.Body, readSaid), readSaid).ReadString('\n')
	line = strings.TrimSpace(line)
	if line == "" || err != nil && err != io.EOF || strings.HasSuffix(strings.ToLower(line), strings.ToLower(http.StatusText(resp.StatusCode))) {
		return status
	}
	return status + ": " + sent.quoted(line)
}

// refusedHint says what to do about a refusal of who asks, if what was sent of that
// is to blame.
func refusedHint(resp *http.Response) string {
	if resp.StatusCode == http.StatusProxyAuthRequired || resp.Request == nil || resp.Request.Header.Get("Authorization") == "" {
		return ""
	}
	return "the token or login that was sent is not accepted for this URL: ask whoever runs the server for one that is"
}

// slowDown returns e, which is of an answer 429 or 503, with what that says of another
// try, which is obeyed if it is no more than most.
func slowDown(e *Error, h http.Header, most time.Duration, now time.Time) error {
	after := retryAfter(h, now)
	if e.StatusCode == http.StatusTooManyRequests {
		e.Hint = "the server limits requests: use fewer connections, or come again later"
	}
	if after > most {
		e.Hint = fmt.Sprintf("the server asks to come again in %v, and no more than %v is waited for: come again then, or see --max-retry-after", after.Round(time.Second), most)
	}
	if after > 0 {
		return &slowDownError{after, after > most, e}
	}
	return e
}

// statusError is an answer that is not the wanted one. err may repeat fields of it.
func statusError(resp *http.Response, err error) *Error {
	return &Error{Kind: KindHTTPStatus, Op: "GET " + redact(resp.Request.URL), Err: secrets(nil).ofRequests(resp.Request).hiding(err), StatusCode: resp.StatusCode}
}

// retryAfter returns how long the server wants to be left alone (RFC 9110,
// section 10.2.3), 0 if it does not say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, ok := parseDigits(v); ok {
		return time.Duration(min(s, 1<<30)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// digestLink returns the URL of the hashes of that type that the answer offers,
// if it is of the same origin as the answer itself.
func digestLink(resp *http.Response, mediaType string) *url.URL {
	for l := range links(resp) {
		if !l.describes(mediaType) {
			continue
		}
		u, err := resp.Request.URL.Parse(l.target)
		if err == nil && sameOrigin(u, resp.Request.URL) {
			return u
		}
	}
	return nil
}
