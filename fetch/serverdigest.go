package fetch

import (
	"context"
	"errors"
	"net/http"
)

// The digest that a server announces of the whole file, where that is what the file is
// held against (Options.ServerDigest). It comes with the first answer, or is asked for
// with HEAD. A server that computes it together with the hash tree may know it only when
// the tree is complete, so there it is asked for at the end.

// seekDigest fails where a digest that is wanted cannot be had, before anything is
// fetched that would then be of no use.
func (r *remote) seekDigest(ctx context.Context, o *Options, c *client) error {
	if r.tree != nil {
		return nil
	}
	return r.awaitDigest(ctx, o, c)
}

// awaitDigest completes r.digest if that is wanted, once the hash tree has come. An empty
// file has nothing that a digest could tell.
func (r *remote) awaitDigest(ctx context.Context, o *Options, c *client) error {
	if !o.ServerDigest || !r.digest.IsZero() || r.size == 0 {
		return nil
	}
	err := r.askDigest(ctx, o, c)
	if err == nil && r.digest.IsZero() && r.tree != nil {
		// What is resumed may have needed no tree: then nobody has waited for it.
		if _, err = fetchTree(ctx, o, c, r); err == nil {
			err = r.askDigest(ctx, o, c)
		}
	}
	if err != nil {
		return err
	}
	if r.digest.IsZero() {
		return errorf(KindOther, "find digest", "the server announces none of the whole file: neither its answer to GET nor that to HEAD has a Repr-Digest or Digest by SHA-256 or SHA-512").
			withCode(CodeNoDigest).withHint("give --checksum sha256:HEX from elsewhere; or do without --checksum: pieces are checked against a hash tree where the server offers one")
	}
	return nil
}

// askDigest asks for the digest with HEAD. Who does not know that method has none to tell.
func (r *remote) askDigest(ctx context.Context, o *Options, c *client) error {
	return o.Retry.resolved().retrying(ctx, o.Observe, "ask for the digest", func(ctx context.Context, _ func()) error {
		resp, err := c.head(ctx)
		if e, ok := errors.AsType[*Error](err); ok && (e.StatusCode == http.StatusMethodNotAllowed || e.StatusCode == http.StatusNotImplemented) {
			return nil
		}
		if err != nil {
			return err
		}
		resp.Body.Close()
		if err := r.checkSame(resp.Response); err != nil {
			return err
		}
		r.digest = reprDigest(resp.Header)
		return nil
	})
}
