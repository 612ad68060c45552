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
// download without it fails: it does not fall back to unchecked data.
func (d *download) streamTree() {
	defer d.post(func(time.Time) { d.treeBusy, d.treeStop = false, nil })
	most, failures := 0, 0
	for d.ctx.Err() == nil {
		n, err := d.treeOnce()
		if err == nil || d.ctx.Err() != nil {
			return
		}
		if n > most {
			most, failures = n, 0
		}
		failures++
		if isFinal(err) || failures >= d.retry.Tries {
			d.post(func(time.Time) { d.stop(fmt.Errorf("fetch hash tree: %w", err)) })
			return
		}
		wait := d.retry.wait(failures, err)
		d.post(func(time.Time) {
			d.result.Retries++
			d.emit(Event{Kind: EventRetry, Try: failures, Delay: wait, Code: CodeOf(err), Reason: "hash tree: " + err.Error(), Err: err})
		})
		if !sleep(d.ctx, wait) {
			return
		}
	}
}

// treeOnce makes one request for the tree and returns the number of hashes it
// brought.
func (d *download) treeOnce() (n int, err error) {
	ctx, cancel := context.WithCancelCause(d.ctx)
	defer cancel(nil)
	alive := func(f func()) {
		d.call(func(now time.Time) {
			d.treeSeen = now
			f()
		})
	}
	alive(func() { d.treeStop = cancel })
	resp, err := d.client.forOffered(d.remote).get(ctx, d.remote.tree, segment.Range{}, "", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := d.remote.checkDigestAnswer(resp, d.remote.tree, merkle.MediaType); err != nil {
		return 0, err
	}
	dec, err := merkle.NewDecoder(resp.Body)
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
		alive(func() { d.setHash(n, h) })
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
	if d.pipe == nil {
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
