package fetch

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

// Repair makes the file o.Output, of any size and origin, equal to the remote
// one. It compares it with the server's hash tree, down to leaves of 16 KiB where
// the server tells their hashes, and fetches only what differs.
//
// The file is never written to. What is good of it is copied to FILE.part, where
// the rest is downloaded as by Get, journal included; every piece of it is
// checked there once more; and then it takes the place of the file in one step.
// So an interruption leaves the file as it was, and the next Repair goes on from
// FILE.part if more of that is good. The price is the space of a copy, where the
// file system cannot share blocks between files.
//
// Result.BytesFetched is what had to be fetched, Result.Intact that nothing was
// wrong.
func Repair(ctx context.Context, o Options) (*Result, error) {
	begun := time.Now()
	if err := o.resolve(); err != nil {
		return nil, err
	}
	if o.Output == "" {
		return nil, errorf(KindUsage, "options", "the file to repair is needed")
	}
	if o.Pieces != nil {
		return nil, errorf(KindUsage, "options", "a repair is checked by the hash tree, not by other hashes of pieces")
	}
	res := &Result{Transport: o.URL.Scheme}
	return conclude(&o, res, begun, repair(ctx, &o, res, begun))
}

func repair(ctx context.Context, o *Options, res *Result, begun time.Time) (err error) {
	dirPath, name, err := place(o)
	if err != nil {
		return err
	}
	res.Path = filepath.Join(dirPath, name)
	t, err := o.openTarget(dirPath, name)
	if err != nil {
		return err
	}
	defer func() { err = t.leave(err) }()
	old, err := t.dir.Open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return diskError("open "+t.path, err).withHint("there is nothing to repair; download the file")
	}
	if err != nil {
		return diskError("open "+t.path, err)
	}
	defer func() {
		if old != nil {
			old.Close() // it was only read
		}
	}()

	c := newClient(o)
	r, tree, err := findTree(ctx, o, c, res)
	if err != nil {
		return err
	}
	res.Bytes = r.size
	if err := r.awaitDigest(ctx, o, c); err != nil {
		return err
	}
	good, err := tree.scan(ctx, o, old)
	if err != nil {
		return err
	}
	size, err := old.Size()
	if err != nil {
		return diskError("look at "+t.path, err)
	}
	if size == r.size && good.Bytes() == r.size {
		res.Intact, res.Verified, res.Root, res.BytesResumed = true, true, tree.root, r.size
		return checkIntact(ctx, o, old, r, res)
	}
	if !r.ranges {
		return errorf(KindRangeUnsupported, "repair", "the server does not send parts of the file").withCode(CodeNoRanges).
			withHint("download the file anew")
	}
	good, err = t.startRepair(ctx, o, old, tree, good)
	if err != nil {
		return err
	}
	// An open file cannot be replaced on every system.
	if err := old.Close(); err != nil {
		return diskError("close "+t.path, err)
	}
	old = nil
	d := newDownload(o, []*source{{url: o.name(o.URL), client: c, remote: r}}, r, tree.layout, t, partsOf(tree.layout, good), res, begun)
	d.hashes, d.root, d.rootDone = tree.hashes, tree.root, true
	d.batch.Root = (*journal.Digest)(&tree.root)
	d.emit(Event{Kind: EventStart, URL: o.name(o.URL), Path: t.path})
	err = d.loop(ctx, nil)
	res.BytesResumed = d.resumed
	if err != nil {
		return markResumable(err, t)
	}
	res.Verified, res.Root = true, d.root
	o.Overwrite = true
	return finish(ctx, o, t, r, res)
}

// findTree makes a first request, for one byte, and fetches the hash tree that
// its answer offers.
func findTree(ctx context.Context, o *Options, c *client, res *Result) (*remote, *remoteTree, error) {
	p, err := probe(ctx, o, c, segment.Range{Start: 0, End: 1}, res)
	if err != nil {
		return nil, nil, err
	}
	p.close()
	r := p.remote
	if r.tree == nil && r.size != 0 {
		return r, nil, errorf(KindOther, "find hash tree", "the server offers none").withCode(CodeNoTree).
			withHint("only a server with hash trees, such as chunkserve, can tell which bytes are wrong")
	}
	tree, err := fetchTree(ctx, o, c, r)
	return r, tree, err
}

// startRepair opens FILE.part with as much as possible of what is good, which it
// returns: what an interrupted repair or download left there, or old.
func (t *target) startRepair(ctx context.Context, o *Options, old journal.File, tree *remoteTree, good *segment.Set) (*segment.Set, error) {
	if err := t.open(); err != nil {
		return nil, err
	}
	want := journal.Header{Size: tree.layout.Size, PieceSize: tree.layout.PieceSize, ETag: tree.remote.tag(), URL: o.name(o.URL)}
	copied := false
	if t.hadPart {
		left, err := tree.scan(ctx, o, t.part)
		if err != nil {
			return nil, err
		}
		if copied = left.Bytes() >= good.Bytes(); copied {
			good = left
		}
	}
	// What an old journal names may be about to change.
	if err := t.journal.Reset(want); err != nil {
		return nil, diskError("write journal", err)
	}
	if !copied {
		if err := journal.Copy(ctx, t.part, old); err != nil {
			if ctx.Err() != nil {
				return nil, &Error{Kind: KindInterrupted, Op: "copy " + t.path, Err: context.Cause(ctx)}
			}
			return nil, diskError("copy "+t.path, err)
		}
	}
	if err := errors.Join(t.part.Truncate(tree.layout.Size), t.dir.Sync()); err != nil {
		return nil, diskError("make partial file", err)
	}
	t.resumable = true
	return good, nil
}

// partsOf turns what is good into what a download need not fetch. All of it is
// checked again where it is now.
func partsOf(l merkle.Layout, good *segment.Set) *kept {
	k := new(kept)
	for i := range l.Pieces() {
		off, n := l.Piece(i)
		r := segment.Range{Start: off, End: off + n}
		if good.Contains(r) {
			k.recheck = append(k.recheck, i)
			continue
		}
		for part := range good.Within(r) {
			k.leaves.Add(part)
		}
	}
	return k
}

// checkIntact checks the digest of a file that equals the remote one.
func checkIntact(ctx context.Context, o *Options, f journal.File, r *remote, res *Result) error {
	want, source := o.Digest, digestAsked
	hint := "the file is as the server has it; compare digest and source"
	if o.ServerDigest {
		want, source, hint = r.digest, digestAnnounced, contradictory
	}
	if want.IsZero() {
		return nil
	}
	var err error
	if res.Digest, err = hashFile(ctx, f, res.Bytes, want.Algorithm, newPass(time.Now(), o, o.Output, want.Algorithm, res.Bytes)); err != nil {
		return err
	}
	if !res.Digest.Equal(want) {
		return errorf(KindIntegrity, "check digest", "it is %v, not %s, %v", res.Digest, source, want).withCode(CodeDigestMismatch).withHint(hint)
	}
	return nil
}
