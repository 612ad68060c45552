package fetch

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"time"

	"github.com/chunkget/chunkget/segment"
)

// pipeMemory bounds what a download to a writer holds of the file, in bytes: what
// is being fetched, being checked, or waits for what comes before it. With pieces
// so large, or connections so many, that not even one piece for each has room, it
// is one piece for each.
const pipeMemory = 64 << 20

// pipe is the way of a file to Options.Writer: pieces leave in order, each after
// its check, and what is handed out to fetch keeps within a window that moves on
// as they leave. A reader who takes nothing therefore stops the download, and
// costs no more than the window.
//
// The fields belong to the loop, except that while busy is true the goroutine of
// deliver uses the writer, the digest and the piece that it was given.
type pipe struct {
	w      io.Writer
	digest hash.Hash // of what has left, nil when nobody asked for it
	window *window
	out    chan []byte // the next piece

	next   int  // piece that leaves next
	busy   bool // it is being written
	bytes  int64
	stripe int64 // the window moves by this, and no request is longer
}

func newPipe(w io.Writer, digest hash.Hash, win *window, connections int) *pipe {
	p := &pipe{w: w, digest: digest, window: win, out: make(chan []byte, 1)}
	size := win.layout.PieceSize
	pieces := max(pipeMemory/size, int64(connections))
	p.bytes = pieces * size
	// Half of the window is in flight, so that the other half can be written.
	p.stripe = max(pieces/int64(2*connections), 1) * size
	return p
}

// limit is the end of what may be handed out.
func (p *pipe) limit() int64 {
	off := int64(p.next) * p.window.layout.PieceSize
	return min(off-off%p.stripe+p.bytes, p.window.layout.Size)
}

// gone reports whether piece i can no longer be taken back.
func (p *pipe) gone(i int) bool { return p != nil && (i < p.next || i == p.next && p.busy) }

// deliver writes pieces until there are no more. It is a goroutine of the loop.
func (d *download) deliver() {
	p := d.pipe
	for piece := range p.out {
		_, err := p.w.Write(piece)
		if err == nil && p.digest != nil {
			p.digest.Write(piece)
		}
		d.post(func(time.Time) {
			p.busy = false
			if err != nil {
				d.stop(diskError("write output", err))
				return
			}
			p.window.release(p.next)
			p.next++
			d.plan.Bound(p.limit(), p.stripe)
		})
	}
}

// startWrite hands the next piece to deliver when it is good.
func (d *download) startWrite() {
	p := d.pipe
	if p == nil || p.busy || d.stopping || p.next == len(d.pieces) || d.pieces[p.next].state != pieceVerified {
		return
	}
	p.busy = true
	p.out <- p.window.piece(p.next)
}

// getTo downloads a file to Options.Writer.
func getTo(ctx context.Context, o *Options, res *Result, begun time.Time) error {
	res.Path = "-"
	p, err := findLead(ctx, o, newSources(o), segment.Range{Start: 0, End: firstBytes}, res)
	if err == nil {
		err = pipeAll(ctx, o, p, res, begun)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		e.Resumable = false
		if e.Kind == KindInterrupted {
			e.Hint = ""
		}
	}
	return err
}

func pipeAll(ctx context.Context, o *Options, p *probed, res *Result, begun time.Time) error {
	r := p.remote
	if err := o.checkSize(r.size); err != nil {
		p.close()
		return err
	}
	err := r.seekDigest(ctx, o, p.from.client)
	if err == nil {
		err = p.describe(ctx, o, nil)
	}
	if err != nil {
		p.close()
		return err
	}
	if r.size < 0 || r.size > 0 && !(r.ranges && (r.combinable() || o.Pieces.usable(r.size))) {
		p.keepOnly(p.from)
		return pipeStream(ctx, o, p.src.client, p, res)
	}
	why := p.combine(o, o.known(r))
	l, err := o.layoutOf(r.size)
	if err != nil {
		p.close()
		return &Error{Kind: KindOther, Op: "plan", Err: err}
	}
	win := newWindow(l)
	d := newDownload(o, p.sources, r, l, &target{part: win, path: "-", name: "-"}, new(kept), res, begun)
	d.pipe = newPipe(o.Writer, newDigest(o.pipedDigest(r)), win, len(d.slots))
	if d.mode == checkDigest {
		d.mode = checkNone // there is nothing that a later run could use
	}
	d.plan.Bound(d.pipe.limit(), d.pipe.stripe)
	first := d.firstAttempt(p)
	if first == nil {
		p.close()
	}
	if why != "" {
		d.note(CodeMirrorsUnused, why)
	}
	d.emit(Event{Kind: EventStart, URL: RedactURL(o.URL), Path: "-"})
	res.Bytes = r.size
	err = d.loop(ctx, first)
	res.Mirrors = d.mirrorResults()
	if err != nil {
		return err
	}
	res.ByPieces = d.mode == checkPieces
	if res.Verified = d.mode == checkTree; res.Verified {
		res.Root = d.root
	}
	if err := r.awaitDigest(ctx, o, p.from.client); err != nil {
		return err
	}
	return checkPiped(o.pipedDigest(r), res, d.pipe.digest)
}

