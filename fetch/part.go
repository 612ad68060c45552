package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/chunkget/chunkget/segment"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// partCodings is what the answer for a part may be coded in.
	partCodings = "zstd, gzip;q=0.5, identity;q=0.1"

	// maxWindow is the most that a zstd frame may make us keep, in bytes
	// (RFC 9659, section 3).
	maxWindow = 8 << 20

	// wireSlack is how much longer than the part its coded form may be: headers,
	// trailers, and blocks that did not shrink.
	wireSlack = 64 << 10
)

// partError is an answer for a part that is not as it should be. The bytes are
// then fetched as a range, whose answer decides.
type partError struct{ err error }

func (e *partError) Error() string { return e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

func isPartError(err error) bool {
	_, ok := errors.AsType[*partError](err)
	return ok
}

func oddPart(format string, args ...any) error { return &partError{fmt.Errorf(format, args...)} }

// requestPart asks for the range of a as a part and returns the answer with a body
// that is decoded.
func (d *download) requestPart(ctx context.Context, a *attempt) (*response, error) {
	u := a.remote.part.url(a.asked)
	if u == nil {
		return nil, oddPart("the template of parts is malformed")
	}
	c := *a.src.client.forOffered(a.remote)
	c.accept = partCodings
	resp, err := c.get(ctx, u, segment.Range{}, "", func(c net.Conn) {
		d.call(func(now time.Time) {
			a.conn = c
			a.active.Store(now.UnixNano())
		})
	})
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.StatusCode != 0 {
			return nil, &partError{err}
		}
		return nil, err
	}
	if err := d.checkPartOf(a.remote, resp, a.asked); err != nil {
		resp.Body.Close()
		return nil, err
	}
	if resp.Body, err = a.decode(resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// checkPartOf fails unless the answer is the part asked of this version of the
// file.
func (d *download) checkPartOf(r *remote, resp *response, asked segment.Range) error {
	of, where := resp.Header.Values("Part-Of"), resp.Header.Values("Part-Range")
	if resp.StatusCode != http.StatusOK || len(of) != 1 || len(where) != 1 {
		return oddPart("an answer with status %d, %d Part-Of and %d Part-Range fields", resp.StatusCode, len(of), len(where))
	}
	if of[0] != r.etag {
		return oddPart("a part of the version %q, not %q", of[0], r.etag)
	}
	if cr, err := parseContentRange(where[0]); err != nil || cr.r != asked || cr.total != d.layout.Size {
		return oddPart("asked for the part %d-%d of %d bytes, got Part-Range %q", asked.Start, asked.End-1, d.layout.Size, where[0])
	}
	if !sameOrigin(resp.Request.URL, r.part.base) {
		return oddPart("it was redirected to another server")
	}
	return nil
}

// decode returns the body of resp without its coding. It takes over the body, and
// closes it if it fails.
func (a *attempt) decode(resp *response) (io.ReadCloser, error) {
	b := &partBody{body: resp.Body, attempt: a, limit: a.asked.Len() + a.asked.Len()/8 + wireSlack, left: a.asked.Len()}
	b.decoded = wireReader{b}
	var err error
	switch codings := resp.Header.Values("Content-Encoding"); strings.ToLower(strings.Join(codings, ",")) {
	case "", "identity":
		if n := resp.ContentLength; n >= 0 && n != b.left {
			err = oddPart("a part of %d bytes, not %d", n, b.left)
		}
	case "zstd":
		a.coded = true
		if a.slot.inflate == nil {
			// No concurrency, so there are no goroutines, and it need not be closed.
			a.slot.inflate, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		}
		if err == nil {
			err = a.slot.inflate.Reset(wireReader{b})
			b.decoded = a.slot.inflate
		}
	case "gzip":
		a.coded = true
		b.decoded, err = gzip.NewReader(wireReader{b})
	default:
		err = oddPart("a part in the codings %q", codings)
	}
	if err != nil {
		b.Close()
		return nil, b.classify(err)
	}
	return b, nil
}

// A partBody yields exactly the bytes of a part; more or less of them, or more
// bytes on the wire than their coding can need, are a partError. It belongs to the
// goroutine of the attempt.
type partBody struct {
	body    io.ReadCloser
	attempt *attempt
	decoded io.Reader
	limit   int64 // bytes that may still come over the wire
	left    int64 // bytes that have to be decoded
	wireErr error // of body, io.EOF excepted, or that the limit is reached
}

func (b *partBody) Read(p []byte) (int, error) {
	n, err := b.decoded.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, oddPart("the part is longer than was asked for")
	}
	switch {
	case err == io.EOF && b.left > 0:
		err = oddPart("the part is shorter than was asked for")
	case err != nil && err != io.EOF:
		err = b.classify(err)
	}
	return n, err
}

// classify tells what a connection does from what a server sends.
func (b *partBody) classify(err error) error {
	if b.wireErr != nil {
		return b.wireErr
	}
	if isPartError(err) {
		return err
	}
	return oddPart("decode part: %w", err)
}

func (b *partBody) Close() error { return b.body.Close() }

// wireReader reads what comes over the wire and counts it.
type wireReader struct{ b *partBody }

func (w wireReader) Read(p []byte) (int, error) {
	b := w.b
	if b.limit < 0 {
		// Kept, because a decoder may make another error of it.
		b.wireErr = oddPart("the coded part is longer than the part")
		return 0, b.wireErr
	}
	n, err := b.body.Read(p)
	b.limit -= int64(n)
	b.attempt.wire.Add(int64(n))
	if n > 0 {
		b.attempt.active.Store(time.Now().UnixNano())
	}
	if err != nil && err != io.EOF {
		b.wireErr = err
	}
	return n, err
}
