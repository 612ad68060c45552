package merkle

import "crypto/sha256"

// The tree as BEP 52 words it, built layer by layer from the whole file, with
// nothing shared with the package but the types: what the tests compare with.

type referenceTree struct {
	pieces []Hash // the piece layer; of a file of one piece, its root
	root   Hash
}

func newReferenceTree(file []byte, pieceSize int) referenceTree {
	if len(file) == 0 {
		return referenceTree{}
	}
	var leaves []Hash
	for off := 0; off < len(file); off += 16384 {
		leaves = append(leaves, sha256.Sum256(file[off:min(off+16384, len(file))]))
	}
	width := 1
	for width < len(leaves) {
		width *= 2
	}
	root := referenceRoot(leaves, width)
	if len(file) <= pieceSize {
		return referenceTree{pieces: []Hash{root}, root: root}
	}
	t := referenceTree{root: root}
	perPiece := pieceSize / 16384
	for off := 0; off < len(leaves); off += perPiece {
		t.pieces = append(t.pieces, referenceRoot(leaves[off:min(off+perPiece, len(leaves))], perPiece))
	}
	return t
}

// referenceRoot returns the root over leaves, padded with zero hashes to width.
func referenceRoot(leaves []Hash, width int) Hash {
	if width == 1 {
		if len(leaves) == 0 {
			return Hash{}
		}
		return leaves[0]
	}
	half := width / 2
	left := referenceRoot(leaves[:min(half, len(leaves))], half)
	right := referenceRoot(leaves[min(half, len(leaves)):], half)
	return sha256.Sum256(append(left[:], right[:]...))
}
