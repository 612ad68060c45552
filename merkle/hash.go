package merkle

import (
	"crypto/sha256"
	"encoding/hex"
)

const (
	// LeafSize is the number of file bytes under one leaf of the tree (BEP 52).
	LeafSize = 16 << 10

	// HashSize is the length of a Hash in bytes.
	HashSize = sha256.Size
)

// A Hash is one node of the tree: a SHA-256 sum.
type Hash [HashSize]byte

// String returns the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h is the zero Hash, the root of an empty file.
func (h Hash) IsZero() bool { return h == Hash{} }

// maxHeight is the height of the tallest tree: 2^63 bytes are 2^49 leaves.
const maxHeight = 49

// zeroRoots[k] is the root of a subtree of height k whose leaves are all padding.
var zeroRoots = func() (z [maxHeight + 1]Hash) {
	for k := 1; k < len(z); k++ {
		z[k] = parent(&z[k-1], &z[k-1])
	}
	return z
}()

// parent returns the node above left and right.
func parent(left, right *Hash) Hash {
	var both [2 * HashSize]byte
	copy(both[:HashSize], left[:])
	copy(both[HashSize:], right[:])
	return sha256.Sum256(both[:])
}

// A stack computes the root of a growing row of nodes in constant space: it
// keeps only the roots of the full subtrees to the left, one for each bit set
// in the number of nodes pushed.
type stack struct {
	nodes [maxHeight + 1]Hash // nodes[k] is in use iff bit k of n is set
	n     uint64              // nodes pushed
}

func (s *stack) push(h Hash) {
	k := 0
	for ; s.n>>k&1 == 1; k++ {
		h = parent(&s.nodes[k], &h)
	}
	s.nodes[k] = h
	s.n++
}

// root returns the root of the nodes pushed, padded to 2^height nodes. The
// nodes lie base layers above the leaves, which decides what pads them.
// At least one and at most 2^height nodes have been pushed.
func (s *stack) root(base, height int) Hash {
	var (
		right Hash // root of the rightmost, incomplete subtree below layer k
		some  bool // whether there is one
	)
	for k := range height {
		switch left := s.n>>k&1 == 1; {
		case left && some:
			right = parent(&s.nodes[k], &right)
		case left:
			right, some = parent(&s.nodes[k], &zeroRoots[base+k]), true
		case some:
			right = parent(&right, &zeroRoots[base+k])
		}
	}
	if some {
		return right
	}
	return s.nodes[height]
}

// leaves pushes the leaves of data, which begins at a leaf boundary and, unless
// it ends the file, ends at one.
func (s *stack) leaves(data []byte) {
	for h := range leaves(data) {
		s.push(h)
	}
}
