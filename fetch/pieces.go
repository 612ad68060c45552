package fetch

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
)

// Pieces of others that a download can be checked with, in bytes: smaller ones
// cost more to keep account of than they are worth, of larger ones each verifier
// has one in memory.
const (
	leastPlainPiece = 64 << 10
	mostPlainPiece  = 16 << 20
)

// plainHash returns the hash function of p, nil if there is none that counts. Of
// SHA-512 it returns the first half, which is as hard to forge as SHA-256.
func (p *PieceHashes) plainHash() func(data []byte) merkle.Hash {
	switch p.Algorithm {
	case "sha-256":
		return func(data []byte) merkle.Hash { return sha256.Sum256(data) }
	case "sha-512":
		return func(data []byte) merkle.Hash {
			sum := sha512.Sum512(data)
			return merkle.Hash(sum[:len(merkle.Hash{})])
		}
	}
	return nil
}

// Fault tells why no download can be checked with the hashes of p, whatever the size of
// the file; nil if one can, or if there are none.
func (p *PieceHashes) Fault() error {
	switch {
	case p == nil || len(p.Sums) == 0:
		return nil
	case p.plainHash() == nil:
		return fmt.Errorf("hashes of pieces by %s, which is not known", p.Algorithm)
	case p.Length < leastPlainPiece || p.Length > mostPlainPiece:
		return fmt.Errorf("hashes of pieces of %d bytes, and a download can be checked by pieces of %d to %d", p.Length, leastPlainPiece, mostPlainPiece)
	case len(p.Sums) > journal.MaxPieces:
		return fmt.Errorf("hashes of %d pieces, and a download can be checked by %d", len(p.Sums), journal.MaxPieces)
	}
	for _, s := range p.Sums {
		if len(s) < len(merkle.Hash{}) {
			return fmt.Errorf("a hash of a piece by %s of %d bytes", p.Algorithm, len(s))
		}
	}
	return nil
}

// usable reports whether the pieces of a file of size bytes can be checked with p.
func (p *PieceHashes) usable(size int64) bool {
	return p != nil && len(p.Sums) > 0 && p.Fault() == nil && p.fits(size)
}

// fits reports whether p can be of a file of size bytes.
func (p *PieceHashes) fits(size int64) bool {
	return (p.Size < 0 || p.Size == size) && (len(p.Sums) == 0 || p.layout(size).Pieces() == len(p.Sums))
}

// layout cuts a file of size bytes. No tree is of such pieces.
func (p *PieceHashes) layout(size int64) merkle.Layout {
	return merkle.Layout{Size: size, PieceSize: p.Length}
}

// hashes returns the hashes as plainHash returns them.
func (p *PieceHashes) hashes() []merkle.Hash {
	out := make([]merkle.Hash, len(p.Sums))
	for i, s := range p.Sums {
		copy(out[i][:], s)
	}
	return out
}

// hasPieces reports whether there are hashes of pieces to check the file by.
func (o *Options) hasPieces() bool { return o.Pieces != nil && len(o.Pieces.Sums) > 0 }

// layoutOf cuts a file of size bytes as it will be checked.
func (o *Options) layoutOf(size int64) (merkle.Layout, error) {
	if o.Pieces.usable(size) {
		return o.Pieces.layout(size), nil
	}
	return merkle.NewLayout(size, merkle.DefaultPieceSize(size))
}

// checkSize fails when the file has another size than the pieces of the user's are of.
func (o *Options) checkSize(size int64) error {
	if o.Pieces == nil || size < 0 || o.Pieces.fits(size) {
		return nil
	}
	err := errorf(KindIntegrity, "check size", "the file has %d bytes, wanted are %d", size, o.Pieces.Size)
	if o.Pieces.Size < 0 || o.Pieces.Size == size {
		err = errorf(KindIntegrity, "check size", "the file has %d bytes, and the hashes are of %d pieces of %d", size, len(o.Pieces.Sums), o.Pieces.Length)
	}
	return err.withCode(CodeSizeChanged).withHint("the server has another file, or another version of it")
}

// A pieceGate lets bytes through that come in order, a piece at a time, as far as the
// pieces are what the hashes say.
type pieceGate struct {
	pieces *PieceHashes
	hash   func(data []byte) merkle.Hash
	write  func([]byte) error
	buf    []byte // of the piece that is coming
	next   int    // its number
}

// gate returns write behind the hashes of pieces, if there are any, and what is to be
// called with the number of bytes when they are over, whose size the user may know.
func (o *Options) gate(write func([]byte) error) (gated func([]byte) error, end func(size int64) error) {
	if !o.hasPieces() {
		return write, o.checkSize
	}
	g := &pieceGate{pieces: o.Pieces, hash: o.Pieces.plainHash(), write: write}
	return g.add, func(size int64) error {
		err := o.checkSize(size)
		if err == nil && len(g.buf) > 0 {
			err = g.pass()
		}
		return err
	}
}

func (g *pieceGate) add(b []byte) error {
	for len(b) > 0 {
		n := min(int64(len(b)), g.pieces.Length-int64(len(g.buf)))
		g.buf, b = append(g.buf, b[:n]...), b[n:]
		if int64(len(g.buf)) == g.pieces.Length {
			if err := g.pass(); err != nil {
				return err
			}
		}
	}
	return nil
}

// pass lets the piece through that has come.
func (g *pieceGate) pass() error {
	first := int64(g.next) * g.pieces.Length
	switch {
	case g.next == len(g.pieces.Sums):
		return errorf(KindIntegrity, "check size", "the file goes on after the %d pieces of %d bytes that the hashes are of", g.next, g.pieces.Length).
			withCode(CodeSizeChanged).withHint("the server has another file, or another version of it")
	case g.hash(g.buf) != merkle.Hash(g.pieces.Sums[g.next][:len(merkle.Hash{})]):
		return errorf(KindIntegrity, fmt.Sprintf("check piece %d", g.next), "bytes %d-%d do not match their hash, and the server cannot send them alone", first, first+int64(len(g.buf))-1).
			withCode(CodePieceMismatch)
	}
	if err := g.write(g.buf); err != nil {
		return err
	}
	g.next, g.buf = g.next+1, g.buf[:0]
	return nil
}
