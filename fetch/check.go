package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

// CheckOptions says what a file is held against, all that is given.
type CheckOptions struct {
	// Options name the file as Output, and the server as URL and Transport, with
	// what requests need. Without a URL nothing is sent. Digest is checked, too.
	Options

	// Root of the hash tree that the file, or the server's tree, must have; nil
	// when it is not known.
	Root *merkle.Hash

	// Pieces are plain hashes, as of a Metalink; nil without.
	Pieces *PieceHashes
}

// PieceHashes are the hashes of the pieces of a file.
type PieceHashes struct {
	Size      int64  // of the file in bytes, -1 when not known
	Length    int64  // of a piece in bytes, the last one excepted; 0 without Sums
	Algorithm string // sha-256 or sha-512
	Sums      [][]byte
}

// A Report is what Check found.
type Report struct {
	Path    string
	Size    int64           // of the file in bytes
	Want    int64           // what it should have, -1 when not known
	Bad     []segment.Range // bytes that are wrong, missing, or too many, as far as that can be told
	Against []string        // what the file was held against: tree, root, pieces, sha-256, sha-512
	Root    *merkle.Hash    // of the tree, nil when it was not needed
	Digest  Digest          // of the file, none when it was not computed
}

// BadBytes returns the number of bytes in Bad.
func (r *Report) BadBytes() (n int64) {
	for _, b := range r.Bad {
		n += b.Len()
	}
	return n
}

