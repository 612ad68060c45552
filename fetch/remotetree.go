package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

// remoteTree is the whole hash tree of a remote file down to its pieces, which
// lead to its root. Of a download, package fetch takes the tree as it comes
// instead; see streamTree.
type remoteTree struct {
	client *client
	remote *remote
	policy RetryPolicy

	layout merkle.Layout
	hashes []merkle.Hash
	root   merkle.Hash
}

// fetchTree fetches the tree of r.
func fetchTree(ctx context.Context, o *Options, c *client, r *remote) (*remoteTree, error) {
	t := &remoteTree{client: c.forOffered(r), remote: r, policy: o.Retry.resolved()}
	if r.size == 0 {
		t.layout = merkle.Layout{PieceSize: merkle.DefaultPieceSize(0)}
		return t, nil
	}
	err := t.policy.retrying(ctx, o.Observe, "fetch hash tree", func(ctx context.Context, alive func()) error {
		resp, err := t.client.get(ctx, r.tree, segment.Range{}, "", nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if err := r.checkDigestAnswer(resp, r.tree, merkle.MediaType); err != nil {
			return err
		}
		body := &hashReader{r: resp.Body, least: newLeastHashes(t.policy, merkle.DefaultPieceSize(r.size), time.Time{})}
		dec, err := merkle.NewDecoder(body)
		if err != nil {
			return treeError(ctx, err)
		}
		if t.layout = dec.Layout(); t.layout.Size != r.size {
			return errorf(KindIntegrity, "check", "it is of %d bytes, the file has %d", t.layout.Size, r.size).withCode(CodeTreeInvalid)
		}
		t.hashes = t.hashes[:0]
		for {
			h, err := dec.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return treeError(ctx, err)
			}
			alive()
			body.flows = true
			t.hashes = append(t.hashes, h)
		}
		if t.root, err = dec.Root(); err != nil {
			return treeError(ctx, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// leafSpan is how many pieces one request for leaf hashes is about: serve/doc.go
// allows 64 MiB, or one piece.
func (t *remoteTree) leafSpan() int { return int(max(1, 64<<20/t.layout.PieceSize)) }

// errLeaves says that leaf hashes do not lead to the hashes of their pieces.
var errLeaves = errors.New("leaf hashes do not lead to the hash of their piece")

// fetchLeaves returns the leaf hashes of the pieces first to last, at most
// leafSpan of them, which lead to the hashes of the pieces.
func (t *remoteTree) fetchLeaves(ctx context.Context, o *Options, first, last int) ([][]merkle.Hash, error) {
	u := *t.remote.leaves
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "pieces=" + strconv.Itoa(first) + "-" + strconv.Itoa(last)
	var leaves [][]merkle.Hash
	err := t.policy.retrying(ctx, o.Observe, "fetch leaf hashes", func(ctx context.Context, alive func()) error {
		resp, err := t.client.get(ctx, &u, segment.Range{}, "", nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if err := t.remote.checkDigestAnswer(resp, &u, merkle.LeavesMediaType); err != nil {
			return err
		}
		body := &hashReader{r: resp.Body, least: newLeastHashes(t.policy, merkle.LeafSize, time.Time{})}
		leaves = leaves[:0]
		for i := first; i <= last; i++ {
			row := make([]merkle.Hash, t.layout.Leaves(i))
			for j := range row {
				if _, err := io.ReadFull(body, row[j][:]); err != nil {
					return networkError("read", withCause(ctx, err))
				}
			}
			alive()
			body.flows = true
			if t.layout.FromLeaves(i, row) != t.hashes[i] {
				return &Error{Kind: KindOther, Op: "check piece " + strconv.Itoa(i), Err: errLeaves, Code: CodeTreeInvalid}
			}
			leaves = append(leaves, row)
		}
		return nil
	})
	return leaves, err
}

// checkDigestAnswer fails unless the answer is a digest of that type of this
// version of the file, from the server it was asked of.
func (r *remote) checkDigestAnswer(resp *response, asked *url.URL, mediaType string) error {
	if resp.StatusCode != http.StatusOK {
		return statusError(resp.Response, errors.New("the server sent a part of the hashes")).withCode(CodeRangeUnasked)
	}
	if !sameOrigin(resp.Request.URL, asked) {
		return errorf(KindIntegrity, "check answer", "it was redirected to another server").withCode(CodeTreeInvalid)
	}
	if t, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); strings.TrimSpace(t) != mediaType {
		return statusError(resp.Response, fmt.Errorf("the hashes have the type %q", t)).withCode(CodeTreeInvalid)
	}
	if err := checkCoding(resp.Response); err != nil {
		return err
	}
	if r.etag != "" && resp.Header.Get("Etag") != r.etag {
		return errorf(KindRemoteChanged, "check answer", "the remote file has changed: ETag was %q, that of the hashes is %q",
			r.etag, resp.Header.Get("Etag")).withCode(CodeETagChanged)
	}
	return nil
}
