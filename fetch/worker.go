package fetch

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/chunkget/chunkget/segment"
)

// readBuffer is the size of the one buffer that each slot has, in bytes: a piece of most
// files. Where they are there already they are written at once, since connections take
// turns to write, and each turn has its price.
const readBuffer = 1 << 20

// transfer makes the request of a and writes what comes, one claim at a time:
// within a claim it needs no permission and nobody can steal the bytes. It
// returns nil when its segment is done.
func (d *download) transfer(ctx context.Context, a *attempt) error {
	resp := a.resp
	if resp == nil {
		var err error
		if a.part {
			resp, err = d.requestPart(ctx, a)
		} else {
			resp, err = d.request(ctx, a)
		}
		if err != nil {
			return err
		}
	}
	defer resp.Body.Close()
	for {
		claim, ok := d.claim(a)
		if !ok {
			break
		}
		if err := d.receive(ctx, a, resp.Body, claim); err == errStale {
			break
		} else if err != nil {
			return err
		}
	}
	if a.off < a.asked.End {
		// The rest was stolen or is better asked for anew, or the loop is stopping.
		// Closing the body drops the connection; reading on would cost more than a new
		// one.
		return nil
	}
	// Reading the end lets the connection be used again, and finds a body that
	// is too long where no Content-Length limits it.
	switch n, err := io.ReadFull(resp.Body, a.slot.buf[:1]); {
	case isPartError(err):
		return err // also of a checksum of the coding
	case n > 0:
		return statusError(resp.Response, errors.New("the server sends more than was asked for")).withCode(CodeBodyLong)
	case err != io.EOF:
		d.log.Debug("after the last byte", "err", err)
	}
	return nil
}

// errStale is not an error of an answer: its rest is better asked for anew.
var errStale = errors.New("the transport has a better way")

// isStale reports whether the transport says so of a body, see Options.Transport.
func isStale(body io.Reader) bool {
	b, ok := body.(interface{ Stale() bool })
	return ok && b.Stale()
}

// request asks for the range of a and checks that the answer is that range of the
// same file.
func (d *download) request(ctx context.Context, a *attempt) (*response, error) {
	asked := a.asked
	want, ifRange := asked, ""
	switch {
	case !d.remote.ranges:
		want = segment.Range{}
	case a.remote != nil:
		ifRange = a.remote.ifRange
	}
	c := a.src.client
	resp, err := c.get(ctx, c.url, want, ifRange, func(c net.Conn) {
		// At once, because the connection may be closed for another's bad piece
		// before there is an answer.
		d.call(func(now time.Time) {
			a.conn = c
			a.active.Store(now.UnixNano())
		})
	})
	if e, ok := errors.AsType[*unsatisfiedError](err); ok && e.size != d.layout.Size {
		return nil, errorf(KindRemoteChanged, "check answer", "the remote file has changed: its size was %d and is %d", d.layout.Size, e.size).withCode(CodeSizeChanged)
	}
	if err != nil {
		return nil, err
	}
	if err := d.checkAnswer(a, resp, asked); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// checkAnswer fails unless the answer is the part that was asked for, of the same
// file. Nothing of a body is read before.
func (d *download) checkAnswer(a *attempt, resp *response, asked segment.Range) error {
	if a.remote == nil {
		if err := d.meet(a, resp, asked); err != nil {
			return err
		}
	}
	if err := a.remote.checkSame(resp.Response); err != nil {
		return err
	}
	if err := checkCoding(resp.Response); err != nil {
		return err
	}
	if resp.StatusCode != d.expectedStatus() {
		if d.remote.ranges {
			return statusError(resp.Response, errors.New("the server ignored the range that was asked for")).withCode(CodeRangeIgnored)
		}
		return statusError(resp.Response, errors.New("the server sent a part that was not asked for")).withCode(CodeRangeUnasked)
	}
	if !d.remote.ranges {
		if resp.ContentLength >= 0 && resp.ContentLength != d.layout.Size {
			return errorf(KindRemoteChanged, "check answer", "the remote file has changed: its size was %d and is %d", d.layout.Size, resp.ContentLength).withCode(CodeSizeChanged)
		}
		return nil
	}
	cr, err := checkPart(resp.Response, asked)
	if err != nil {
		return err
	}
	if cr.total != d.layout.Size {
		// The tag is the same, so the answer contradicts itself; another try
		// will show whether that stays so.
		return statusError(resp.Response, errors.New("the server tells another size of the same file: "+resp.Header.Get("Content-Range"))).withCode(CodeTotalDiffers)
	}
	return nil
}

// claim reports what is on file and asks for the next stretch.
func (d *download) claim(a *attempt) (r segment.Range, ok bool) {
	d.call(func(now time.Time) {
		d.advance(now, a, a.off)
		if !d.stopping && !a.yield && d.mayClaim(a) {
			r, ok = d.plan.Claim(a.seg)
		}
	})
	return r, ok
}

// receive writes the bytes of r from body to the partial file. errStale is no failure.
func (d *download) receive(ctx context.Context, a *attempt, body io.Reader, r segment.Range) error {
	for a.off < r.End {
		n, err := body.Read(a.slot.buf[:min(readBuffer, r.End-a.off)])
		if n > 0 {
			a.writing.Store(true)
			err := d.target.writeAt(a.slot.buf[:n], a.off)
			a.writing.Store(false)
			if err != nil {
				return diskError("write partial file", err)
			}
			a.off += int64(n)
			a.written.Add(int64(n))
			a.active.Store(time.Now().UnixNano())
		}
		if a.off == r.End {
			break
		}
		if err == nil && d.remote.ranges && a.asked.End-a.off >= minYield && isStale(body) {
			return errStale
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err == io.ErrUnexpectedEOF {
			return errorf(KindNetwork, "receive "+r.String(), "the body ended at byte %d: %w", a.off, withCause(ctx, err)).withCode(CodeBodyShort)
		}
		if err != nil {
			if isPartError(err) {
				return err
			}
			return networkError("receive "+r.String(), withCause(ctx, err))
		}
	}
	return nil
}

// advance records, on the loop, that a has written up to off.
func (d *download) advance(now time.Time, a *attempt, off int64) {
	n := off - a.recorded
	if n == 0 {
		return
	}
	i := int(a.recorded / d.layout.PieceSize)
	d.plan.Advance(a.seg, n)
	a.recorded = off
	d.result.BytesFetched += n
	a.src.bytes += n
	d.lastBytes, a.src.lastBytes = now, now
	a.slot.failures = 0
	d.addOrigin(i, a)
	if d.plan.Has(d.pieceRange(i)) {
		d.onFile(i)
	}
}
