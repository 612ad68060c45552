package merkle

import (
	"fmt"
	"io"
	"math/bits"
)

const (
	// MaxPieces is the largest number of pieces of a Layout. It bounds what a
	// piece layer costs its reader to 32 MiB.
	MaxPieces = 1 << 20

	// minDefaultPieceSize is the piece size of files up to 1 TiB.
	minDefaultPieceSize = 1 << 20

	// maxChosenPieceSize bounds the pieces that somebody else may choose for us,
	// because a reader holds one piece in memory to hash it.
	maxChosenPieceSize = 16 << 20
)

// DefaultPieceSize returns the piece size for a file of size bytes: 1 MiB up to
// 1 TiB, and above that the smallest power of two that makes at most MaxPieces
// pieces.
func DefaultPieceSize(size int64) int64 {
	p := int64(minDefaultPieceSize)
	for ceilDiv(size, p) > MaxPieces {
		p *= 2
	}
	return p
}

// A Layout says how a file is cut into pieces. NewLayout makes a valid one.
type Layout struct {
	Size      int64 // bytes in the file
	PieceSize int64 // bytes in a piece, the last one excepted; a power of two, at least LeafSize
}

// NewLayout returns the layout of a file of size bytes in pieces of pieceSize
// bytes. The piece size must be a power of two, at least LeafSize, at most the
// larger of 16 MiB and DefaultPieceSize(size), and make at most MaxPieces pieces.
func NewLayout(size, pieceSize int64) (Layout, error) {
	switch {
	case size < 0:
		return Layout{}, fmt.Errorf("merkle: negative file size %d", size)
	case pieceSize < LeafSize || pieceSize&(pieceSize-1) != 0:
		return Layout{}, fmt.Errorf("merkle: piece size %d is not a power of two of at least %d", pieceSize, LeafSize)
	case pieceSize > max(maxChosenPieceSize, DefaultPieceSize(size)):
		return Layout{}, fmt.Errorf("merkle: piece size %d is too large for a file of %d bytes", pieceSize, size)
	case ceilDiv(size, pieceSize) > MaxPieces:
		return Layout{}, fmt.Errorf("merkle: a file of %d bytes in pieces of %d has more than %d pieces", size, pieceSize, MaxPieces)
	}
	return Layout{Size: size, PieceSize: pieceSize}, nil
}

// Pieces returns the number of pieces; an empty file has none.
func (l Layout) Pieces() int { return int(ceilDiv(l.Size, l.PieceSize)) }

// Piece returns the offset and the length in bytes of piece i.
// It panics if there is no such piece.
func (l Layout) Piece(i int) (off, n int64) {
	if i < 0 || i >= l.Pieces() {
		panic(fmt.Sprintf("merkle: piece %d of %d", i, l.Pieces()))
	}
	off = int64(i) * l.PieceSize
	return off, min(l.PieceSize, l.Size-off)
}

// HashPiece returns the node that covers piece i in the piece layer, or the
// root if the file has only one piece. It panics unless data is as long as the
// piece. It may be called from several goroutines at a time.
func (l Layout) HashPiece(i int, data []byte) Hash {
	if _, n := l.Piece(i); int64(len(data)) != n {
		panic(fmt.Sprintf("merkle: piece %d has %d bytes, not %d", i, n, len(data)))
	}
	var s stack
	s.leaves(data)
	return s.root(0, l.pieceHeight())
}

// HashPieceAt is HashPiece for a piece of the file r, which it reads through buf:
// as few leaves at a time as fit there stay in the processor's cache until they
// are hashed. It panics unless buf has room for a leaf.
func (l Layout) HashPieceAt(i int, r io.ReaderAt, buf []byte) (Hash, error) {
	off, n := l.Piece(i)
	step := int64(len(buf) - len(buf)%LeafSize)
	if step == 0 {
		panic(fmt.Sprintf("merkle: a buffer of %d bytes for leaves of %d", len(buf), LeafSize))
	}
	var s stack
	for end := off + n; off < end; off += step {
		b := buf[:min(end-off, step)]
		// The last bytes may come with io.EOF.
		if k, err := r.ReadAt(b, off); k < len(b) {
			return Hash{}, err
		}
		s.leaves(b)
	}
	return s.root(0, l.pieceHeight()), nil
}

// Root returns the root of the tree over the whole piece layer, the zero Hash
// for an empty file. It panics unless there is one hash for each piece.
func (l Layout) Root(pieces []Hash) Hash {
	if len(pieces) != l.Pieces() {
		panic(fmt.Sprintf("merkle: %d piece hashes for %d pieces", len(pieces), l.Pieces()))
	}
	var s stack
	for _, h := range pieces {
		s.push(h)
	}
	return l.rootOf(&s)
}

// rootOf returns the root over the piece layer that was pushed onto s.
func (l Layout) rootOf(s *stack) Hash {
	if l.Size == 0 {
		return Hash{}
	}
	return s.root(l.pieceHeight(), log2Ceil(int64(l.Pieces())))
}

// pieceHeight returns the number of layers between the leaves and the nodes
// that HashPiece returns.
func (l Layout) pieceHeight() int {
	if l.Size <= l.PieceSize {
		return log2Ceil(ceilDiv(l.Size, LeafSize))
	}
	return log2Ceil(l.PieceSize / LeafSize)
}

// ceilDiv returns a/b rounded up, for a >= 0 and b > 0, also where a+b overflows.
func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 {
		q++
	}
	return q
}

// log2Ceil returns the height of a binary tree of n leaves, n >= 0.
func log2Ceil(n int64) int {
	if n <= 1 {
		return 0
	}
	return bits.Len64(uint64(n - 1))
}
