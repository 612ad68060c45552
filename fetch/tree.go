package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

// streamTree fetches the hash tree and hands each hash to the loop as it comes.
// The server may still be computing it. Because the tree was offered, a
// download without it fails: it does not fall back to unchecked data. Another
// source that offers one may take the place of one that fails.
func (d *download) streamTree() {
	defer d.post(func(time.Time) { d.treeBusy, d.treeStop = false, nil })
	most, failures := 0, 0
	tried := map[*source]bool{}
	src := d.nextTree(tried)
	for d.ctx.Err() == nil {
		n, err := d.treeOnce(src)
		if err == nil || d.ctx.Err() != nil {
			return
		}
		if n > most {
			most, failures = n, 0
		}
		failures++
		if isFinal(err) || failures >= d.retry.Tries {
			if other := d.nextTree(tried); other != nil {
				d.log.Debug("hash tree from another server", "url", other.url, "err", err)
				src, most, failures = other, 0, 0
				continue
			}
			d.post(func(time.Time) { d.stop(fmt.Errorf("fetch hash tree: %w", err)) })
			return
		}
		wait := d.retry.wait(failures, err)
		d.post(func(time.Time) {
			d.result.Retries++
			d.emit(Event{Kind: EventRetry, Try: failures, Delay: wait, Code: CodeOf(err), Reason: "hash tree: " + err.Error(), Err: err, Mirror: d.mirror(src)})
		})
		if !sleep(d.ctx, wait) {
			return
		}
	}
}

// nextTree returns a source that offers a tree and has not been tried, the lead
// first; nil if there is none.
func (d *download) nextTree(tried map[*source]bool) (next *source) {
	d.call(func(time.Time) {
		for _, s := range d.sources {
			if (s.gone == nil && d.opts.mayLead(s, d.layout.Size) || s.remote == d.remote) && s.remote != nil && s.remote.tree != nil && !tried[s] && (next == nil || s.remote == d.remote) {
				next = s
			}
		}
	})
	tried[next] = true
	return next
}

// treeOnce makes one request to src for the tree and returns the number of hashes it
// brought.
func (d *download) treeOnce(src *source) (n int, err error) {
	ctx, cancel := context.WithCancelCause(d.ctx)
	defer cancel(nil)
	alive := func(f func()) {
		d.call(func(now time.Time) {
			d.treeSeen = now
			f()
		})
	}
	var r *remote
	alive(func() { d.treeStop, r = cancel, src.remote })
	defer d.call(func(time.Time) { d.treeFlows = false })
	resp, err := src.client.forOffered(r).get(ctx, r.tree, segment.Range{}, "", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := r.checkDigestAnswer(resp, r.tree, merkle.MediaType); err != nil {
		return 0, err
	}
	dec, err := merkle.NewDecoder(&countedReader{resp.Body, &d.treeRead})
	if err != nil {
		return 0, treeError(ctx, err)
	}
	if l := dec.Layout(); l != d.layout {
		return 0, errorf(KindIntegrity, "check", "it is of %d bytes in pieces of %d, wanted %d in pieces of %d",
			l.Size, l.PieceSize, d.layout.Size, d.layout.PieceSize).withCode(CodeTreeInvalid)
	}
	for ; ; n++ {
		h, err := dec.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return n, treeError(ctx, err)
		}
		alive(func() {
			d.treeFlows = true
			d.setHash(n, h)
		})
	}
	root, err := dec.Root()
	if err != nil {
		return n, treeError(ctx, err)
	}
	alive(func() { d.setRoot(root) })
	return n, nil
}

// setRoot takes the root after all hashes, which the decoder has found to lead
// to it.
func (d *download) setRoot(root merkle.Hash) {
	r := journal.Digest(root)
	if d.oldRoot != nil && *d.oldRoot != r {
		d.forgetRoot = true
		d.note(CodeTreeChanged, "the hash tree is another than in the earlier run; what is on disk is checked again")
		for i := range d.pieces {
			if p := &d.pieces[i]; p.resumed && p.state == pieceVerified {
				d.unverify(i)
			}
		}
	}
	d.root, d.rootDone = root, true
	for i := range d.pieces {
		if d.pieces[i].state == pieceOnFile {
			d.queue(i)
		}
	}
	d.oldRoot = nil
	if d.pipe == nil && d.remote.ranges {
		d.batch.Root = &r
	}
}

// treeError classifies why a tree could not be read to its end.
func treeError(ctx context.Context, err error) error {
	if errors.Is(err, merkle.ErrFormat) || errors.Is(err, merkle.ErrRoot) {
		// Another try may bring it undamaged.
		return &Error{Kind: KindOther, Op: "read", Err: err, Code: CodeTreeInvalid}
	}
	return networkError("read", withCause(ctx, err))
}

// sleep waits and reports whether the context is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
