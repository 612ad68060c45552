package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/chunkget/chunkget/segment"
)

// streamUnknown fetches a file whose size the server does not tell, in one
// stream. Its end is the end of the body; a failure begins at the first byte
// again. Nothing of it can be resumed, and only hashes of the user's can check it piece
// by piece: no tree is of a file without a size.
func streamUnknown(ctx context.Context, o *Options, c *client, t *target, p *probed, res *Result) error {
	if err := t.journal.Clear(); err != nil { // whose pieces are written over
		p.close()
		return diskError("write journal", err)
	}
	s := streamTo(o, t, res)
	why := "the server does not tell the size of the file; fetching it in one stream, which cannot be resumed"
	if !o.hasPieces() {
		why += ", nor checked piece by piece"
	}
	s.emit(Event{Kind: EventNote, Code: CodeNoSize, Reason: why})
	if t.hadPart {
		s.emit(Event{Kind: EventNote, Code: CodeStartOver, Reason: onlyWhole})
	}
	s.emit(Event{Kind: EventStart, URL: RedactURL(o.URL), Path: t.path, Active: 1})
	res.Connections = 1
	most, failures := int64(0), 0
	for {
		err := s.receive(ctx, p)
		p.close()
		if err == nil {
			res.Bytes, res.ByPieces = s.done, o.hasPieces()
			return nil
		}
		if ctx.Err() != nil {
			return &Error{Kind: KindInterrupted, Op: "download", Err: context.Cause(ctx)}
		}
		// Getting further than ever is the only progress that a stream which
		// begins anew each time can make.
		failures++
		if s.done > most {
			most, failures = s.done, 1
		}
		if isFinal(err) || failures >= s.policy.Tries {
			return err
		}
		wait := s.policy.wait(failures, err)
		res.Retries++
		s.emit(Event{Kind: EventRetry, Try: failures, Delay: wait, Code: CodeOf(err), Reason: err.Error(), Err: err})
		if !sleep(ctx, wait) {
			return &Error{Kind: KindInterrupted, Op: "download", Err: context.Cause(ctx)}
		}
		first := p.remote
		if p, err = probe(ctx, o, c, segment.Range{Start: 0, End: openEnd}, res); err != nil {
			return err
		}
		if err := first.checkSame(p.resp.Response); err != nil {
			p.close()
			return err
		}
		if p.resp.StatusCode != http.StatusOK {
			p.close()
			return statusError(p.resp.Response, errors.New("the server sends parts of the file only sometimes")).withCode(CodeRangeUnasked)
		}
	}
}

// stream is the state of streamUnknown, owned by its goroutine.
type stream struct {
	opts   *Options
	policy RetryPolicy
	target *target
	result *Result
	done   int64 // bytes received; of hashed pieces the last one may not be on file
	speed  rate
	least  leastRate // over all tries
}

func streamTo(o *Options, t *target, res *Result) *stream {
	p := o.Retry.resolved()
	return &stream{opts: o, policy: p, target: t, result: res, least: newLeastRate(p, time.Time{})}
}

// receive writes the body of p to the partial file, from its beginning.
func (s *stream) receive(ctx context.Context, p *probed) error {
	if err := s.target.part.Truncate(0); err != nil {
		return diskError("empty partial file", err)
	}
	var off int64
	write, end := s.opts.gate(func(b []byte) error {
		if _, err := s.target.part.WriteAt(b, off); err != nil {
			return diskError("write partial file", err)
		}
		off += int64(len(b))
		return nil
	})
	if err := s.copy(ctx, p, write); err != nil {
		return err
	}
	return end(s.done)
}

// copy hands the body of p to write, in order. The time that write takes counts
// neither as a stall nor for the least rate.
func (s *stream) copy(ctx context.Context, p *probed, write func([]byte) error) error {
	unlink := context.AfterFunc(ctx, func() { p.cancel(context.Cause(ctx)) })
	defer unlink()
	watch := time.AfterFunc(s.policy.Stall, func() { p.cancel(errStalled) })
	defer watch.Stop()
	s.done = 0
	last := time.Now()
	s.speed.start(last)
	var sampled int64
	buf := make([]byte, readBuffer)
	for {
		began := time.Now()
		n, err := p.resp.Body.Read(buf)
		if slow := s.least.add(time.Since(began), int64(n)); slow != nil && err == nil {
			return slow
		}
		if n > 0 {
			watch.Stop()
			if err := write(buf[:n]); err != nil {
				return err
			}
			watch.Reset(s.policy.Stall)
			s.done += int64(n)
			s.result.BytesFetched += int64(n)
			s.result.BytesWire += int64(n)
			if now := time.Now(); now.Sub(last) >= tick {
				s.speed.add(now, s.done-sampled)
				last, sampled = now, s.done
				s.emit(Event{Kind: EventProgress, Active: 1})
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return networkError(fmt.Sprintf("receive at %d", s.done), withCause(p.resp.Request.Context(), err))
		}
	}
}

func (s *stream) emit(e Event) {
	if s.opts.Observe == nil {
		return
	}
	e.Total, e.ETA, e.Done, e.Rate = -1, -1, s.done, s.speed.value()
	s.opts.Observe(e)
}
