package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chunkget/chunkget/segment"
)

// errStalled is the cause of the cancellation of a request that makes no
// progress.
var errStalled = &stallError{}

type stallError struct{}

func (*stallError) Error() string { return "no data for too long" }
func (*stallError) Timeout() bool { return true }

// client makes the requests of one download. It has no state.
type client struct {
	http   *http.Client
	url    *url.URL
	header http.Header // of the user, for the origin of url
	sent   secrets     // of url and header, also where they are not sent, and of the transport
	veil   *Veil
	accept string // codings of the answer; "" means identity

	maxRedirects  int           // that one request follows
	maxRetryAfter time.Duration // that is obeyed
}

func newClient(o *Options) *client {
	c := &client{url: withoutFragment(o.URL)}
	c.sent, c.veil = secrets(nil).ofURL(c.url).ofHeader(o.Header).add(o.Secrets...), o.veil
	c.header = takeUser(c.url, o.Header)
	c.maxRedirects, c.maxRetryAfter = max(cmp.Or(o.MaxRedirects, DefaultMaxRedirects), 0), o.Retry.resolved().MaxRetryAfter
	c.http = &http.Client{Transport: o.Transport, CheckRedirect: c.checkRedirect}
	return c
}

func withoutFragment(u *url.URL) *url.URL {
	c := *u
	c.Fragment, c.RawFragment = "", ""
	return &c
}

// response is an answer with the connection that it came over.
type response struct {
	*http.Response
	conn net.Conn      // nil if the transport does not tell
	wait time.Duration // for the answer, from when there was a connection; 0 likewise
}

// get asks for r of the file, or for all of u when r is empty. An open end
// (math.MaxInt64) asks for the rest. The status of the answer is 200 or 206.
//
// onConn, if not nil, is told of each connection that the request is put on.
func (c *client) get(ctx context.Context, u *url.URL, r segment.Range, ifRange string, onConn func(net.Conn)) (*response, error) {
	return c.ask(ctx, http.MethodGet, u, r, ifRange, onConn)
}

// head asks for what get would tell of all of the file but its bytes.
func (c *client) head(ctx context.Context) (*response, error) {
	return c.ask(ctx, http.MethodHead, c.url, segment.Range{}, "", nil)
}

func (c *client) ask(ctx context.Context, method string, u *url.URL, r segment.Range, ifRange string, onConn func(net.Conn)) (*response, error) {
	var conn net.Conn
	var asked time.Time
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		conn, asked = i.Conn, time.Now()
		if onConn != nil {
			onConn(conn)
		}
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), method, u.String(), nil)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, &Error{Kind: KindUsage, Op: "make request", Err: err}
	}
	// A redirect may have led the first request, and with it the address of the
	// tree, to another server.
	if sameOrigin(u, c.url) {
		for k, v := range c.header {
			req.Header[k] = v
		}
		if h := c.header.Get("Host"); h != "" {
			req.Host = h
		}
	}
	// A coding would make the positions in the file meaningless, unless the answer
	// is a part as a resource of its own.
	req.Header.Set("Accept-Encoding", cmp.Or(c.accept, "identity"))
	req.Header.Set("Want-Repr-Digest", wantReprDigest)
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "chunkget")
	}
	if !r.Empty() {
		req.Header.Set("Range", rangeHeader(r))
		if ifRange != "" {
			req.Header.Set("If-Range", ifRange)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, requestError(ctx, method+" "+redact(u), err, c.sent)
	}
	if err := checkStatus(resp, c.sent, c.maxRetryAfter, time.Now()); err != nil {
		resp.Body.Close()
		if cr, perr := parseContentRange(resp.Header.Get("Content-Range")); perr == nil && resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			return nil, &unsatisfiedError{cr.total, err}
		}
		return nil, err
	}
	out := &response{Response: resp, conn: conn}
	if conn != nil {
		out.wait = time.Since(asked)
	}
	return out, nil
}

// unsatisfiedError is an answer 416 that tells the size of the file.
type unsatisfiedError struct {
	size int64
	err  error
}

func (e *unsatisfiedError) Error() string { return e.err.Error() }
func (e *unsatisfiedError) Unwrap() error { return e.err }

// rangeHeader formats one range of bytes (RFC 9110, section 14.1.2).
func rangeHeader(r segment.Range) string {
	if r.End == openEnd {
		return fmt.Sprintf("bytes=%d-", r.Start)
	}
	return fmt.Sprintf("bytes=%d-%d", r.Start, r.End-1)
}

// openEnd is the end of a range that asks for the rest of a file whose size is
// not known.
const openEnd = 1<<63 - 1

// requestError classifies why there is no answer. The error may repeat one that is
// malformed, and with it what was sent.
func requestError(ctx context.Context, op string, err error, sent secrets) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if last, perr := url.Parse(e.URL); perr == nil { // a redirect may have led to it
			sent = slices.Clip(sent).ofURL(last)
		}
		err = e.Err // without the URL, which would tell the query
	}
	if strings.HasPrefix(err.Error(), "failed to parse Location header") { // and repeats it
		err = &finalError{errors.New("the server redirects to a malformed URL")}
	}
	return networkError(op, sent.hiding(withCause(ctx, err)))
}

// withCause puts the reason of a cancellation in the place of its effect.
func withCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
	}
	return err
}
