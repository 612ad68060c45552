package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

const (
	// uploadMediaType is that of the state of an upload, uploadComplete the field
	// that says whether the file is in its place; docs/upload.md has both.
	uploadMediaType = "application/vnd.chunkget.upload+json"
	uploadComplete  = "Upload-Complete"

	// maxStateBytes bounds the state of an upload.
	maxStateBytes = 1 << 20
)

// do makes a request about an upload. The status of the answer is 2xx, or 422 to a
// PATCH, which says which pieces are wrong. The body is a *sentBody or nil.
func (c *client) do(ctx context.Context, method string, u *url.URL, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, &Error{Kind: KindUsage, Op: "make request", Err: errors.New("malformed URL")}
	}
	for k, v := range c.header { // u is of the origin of the URL
		req.Header[k] = v
	}
	if h := c.header.Get("Host"); h != "" {
		req.Host = h
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if b, ok := body.(*sentBody); ok {
		req.ContentLength = b.left
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "chunkget")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, requestError(ctx, method+" "+redact(u), err, c.sent)
	}
	if resp.StatusCode/100 == 2 || method == http.MethodPatch && resp.StatusCode == http.StatusUnprocessableEntity {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, putStatusError(method, u, resp, c.sent, c.maxRetryAfter, time.Now())
}

// putStatusError returns what an answer means that is no success, without the secrets
// that were sent. most and now are as in checkStatus.
func putStatusError(method string, u *url.URL, resp *http.Response, sent secrets, most time.Duration, now time.Time) error {
	e := &Error{Kind: KindHTTPStatus, Op: method + " " + redact(u), StatusCode: resp.StatusCode,
		Err: errors.New("the server answered " + saidBy(resp, sent))}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusProxyAuthRequired:
		e.Kind, e.Hint = KindAuth, refusedHint(resp)
	case s/100 == 3:
		e.Hint = "the server sends uploads elsewhere: give the URL that it names" + elsewhere(resp, sent)
	case s == http.StatusNotFound:
		e.Hint = "check the path in the URL; its folder must exist at the server"
	case s == http.StatusMethodNotAllowed, s == http.StatusNotImplemented:
		e.Hint = "the server takes no uploads; chunkserve does with --upload"
	case s == http.StatusConflict:
		e.Kind, e.Hint = KindDisk, "the server overwrites nothing: choose another name in the URL"
	case s == http.StatusRequestEntityTooLarge:
		e.Hint = "the operator of the server can raise its --upload-max-size"
	case s == http.StatusInsufficientStorage:
		e.Kind, e.Hint = KindDisk, "the operator of the server can make room, or raise its --upload-quota"
	case s == http.StatusUnsupportedMediaType:
		e.Hint = "the server is none that takes files in parts; try: curl -T FILE URL"
	case s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable:
		return slowDown(e, resp.Header, most, now)
	}
	return e
}

// elsewhere returns the URL that an answer leads to, after a comma, if it is one.
func elsewhere(resp *http.Response, sent secrets) string {
	u, err := resp.Location()
	if err != nil {
		return ""
	}
	return ", " + sent.ofRequests(resp.Request).quoted(RedactURL(u))
}

// isCompleted reports whether an answer says that the file is in its place.
func isCompleted(h http.Header) bool { return strings.TrimSpace(h.Get(uploadComplete)) == "?1" }

// create tells the server the hash tree of the file, and returns what it has
// already, nil if that is all.
func (p *putting) create(ctx context.Context) (*segment.Set, error) {
	var tree bytes.Buffer
	e, err := merkle.NewEncoder(&tree, p.layout)
	for _, h := range p.hashes {
		if err == nil {
			err = e.WritePiece(h)
		}
	}
	if err == nil {
		err = e.Finish(p.root)
	}
	if err != nil {
		return nil, &Error{Kind: KindOther, Op: "write hash tree", Err: err}
	}
	var have *segment.Set
	err = p.retrying(ctx, "begin the upload", func(ctx context.Context, alive func()) error {
		body := &sentBody{r: bytes.NewReader(tree.Bytes()), left: int64(tree.Len()), alive: func(int) { alive() }}
		resp, err := p.client.do(ctx, http.MethodPost, p.client.url, body, http.Header{"Content-Type": {merkle.MediaType}})
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if isCompleted(resp.Header) {
			have = nil
			return nil
		}
		at, err := p.client.url.Parse(resp.Header.Get("Location"))
		if err != nil || resp.Header.Get("Location") == "" || !sameOrigin(at, p.client.url) {
			return statusError(resp, errors.New("the server does not say where to send the file")).
				withHint("it is none that takes files in parts; try: curl -T FILE URL")
		}
		if have, err = p.readState(resp); err == nil {
			p.upload = at
		}
		return err
	})
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.StatusCode == http.StatusConflict {
			same, serr := p.sameThere(ctx)
			if ctx.Err() != nil {
				return nil, serr
			}
			if same {
				p.res.Intact = p.sent.Load() == 0
				return nil, nil
			}
		}
		return nil, err
	}
	if have == nil {
		return nil, nil
	}
	upload := RedactURL(p.upload)
	if p.client.veil.Text(upload) != upload { // no record may keep what it repeats
		return have, nil
	}
	p.record = &putRecord{URL: RedactURL(p.o.URL), Upload: upload, Size: p.layout.Size, ModTime: p.src.info.ModTime(), Root: p.root.String(), root: p.root}
	if err := p.record.write(p.o.Record); err != nil {
		p.note("", "the upload is not remembered, so the file will be hashed again after an interruption: %v", err)
	}
	return have, nil
}