// Check holds a file against what is known of it. The error is of KindIntegrity
// when it contradicts anything; then Report tells what. It changes nothing.
func Check(ctx context.Context, o CheckOptions) (rep *Report, err error) {
	rep = &Report{Path: o.Output, Want: -1}
	if o.URL != nil {
		if err := o.resolve(); err != nil {
			return rep, err
		}
		defer func() { err = o.veil.err(err) }()
	}
	f, err := os.Open(o.Output)
	if err != nil {
		return rep, diskError("open the file", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return rep, diskError("open the file", err)
	}
	if !fi.Mode().IsRegular() {
		return rep, diskError("open the file", fmt.Errorf("%s: not a regular file", o.Output))
	}
	rep.Size = fi.Size()
	c := &check{opts: &o, file: f, report: rep}
	for _, step := range []func(context.Context) error{c.remote, c.root, c.pieces, c.digest} {
		if err := step(ctx); err != nil {
			return rep, err
		}
	}
	if len(rep.Against) == 0 {
		return rep, errorf(KindUsage, "check "+o.Output, "there is nothing to hold it against").
			withHint("give the URL, a digest, a root, or a Metalink")
	}
	return rep, c.verdict()
}

// check is one call of Check.
type check struct {
	opts   *CheckOptions
	file   *os.File
	report *Report
	bad    segment.Set // without what is before or behind the end
	wrong  []string    // contradictions, for people
	code   Code        // of the first of them
}

func (c *check) contradict(code Code, format string, args ...any) {
	if len(c.wrong) == 0 {
		c.code = code
	}
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// pass begins a reading of the file.
func (c *check) pass(against string, total int64) *pass {
	return newPass(time.Now(), &c.opts.Options, c.opts.Output, against, total)
}

// wantSize takes note of the size that the file should have.
func (c *check) wantSize(n int64) {
	if n < 0 || c.report.Want == n {
		return
	}
	c.report.Want = n
	if size := c.report.Size; size != n {
		c.contradict(CodeSizeChanged, "it has %d bytes, not %d", size, n)
		c.bad.Add(segment.Range{Start: min(size, n), End: max(size, n)})
	}
}

// remote holds the file against the tree of the server, or else against the
// digest that it announces.
func (c *check) remote(ctx context.Context) error {
	o := c.opts
	if o.URL == nil {
		return nil
	}
	cl := newClient(&o.Options)
	r, tree, err := findTree(ctx, &o.Options, cl, new(Result))
	if r != nil && o.ServerDigest && (err == nil || CodeOf(err) == CodeNoTree) {
		if err := r.awaitDigest(ctx, &o.Options, cl); err != nil {
			return err
		}
		o.Digest = r.digest
	}
	if r != nil && tree == nil && CodeOf(err) == CodeNoTree && (!r.digest.IsZero() || !o.Digest.IsZero() || o.Root != nil || o.Pieces != nil) {
		if o.Digest.IsZero() {
			o.Digest = r.digest
		}
		c.wantSize(r.size)
		return nil
	}
	if err != nil {
		return err
	}
	c.report.Root, c.report.Against = &tree.root, append(c.report.Against, "tree")
	if o.Root != nil && *o.Root != tree.root {
		return errorf(KindIntegrity, "check root", "the server's hash tree has the root %v, not %v", tree.root, *o.Root).withCode(CodeRootMismatch).
			withHint("the server has another file, or another version of it")
	}
	c.wantSize(tree.layout.Size)
	good, err := tree.scan(ctx, &o.Options, c.file)
	if err != nil {
		return err
	}
	whole := segment.Range{Start: 0, End: tree.layout.Size}
	for gap := range good.Gaps(whole) {
		c.bad.Add(gap)
	}
	if good.Bytes() < whole.Len() && len(c.wrong) == 0 {
		c.contradict(CodePieceMismatch, "it contradicts the hash tree of the server")
	}
	return nil
}

// root computes the root of the file's tree, if no server's tree has been found
// to have the wanted one.
func (c *check) root(ctx context.Context) error {
	if c.opts.Root == nil || c.report.Root != nil {
		return nil
	}
	l, err := merkle.NewLayout(c.report.Size, merkle.DefaultPieceSize(c.report.Size))
	if err != nil {
		return &Error{Kind: KindOther, Op: "check root", Err: err}
	}
	hashes := make([]merkle.Hash, l.Pieces())
	short := false
	err = eachPiece(ctx, c.file, l, c.pass("root", l.Size), func(i int, data []byte) merkle.Hash {
		if _, n := l.Piece(i); int64(len(data)) < n {
			return merkle.Hash{}
		}
		return l.HashPiece(i, data)
	}, func(i int, h merkle.Hash) {
		hashes[i] = h
		short = short || h.IsZero()
	})
	if err != nil {
		return err
	}
	if short {
		return diskError("read the file", fmt.Errorf("%s became shorter while it was read", c.report.Path))
	}
	root := l.Root(hashes)
	c.report.Root, c.report.Against = &root, append(c.report.Against, "root")
	if root != *c.opts.Root {
		c.contradict(CodeRootMismatch, "its root is %v, not %v", root, *c.opts.Root)
	}
	return nil
}

// pieces holds the file against plain hashes of its pieces.
func (c *check) pieces(ctx context.Context) error {
	p := c.opts.Pieces
	if p == nil {
		return nil
	}
	c.wantSize(p.Size)
	size := p.Size
	if size < 0 {
		size = c.report.Size
	}
	if len(p.Sums) == 0 {
		return nil
	}
	var sum func(data []byte) []byte
	switch p.Algorithm {
	case "sha-256":
		sum = func(data []byte) []byte { h := sha256.Sum256(data); return h[:] }
	case "sha-512":
		sum = func(data []byte) []byte { h := sha512.Sum512(data); return h[:] }
	default:
		return nil // its whole digest has to do
	}
	l := merkle.Layout{Size: size, PieceSize: p.Length} // only as a way to cut: no tree is of such pieces
	if p.Length <= 0 || p.Length > maxPlainPiece || l.Pieces() != len(p.Sums) {
		return errorf(KindOther, "check pieces", "%d hashes of pieces of %d bytes do not fit %d bytes", len(p.Sums), p.Length, size)
	}
	c.report.Against = append(c.report.Against, "pieces")
	wrong := 0
	err := eachPiece(ctx, c.file, l, c.pass("pieces", l.Size), func(i int, data []byte) bool {
		return bytes.Equal(sum(data), p.Sums[i])
	}, func(i int, good bool) {
		if !good {
			off, n := l.Piece(i)
			c.bad.Add(segment.Range{Start: off, End: off + n})
			wrong++
		}
	})
	if wrong > 0 && len(c.wrong) == 0 {
		c.contradict(CodePieceMismatch, "it contradicts %d of %d piece hashes", wrong, len(p.Sums))
	}
	return err
}

// maxPlainPiece bounds the pieces of others, one of which is held in memory for
// each processor, in bytes.
const maxPlainPiece = 256 << 20

// digest checks the digest of the whole file.
func (c *check) digest(ctx context.Context) error {
	want := c.opts.Digest
	if want.IsZero() {
		return nil
	}
	got, err := hashFile(ctx, c.file, c.report.Size, want.Algorithm, c.pass(want.Algorithm, c.report.Size))
	if err != nil {
		return err
	}
	c.report.Digest, c.report.Against = got, append(c.report.Against, got.Algorithm)
	if !got.Equal(want) {
		c.contradict(CodeDigestMismatch, "its digest is %v, not %v", got, want)
	}
	return nil
}

// verdict completes the report and returns the error that it means.
func (c *check) verdict() error {
	c.report.Bad = slices.Collect(c.bad.All())
	if len(c.wrong) == 0 {
		return nil
	}
	return errorf(KindIntegrity, "check "+c.report.Path, "%s", strings.Join(c.wrong, "; ")).withCode(c.code)
}
