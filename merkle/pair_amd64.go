package merkle

import (
	"encoding/binary"

	"github.com/klauspost/cpuid/v2"
)

// pairs says whether two leaves are hashed at a time: with the SHA extensions one
// hash waits most of the time for the result of its last instruction, and two take
// little more time than one. Processors without them have crypto/sha256.
var pairs = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3)

// A state is a chaining value of SHA-256 in the order in which the processor's
// instructions hold it: f, e, b, a, h, g, d, c.
type state [8]uint32

var initial = state{0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667, 0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372}

// leafPadding is the block that ends the hash of a whole leaf (FIPS 180-4,
// section 5.1.1): a one bit, zeros, and the length in bits.
var leafPadding = func() (b [64]byte) {
	b[0] = 0x80
	binary.BigEndian.PutUint64(b[56:], LeafSize*8)
	return b
}()

// sumPair returns the hashes of two whole leaves.
func sumPair(p, q *[LeafSize]byte) (Hash, Hash) {
	a, b := initial, initial
	compressPair(&a, &b, &p[0], &q[0], LeafSize/64)
	compressPair(&a, &b, &leafPadding[0], &leafPadding[0], 1)
	return a.hash(), b.hash()
}

func (s *state) hash() (h Hash) {
	for i, w := range [8]uint32{s[3], s[2], s[7], s[6], s[1], s[0], s[5], s[4]} {
		binary.BigEndian.PutUint32(h[4*i:], w)
	}
	return h
}

// compressPair takes as many blocks of 64 bytes at p into a, and at q into b.
//
//go:noescape
func compressPair(a, b *state, p, q *byte, blocks int)
