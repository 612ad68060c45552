package merkle

import (
	"crypto/sha256"
	"fmt"
	"iter"
)

// LeavesMediaType is the media type of leaf hashes on the wire: those of some
// consecutive pieces, HashSize bytes each, in the order of the file. Padding is
// not sent. Whoever has the piece layer can check them, see Layout.FromLeaves.
const LeavesMediaType = "application/vnd.chunkget.leaves"

// Leaves returns the number of leaves of piece i that hold bytes of the file.
// It panics if there is no such piece.
func (l Layout) Leaves(i int) int {
	_, n := l.Piece(i)
	return int(ceilDiv(n, LeafSize))
}

// AppendLeaves appends the hash of each leaf of data, which begins at a leaf
// boundary and, unless it ends the file, ends at one.
func AppendLeaves(hashes []Hash, data []byte) []Hash {
	for h := range leaves(data) {
		hashes = append(hashes, h)
	}
	return hashes
}

// leaves yields the hash of each leaf of data, of which only the last may be short.
func leaves(data []byte) iter.Seq[Hash] {
	return func(yield func(Hash) bool) {
		for pairs && len(data) >= 2*LeafSize {
			left, right := sumPair((*[LeafSize]byte)(data), (*[LeafSize]byte)(data[LeafSize:]))
			if !yield(left) || !yield(right) {
				return
			}
			data = data[2*LeafSize:]
		}
		for len(data) > 0 {
			n := min(len(data), LeafSize)
			if !yield(sha256.Sum256(data[:n])) {
				return
			}
			data = data[n:]
		}
	}
}

// FromLeaves returns what HashPiece would for bytes with these leaf hashes. It
// panics unless there is one for each leaf of piece i.
func (l Layout) FromLeaves(i int, leaves []Hash) Hash {
	if len(leaves) != l.Leaves(i) {
		panic(fmt.Sprintf("merkle: piece %d has %d leaves, not %d", i, l.Leaves(i), len(leaves)))
	}
	var s stack
	for _, h := range leaves {
		s.push(h)
	}
	return s.root(0, l.pieceHeight())
}