// state asks the server what it has.
func (p *putting) state(ctx context.Context) (have *segment.Set, complete bool, err error) {
	err = p.retrying(ctx, "ask for the state of the upload", func(ctx context.Context, _ func()) error {
		have, complete, err = p.stateOnce(ctx)
		return err
	})
	return have, complete, err
}

func (p *putting) stateOnce(ctx context.Context) (have *segment.Set, complete bool, err error) {
	resp, err := p.client.do(ctx, http.MethodGet, p.upload, nil, nil)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	if isCompleted(resp.Header) {
		return nil, true, nil
	}
	have, err = p.readState(resp)
	return have, false, err
}

// readState reads the state of an upload from an answer.
func (p *putting) readState(resp *http.Response) (*segment.Set, error) {
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t != uploadMediaType {
		return nil, statusError(resp, fmt.Errorf("the state of the upload has the type %q", t))
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxStateBytes+1))
	if err != nil {
		return nil, networkError("read the state of the upload", withCause(resp.Request.Context(), err))
	}
	have, err := parseUploadState(b, p.layout)
	if err != nil {
		return nil, statusError(resp, err)
	}
	return have, nil
}

// parseUploadState reads which whole pieces of a file with the layout l a server
// has.
func parseUploadState(b []byte, l merkle.Layout) (*segment.Set, error) {
	var s struct {
		Size      int64 `json:"size"`
		PieceSize int64 `json:"piece_size"`
		Received  []struct {
			First int64 `json:"first"`
			Last  int64 `json:"last"`
		} `json:"received"`
	}
	if len(b) > maxStateBytes {
		return nil, fmt.Errorf("the state of the upload has more than %d bytes", maxStateBytes)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("malformed state of the upload: %w", err)
	}
	if s.Size != l.Size || s.PieceSize != l.PieceSize {
		return nil, fmt.Errorf("the upload is of %d bytes in pieces of %d, not of %d in pieces of %d", s.Size, s.PieceSize, l.Size, l.PieceSize)
	}
	have := new(segment.Set)
	for _, r := range s.Received {
		if r.First < 0 || r.Last < r.First || r.Last >= l.Size || r.First%l.PieceSize != 0 || r.Last+1 != l.Size && (r.Last+1)%l.PieceSize != 0 {
			return nil, fmt.Errorf("malformed state of the upload: bytes %d-%d of %d", r.First, r.Last, l.Size)
		}
		have.Add(segment.Range{Start: r.First, End: r.Last + 1})
	}
	return have, nil
}

// sameThere reports whether the file that is at the URL is the one to be sent.
func (p *putting) sameThere(ctx context.Context) (same bool, err error) {
	u := *p.client.url
	if u.RawQuery != "" {
		return false, nil
	}
	u.RawQuery = "digest=tree" // as serve/doc.go has it
	err = p.retrying(ctx, "compare with the file that is there", func(ctx context.Context, alive func()) error {
		resp, err := p.client.do(ctx, http.MethodGet, &u, nil, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		dec, err := merkle.NewDecoder(resp.Body)
		if err != nil {
			return treeError(ctx, err)
		}
		if dec.Layout() != p.layout {
			return nil
		}
		for err == nil {
			alive()
			_, err = dec.Next()
		}
		if err != io.EOF {
			return treeError(ctx, err)
		}
		root, err := dec.Root()
		if err != nil {
			return treeError(ctx, err)
		}
		same = root == p.root
		return nil
	})
	return same, err
}
