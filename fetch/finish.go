package fetch

import (
	"context"
	"fmt"
	"io"
	"time"
)

// digestBesideTree is the size of file up to which a digest that the server announces
// is checked beside its hash tree, in bytes. Who lies can give both to suit, so all that
// it finds is a tree and a digest of different versions. For that a large file is not
// read and hashed once more, which over a fast path takes as long as the download.
const digestBesideTree = 16 << 20

// Where the digest of a whole file is from, and what it means that one of the server is
// not that of a file which its hash tree proves.
const (
	digestAsked     = "the one that was asked for"
	digestAnnounced = "the one that the server announced"
	contradictory   = "the hash tree and the digest of the server contradict each other: one of them is of another version of the file"
)

// finish checks the digest of the whole file where that is called for, and
// gives the file its name.
func finish(ctx context.Context, o *Options, t *target, r *remote, res *Result) error {
	want, source := o.Digest, digestAsked
	if want.IsZero() {
		want, source = r.digest, digestAnnounced
	}
	if o.Digest.IsZero() && !o.ServerDigest && !want.IsZero() && res.Verified && res.Bytes > digestBesideTree {
		o.observe(Event{Kind: EventDigestUnused, Total: res.Bytes, Done: res.Bytes, Resumed: res.BytesResumed, ETA: -1, Digest: want,
			Reason: "every piece was checked against the hash tree, and a file of this size is not read once more for a digest of the same server; --checksum server has it checked"})
		want = Digest{}
	}
	if !want.IsZero() {
		got, err := hashFile(ctx, t.part, res.Bytes, want.Algorithm, newPass(time.Now(), o, t.path, want.Algorithm, res.Bytes))
		if err != nil {
			return markResumable(err, t)
		}
		res.Digest = got
		if !got.Equal(want) {
			bad, err := t.quarantine()
			if err != nil {
				return diskError("set the bad file aside", err)
			}
			hint := "the file was transferred as the server has it; compare digest and source"
			if res.Verified && o.Digest.IsZero() {
				hint = contradictory
			} else if len(res.Mirrors) > 1 {
				hint = "without hashes of its pieces nothing tells which mirror is wrong: fetch from one of them alone"
			}
			return errorf(KindIntegrity, "check digest", "it is %v, not %s, %v; the file is kept as %s", got, source, want, bad).
				withCode(CodeDigestMismatch).withHint(hint)
		}
	}
	if err := t.publish(o.Overwrite); err != nil {
		return markResumable(err, t)
	}
	return nil
}

// hashFile computes the digest of a file of size bytes. watch is told how far
// it is.
func hashFile(ctx context.Context, f io.ReaderAt, size int64, algorithm string, watch *pass) (Digest, error) {
	d := Digest{Algorithm: algorithm}
	h := d.newHash()
	src := io.NewSectionReader(f, 0, size)
	var total int64
	buf := make([]byte, 1<<20)
	for {
		if ctx.Err() != nil {
			return d, &Error{Kind: KindInterrupted, Op: "check digest", Err: context.Cause(ctx)}
		}
		n, err := src.Read(buf)
		h.Write(buf[:n])
		total += int64(n)
		watch.read(time.Now(), int64(n))
		if err == io.EOF {
			break
		}
		if err != nil {
			return d, diskError("read the file", err)
		}
	}
	if total != size {
		return d, diskError("read the file", fmt.Errorf("it has %d bytes, not %d", total, size))
	}
	watch.end(time.Now())
	d.Sum = h.Sum(nil)
	return d, nil
}
