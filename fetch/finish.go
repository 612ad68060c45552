package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
)

// finish checks the digest of the whole file where that is called for, and
// gives the file its name.
func finish(ctx context.Context, o *Options, t *target, r *remote, res *Result) error {
	want, source := o.SHA256, "the one that was asked for"
	if want == nil && !res.Verified && r.sha256 != nil {
		want, source = r.sha256, "the one that the server announced"
	}
	if want != nil {
		sum, err := hashPart(ctx, t, res.Bytes)
		if err != nil {
			return markResumable(err, t)
		}
		res.SHA256 = sum
		if !bytes.Equal(sum, want) {
			bad, err := t.quarantine()
			if err != nil {
				return diskError("set the bad file aside", err)
			}
			return errorf(KindIntegrity, "check SHA-256", "it is %x, not %s, %x; the file is kept as %s", sum, source, want, bad).
				withHint("the file was transferred as the server has it; compare digest and source")
		}
	}
	if err := t.publish(o.Overwrite); err != nil {
		return markResumable(err, t)
	}
	return nil
}

// hashPart computes the SHA-256 of the partial file.
func hashPart(ctx context.Context, t *target, size int64) ([]byte, error) {
	h := sha256.New()
	src := io.NewSectionReader(t.part, 0, size)
	var total int64
	buf := make([]byte, 1<<20)
	for {
		if ctx.Err() != nil {
			return nil, &Error{Kind: KindInterrupted, Op: "check SHA-256", Err: context.Cause(ctx)}
		}
		n, err := src.Read(buf)
		h.Write(buf[:n])
		total += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, diskError("read partial file", err)
		}
	}
	if total != size {
		return nil, diskError("read partial file", fmt.Errorf("it has %d bytes, not %d", total, size))
	}
	return h.Sum(nil), nil
}
