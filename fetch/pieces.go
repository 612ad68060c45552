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
