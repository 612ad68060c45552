package fetch

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/chunkget/chunkget/segment"
)

const (
	// leadAlone is how long the first source is asked alone. If it has not answered
	// then, or has failed, or offers no hashes, the others are asked as well.
	leadAlone = time.Second

	// leadGrace is how long after a good answer others are waited for that may
	// offer a hash tree.
	leadGrace = time.Second
)

// findLead makes the first requests to several sources: to the first for data, to
// the others for one byte. The first in order that offers a hash tree tells what the
// file is, or the first that answers if the pieces are known or nobody has a tree.
// The others are held against it, those that have not answered yet later.
//
// What was received from the first source is used even if another one leads.
func findLead(ctx context.Context, o *Options, sources []*source, asked segment.Range, res *Result) (*probed, error) {
	if len(sources) == 1 {
		p, err := probe(ctx, o, sources[0].client, asked, res)
		if err != nil {
			return nil, err
		}
		p.src, p.from, p.sources = sources[0], sources[0], sources
		sources[0].remote = p.remote
		return p, nil
	}
	policy := o.Retry.resolved()
	for try := 1; ; try++ {
		r := &leadRace{opts: o, sources: live(sources), asked: asked, stall: policy.Stall}
		p := r.run(ctx)
		for _, s := range r.sources {
			if err := r.failed[s]; err != nil && (isFinal(err) || neverConnected(err)) && ctx.Err() == nil {
				o.observe(s.drop(err))
			}
		}
		if p != nil {
			p.sources = sources
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, &Error{Kind: KindInterrupted, Op: "first request", Err: context.Cause(ctx)}
		}
		left := live(sources)
		first := r.sources[0]
		if len(left) > 0 {
			first = left[0] // how long to wait is not for those that are dropped to say
		}
		err := r.failed[first]
		if len(left) == 0 || try >= policy.Tries {
			for _, s := range left {
				if s.gone = r.failed[s]; s.gone == nil {
					s.gone = err
				}
			}
			return nil, noneLeft(sources, err)
		}
		wait := policy.wait(try, err)
		res.Retries++
		o.observe(Event{Kind: EventRetry, Total: -1, ETA: -1, Try: try, Delay: wait, Code: CodeOf(err), Reason: err.Error(), Err: err, Mirror: first.url})
		if !sleep(ctx, wait) {
			return nil, &Error{Kind: KindInterrupted, Op: "first request", Err: context.Cause(ctx)}
		}
	}
}

// observe tells of an event before there is a loop.
func (o *Options) observe(e Event) {
	if o.Observe != nil {
		o.Observe(e)
	}
}

// leadRace is one round of first requests. Its goroutine owns it; each request is
// a goroutine that hands back what came of it.
type leadRace struct {
	opts    *Options
	sources []*source
	asked   segment.Range // of the first source
	stall   time.Duration

	failed   map[*source]error
	answered map[*source]*probed
}

type firstAnswer struct {
	src *source
	p   *probed
	err error
}

// run returns the answer to go on with. If there is none, every source has failed,
// or ctx is done.
func (r *leadRace) run(ctx context.Context) *probed {
	r.failed, r.answered = map[*source]error{}, map[*source]*probed{}
	asking, cancel := context.WithCancel(ctx)
	answers := make(chan firstAnswer)
	asked, pending := 0, 0
	ask := func(n int) {
		for ; asked < min(n, len(r.sources)); asked++ {
			src, data := r.sources[asked], asked == 0
			pending++
			go func() {
				p, err := r.ask(asking, src, data)
				answers <- firstAnswer{src, p, err}
			}()
		}
	}
	ask(1)
	alone := time.NewTimer(leadAlone)
	defer alone.Stop()
	var grace <-chan time.Time
	for over := false; pending > 0 && !over; {
		select {
		case a := <-answers:
			pending--
			over = r.take(a)
			if !over {
				ask(len(r.sources))
			}
			if a.err == nil && grace == nil && r.opts.leadError(a.src, a.p.remote) == nil {
				grace = time.After(leadGrace)
			}
		case <-alone.C:
			ask(len(r.sources))
		case <-grace:
			over = true
		case <-ctx.Done():
			over = true
		}
	}
	cancel()
	for ; pending > 0; pending-- {
		if a := <-answers; a.err == nil {
			r.take(a)
		}
	}
	return r.conclude()
}

// ask makes the first request to one source: for data, which is then still to be
// read, or for one byte.
func (r *leadRace) ask(ctx context.Context, src *source, data bool) (*probed, error) {
	if data {
		return probeOnce(ctx, src.client, r.asked, r.stall)
	}
	p, err := probeOnce(ctx, src.client, segment.Range{Start: 0, End: 1}, r.stall)
	if err != nil {
		return nil, err
	}
	if p.resp != nil && p.remote.ranges {
		// Read to its end, the connection can be used again.
		unlink := context.AfterFunc(ctx, func() { p.cancel(context.Cause(ctx)) })
		watch := time.AfterFunc(r.stall, func() { p.cancel(errStalled) })
		_, _ = io.Copy(io.Discard, io.LimitReader(p.resp.Body, 2)) // what it says is in the header
		watch.Stop()
		unlink()
	}
	return p, nil
}

