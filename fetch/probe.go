package fetch

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/chunkget/chunkget/segment"
)

// firstBytes is how much the first request asks for when others will follow:
// enough to be busy while they are set up.
const firstBytes = 4 << 20

// probed is the first answer, whose body is still to be read.
type probed struct {
	resp   *response // nil for an empty file that was answered with 416
	remote *remote
	asked  segment.Range
	cancel context.CancelCauseFunc // of the request

	src     *source   // whose answer it is
	from    *source   // whose remote it is
	sources []*source // all there are
}

// close abandons the answer.
func (p *probed) close() {
	if p.resp != nil {
		p.resp.Body.Close()
	}
	p.cancel(nil)
}

// probe makes the first request, as often as the policy allows. That not even
// a first connection can be made is final: more likely the address is wrong
// than the network disturbed, and whoever has mistyped it should not have to
// wait.
func probe(ctx context.Context, o *Options, c *client, asked segment.Range, res *Result) (*probed, error) {
	policy := o.Retry.resolved()
	for try := 1; ; try++ {
		p, err := probeOnce(ctx, c, asked, policy.Stall)
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, &Error{Kind: KindInterrupted, Op: "first request", Err: context.Cause(ctx)}
		}
		if isFinal(err) || neverConnected(err) || try >= policy.Tries {
			return nil, err
		}
		wait := policy.wait(try, err)
		res.Retries++
		if o.Observe != nil {
			o.Observe(Event{Kind: EventRetry, Total: -1, ETA: -1, Try: try, Delay: wait, Code: CodeOf(err), Reason: err.Error(), Err: err})
		}
		if !sleep(ctx, wait) {
			return nil, &Error{Kind: KindInterrupted, Op: "first request", Err: context.Cause(ctx)}
		}
	}
}

// probeOnce makes the first request. It has no If-Range: the answer must tell
// a file that has changed from a server without ranges.
func probeOnce(ctx context.Context, c *client, asked segment.Range, stall time.Duration) (*probed, error) {
	// The answer outlives this call and ends with the loop, not with ctx.
	rctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	watch := time.AfterFunc(max(stall, defaultStall), func() { cancel(errStalled) })
	resp, err := c.get(rctx, c.url, asked, "", func(net.Conn) { watch.Reset(stall) })
	unlink()
	watch.Stop()
	p := &probed{resp: resp, asked: asked, cancel: cancel}
	if e, ok := errors.AsType[*unsatisfiedError](err); ok && e.size == 0 && asked.Start == 0 {
		// An empty file has no byte to send; the tag is not told with it.
		p.remote = &remote{others: http.Header{}, ranges: true}
		return p, nil
	}
	if err != nil {
		p.close()
		return nil, err
	}
	if p.remote, err = newRemote(resp.Response, asked); err != nil {
		p.close()
		return nil, err
	}
	p.remote.name = c.veil.Text(p.remote.name)
	p.remote.secretTag = c.veil.Text(p.remote.etag) != p.remote.etag
	return p, nil
}
