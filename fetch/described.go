package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/metalink"
	"github.com/chunkget/chunkget/segment"
)

// describeTries is how often the Metalink that a server names is asked for: the
// download waits for it.
const describeTries = 2

// metalinkOf returns the Metalink that the answer, or a redirect to it, names with
// rel=describedby in Link (RFC 6249, section 5), nil if there is none.
func metalinkOf(resp *http.Response) *url.URL {
	for a := range answers(resp) {
		for l := range links(a) {
			if !l.describes(metalink.MediaType) {
				continue
			}
			if u, ok := named(a, l.target); ok {
				return u
			}
		}
	}
	return nil
}

// describe takes what the Metalink tells that the answer of the lead names, where
// there is no hash tree and the user has given no hashes of pieces: those, the digest
// of the whole file, and addresses. One that cannot be had, or that is of another
// file, is left aside, unless s, the record of an earlier run, is of its pieces.
func (p *probed) describe(ctx context.Context, o *Options, s *journal.State) error {
	r := p.remote
	if r.metalink == nil || r.tree != nil || r.size <= 0 || o.Pieces.usable(r.size) {
		return nil
	}
	where := RedactURL(r.metalink)
	f, err := fetchMetalink(ctx, o, p.from.client.forOffered(r), r)
	if err == nil {
		err = r.contradicts(f)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil && s != nil && !o.Restart && s.Header.Size == r.size && s.Header.PieceSize != merkle.DefaultPieceSize(r.size):
		return &Error{Kind: KindNetwork, Op: "resume", Resumable: true, Code: CodeMetalinkUnused,
			Err:  fmt.Errorf("partial data is in the pieces of the Metalink that the server names, %s: %w", where, err),
			Hint: "try again later, or restart to discard the partial data"}
	case err != nil:
		o.observe(Event{Kind: EventNote, Total: -1, ETA: -1, Code: CodeMetalinkUnused,
			Reason: fmt.Sprintf("going on without the Metalink that the server names, %s: %v", where, err)})
		return nil
	}
	var told []string
	pieces := MetalinkPieces(f)
	if fault := pieces.Fault(); fault != nil {
		o.observe(Event{Kind: EventNote, Total: -1, ETA: -1, Code: CodeMetalinkUnused,
			Reason: fmt.Sprintf("going on without the piece hashes of the Metalink that the server names, %s: it has %v", where, fault)})
	}
	if pieces.usable(r.size) {
		pieces.Size = r.size
		o.Pieces, o.described = pieces, true
		told = append(told, "hashes of pieces")
	}
	if digest, err := MetalinkDigest(f); err == nil && r.digest.IsZero() {
		r.digest = digest
		told = append(told, "a digest")
	}
	if n := r.addDuplicates(f); n > 0 && !o.GivenOnly {
		told = append(told, "addresses")
	}
	if len(told) > 0 {
		o.observe(Event{Kind: EventNote, Total: -1, ETA: -1, Code: CodeMetalinkUsed,
			Reason: fmt.Sprintf("the Metalink that the server names, %s, has %s", where, strings.Join(told, ", "))})
	}
	return nil
}

// fetchMetalink returns what the Metalink of r says of its file.
func fetchMetalink(ctx context.Context, o *Options, c *client, r *remote) (*metalink.File, error) {
	policy := o.Retry.resolved()
	policy.Tries = min(policy.Tries, describeTries)
	var files []metalink.File
	err := policy.retrying(ctx, o.Observe, "fetch the Metalink", func(ctx context.Context, alive func()) error {
		resp, err := c.get(ctx, r.metalink, segment.Range{}, "", nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return statusError(resp.Response, errors.New("the server sent a part of the document")).withCode(CodeRangeUnasked)
		}
		if err := checkCoding(resp.Response); err != nil {
			return err
		}
		body := &aliveReader{r: resp.Body, alive: alive}
		files, err = metalink.Parse(body)
		switch {
		case body.err != nil:
			return networkError("read", withCause(ctx, body.err))
		case err != nil:
			return &Error{Kind: KindIntegrity, Op: "read", Err: err}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	f, ok := metalink.Find(files, path.Base(c.url.Path))
	if !ok {
		return nil, fmt.Errorf("none of its %d files is %q", len(files), path.Base(c.url.Path))
	}
	return f, nil
}

// aliveReader tells of each read that brings something, and keeps the error of one
// that failed.
type aliveReader struct {
	r     io.Reader
	alive func()
	err   error
}

func (a *aliveReader) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	if n > 0 {
		a.alive()
	}
	if err != nil && err != io.EOF {
		a.err = err
	}
	return n, err
}

// contradicts returns why f is of another file than r, nil if nothing shows that.
func (r *remote) contradicts(f *metalink.File) error {
	if f.Size >= 0 && f.Size != r.size {
		return fmt.Errorf("it is of a file of %d bytes, this one has %d", f.Size, r.size)
	}
	if sum := f.Hash(r.digest.Algorithm); !r.digest.IsZero() && sum != nil && !r.digest.Equal(Digest{r.digest.Algorithm, sum}) {
		return errors.New("its digest is another than the server announces for the file")
	}
	return nil
}

// addDuplicates adds the addresses of f to those that r has, up to maxDuplicates. It
// returns how many are new.
func (r *remote) addDuplicates(f *metalink.File) (added int) {
	from := &http.Response{Request: &http.Request{URL: r.metalink}}
	for _, s := range f.URLs {
		u, ok := named(from, s)
		if ok && len(r.duplicates) < maxDuplicates && !slices.ContainsFunc(r.duplicates, func(d *url.URL) bool { return d.String() == u.String() }) {
			r.duplicates = append(r.duplicates, u)
			added++
		}
	}
	return added
}

// MetalinkDigest returns the best digest of the whole file that f has.
func MetalinkDigest(f *metalink.File) (Digest, error) {
	for _, a := range digestAlgorithms {
		if sum := f.Hash(a.name); sum != nil {
			return NewDigest(a.name, sum)
		}
	}
	return Digest{}, errors.New("it has no SHA-256 or SHA-512 of the whole file")
}

// MetalinkPieces returns the size of the file and the best hashes of its pieces that f
// has: such as a download can be checked with ([PieceHashes.Fault]), if there are any.
func MetalinkPieces(f *metalink.File) *PieceHashes {
	best := &PieceHashes{Size: f.Size}
	for _, algorithm := range []string{"sha-256", "sha-512"} {
		for _, have := range f.Pieces {
			p := &PieceHashes{Size: f.Size, Length: have.Length, Algorithm: have.Type, Sums: have.Sums}
			if have.Type == algorithm && (len(best.Sums) == 0 || best.Fault() != nil && p.Fault() == nil) {
				best = p
			}
		}
	}
	return best
}