// pipedDigest returns what the whole file is held against: what the user gave, or
// what the server did, of whatever size and beside a tree, too, since all of it passes
// in order. Of one that is announced at the end the algorithm is asked for.
func (o *Options) pipedDigest(r *remote) Digest {
	switch {
	case !o.Digest.IsZero():
		return o.Digest
	case o.ServerDigest && r.digest.IsZero():
		return Digest{Algorithm: digestAlgorithms[0].name}
	}
	return r.digest
}

// newDigest returns the hash that computes a digest like d, nil for none.
func newDigest(d Digest) hash.Hash {
	if d.IsZero() {
		return nil
	}
	return d.newHash()
}

// checkPiped compares the digest of all that was written, if there is one.
func checkPiped(want Digest, res *Result, h hash.Hash) error {
	if h == nil {
		return nil
	}
	res.Digest = Digest{want.Algorithm, h.Sum(nil)}
	if !res.Digest.Equal(want) {
		return errorf(KindIntegrity, "check digest", "it is %v, not %v", res.Digest, want).
			withCode(CodeDigestMismatch).withHint("what was written is not to be used")
	}
	return nil
}

// pipeStream copies a file that comes in one answer. Nothing that has left can be
// taken back, so a failure is final.
func pipeStream(ctx context.Context, o *Options, c *client, p *probed, res *Result) error {
	r := p.remote
	code, why := CodeNoRanges, "the server does not send parts of the file"
	switch {
	case r.size < 0:
		code, why = CodeNoSize, "the server does not tell the size of the file"
	case r.ranges:
		code, why = CodeNoValidator, "the server sends nothing that would tell parts of two versions of the file apart"
	}
	s := streamTo(o, nil, res)
	how := "; writing it as it comes, unchecked until its end"
	if o.hasPieces() {
		how = "; writing it in one stream"
	}
	s.emit(Event{Kind: EventNote, Code: code, Reason: why + how})
	if p.resp == nil || p.resp.StatusCode == http.StatusPartialContent {
		p.close()
		var err error
		if p, err = probe(ctx, o, c, segment.Range{}, res); err != nil {
			return err
		}
		if err := r.checkSame(p.resp.Response); err != nil {
			p.close()
			return err
		}
	}
	defer p.close()
	s.emit(Event{Kind: EventStart, URL: RedactURL(o.URL), Path: "-", Active: 1})
	res.Connections = 1
	want := o.pipedDigest(r)
	digest := newDigest(want)
	write, end := o.gate(func(b []byte) error {
		if digest != nil {
			digest.Write(b)
		}
		if _, err := o.Writer.Write(b); err != nil {
			return diskError("write output", err)
		}
		return nil
	})
	err := s.copy(ctx, p, write)
	if err != nil {
		if ctx.Err() != nil {
			return &Error{Kind: KindInterrupted, Op: "download", Err: context.Cause(ctx)}
		}
		return err
	}
	res.Bytes = s.done
	if r.size >= 0 && s.done != r.size {
		return networkError("receive", fmt.Errorf("%d bytes of %d: %w", s.done, r.size, io.ErrUnexpectedEOF))
	}
	if err := end(s.done); err != nil {
		return err
	}
	res.ByPieces = o.hasPieces()
	if err := r.awaitDigest(ctx, o, c); err != nil {
		return err
	}
	return checkPiped(o.pipedDigest(r), res, digest)
}