// take takes note of an answer, and reports whether no other one can be better.
func (r *leadRace) take(a firstAnswer) bool {
	if a.err != nil {
		r.failed[a.src] = a.err
		return false
	}
	r.answered[a.src], a.src.remote = a.p, a.p.remote
	return r.leads(a.src, a.p.remote) && (a.p.remote.tree != nil || r.opts.Pieces.usable(a.p.remote.size))
}

// leads reports whether what an answer of s tells is enough for others to be held
// against it.
func (r *leadRace) leads(s *source, m *remote) bool {
	return m.ranges && m.size >= 0 && r.opts.checkSize(m.size) == nil && r.opts.mayLead(s, m.size)
}

// mayLead reports whether s may say what a file of size bytes is. Where the first
// address is encrypted, one that is not may do so only if the user's hashes have the
// last word.
func (o *Options) mayLead(s *source, size int64) bool {
	return !s.named && (!secure(o.URL.Scheme) || secure(s.client.url.Scheme) || !o.Digest.IsZero() || o.Pieces.usable(size))
}

// leadError returns why s cannot lead, once its answer has told m.
func (o *Options) leadError(s *source, m *remote) error {
	if err := o.checkSize(m.size); err != nil {
		return err
	}
	if !o.mayLead(s, m.size) {
		return errorf(KindIntegrity, "check answer", "it is not encrypted, and no server that is tells what the file is").withCode(CodeUnencrypted)
	}
	return nil
}

// conclude chooses the lead, and closes all answers but the one that is used.
func (r *leadRace) conclude() *probed {
	var lead *source
	for _, s := range r.sources {
		if p := r.answered[s]; p != nil && r.leads(s, p.remote) && (lead == nil || lead.remote.tree == nil && p.remote.tree != nil && !r.opts.Pieces.usable(p.remote.size)) {
			lead = s
		}
	}
	if lead == nil {
		return r.alone()
	}
	first := r.sources[0]
	out := &probed{remote: lead.remote, src: lead, from: lead, asked: segment.Range{Start: 0, End: 1}, cancel: func(error) {}}
	for _, s := range r.sources {
		p := r.answered[s]
		if p == nil {
			continue
		}
		err := p.remote.differs(lead.remote.size, true)
		if err != nil {
			r.opts.observe(s.drop(err))
		}
		if s == first && err == nil {
			out.resp, out.src, out.asked, out.cancel = p.resp, s, p.asked, p.cancel
		} else {
			p.close()
		}
	}
	return out
}

// alone goes on with the first answer, none of which allows for others beside it.
func (r *leadRace) alone() *probed {
	var out *probed
	for _, s := range r.sources {
		p := r.answered[s]
		switch {
		case p == nil:
		case out == nil && r.opts.leadError(s, p.remote) == nil:
			out = p
			out.src, out.from = s, s
		default:
			p.close()
			err := r.opts.leadError(s, p.remote)
			if err == nil {
				err = errorf(KindRangeUnsupported, "check answer", "the server does not send parts of the file").withCode(CodeNoRanges)
			}
			r.failed[s] = err
		}
	}
	return out
}

// combine decides whose bytes may become one file, once it is known what it is
// checked against: with one source, or nothing to check with, only those of one.
// Of checked, the addresses that the lead names are used as well. It returns why
// sources that the user has given are not used, or "".
func (p *probed) combine(o *Options, checked bool) (why string) {
	if !p.remote.ranges || !checked {
		if len(live(p.sources)) > 1 {
			why = "nothing tells whether all addresses have the same file (no hash tree, no digest); fetching from " + p.from.url + " only"
			if checked {
				why = "the server does not send parts of the file; fetching from " + p.from.url + " only"
			}
		}
		p.keepOnly(p.from)
		return why
	}
	for _, s := range live(p.sources) {
		if s.remote == nil || s == p.from {
			continue
		}
		if err := s.remote.differs(p.remote.size, p.remote.tree != nil || o.Pieces.usable(p.remote.size)); err != nil {
			o.observe(s.drop(err))
			if s == p.src {
				p.unread()
			}
		}
	}
	if o.GivenOnly {
		return ""
	}
	for _, u := range p.remote.duplicates {
		named := newSource(o, u, nil)
		named.named = true
		if !slices.ContainsFunc(p.sources, func(s *source) bool { return s.client.url.String() == named.client.url.String() }) {
			p.sources = append(slices.Clip(p.sources), named)
		}
	}
	return ""
}

// keepOnly makes s the only source.
func (p *probed) keepOnly(s *source) {
	if p.src != s {
		p.unread()
	}
	p.sources = []*source{s}
}

// unread gives up the answer that is open, but not what it has told.
func (p *probed) unread() {
	p.close()
	p.resp, p.src, p.cancel = nil, p.from, func(error) {}
}

// known reports whether anything tells if bytes of two servers are of one file:
// for each piece, or for the file as a whole.
func (o *Options) known(r *remote) bool {
	if r.tree != nil || o.Pieces.usable(r.size) {
		return true
	}
	return o.Writer == nil && (!o.Digest.IsZero() || !r.digest.IsZero())
}

// localError reports whether err would be the same with any server.
func localError(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Kind == KindDisk || e.Kind == KindUsage || e.Kind == KindInterrupted)
}
