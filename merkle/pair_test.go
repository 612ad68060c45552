package merkle

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

// TestSumPair holds the hashes of two leaves at a time against the library's, at
// every alignment.
func TestSumPair(t *testing.T) {
	if !pairs {
		t.Skip("needs a processor with the SHA extensions of x86")
	}
	r := rand.NewChaCha8([32]byte{})
	data := make([]byte, 2*LeafSize+64)
	r.Read(data)
	for i := range 64 {
		p, q := (*[LeafSize]byte)(data[i:]), (*[LeafSize]byte)(data[LeafSize+(i*7)%64:])
		left, right := sumPair(p, q)
		if want := Hash(sha256.Sum256(p[:])); left != want {
			t.Errorf("offset %d, left: %v, want %v", i, left, want)
		}
		if want := Hash(sha256.Sum256(q[:])); right != want {
			t.Errorf("offset %d, right: %v, want %v", i, right, want)
		}
	}
}

// FuzzSumPair does the same with what the fuzzer finds, repeated to fill the leaves.
func FuzzSumPair(f *testing.F) {
	if !pairs {
		f.Skip("needs a processor with the SHA extensions of x86")
	}
	f.Add([]byte{0}, []byte{0xff})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a) == 0 || len(b) == 0 {
			t.Skip("nothing to fill the leaves with")
		}
		var p, q [LeafSize]byte
		for i := range p {
			p[i], q[i] = a[i%len(a)], b[i%len(b)]
		}
		left, right := sumPair(&p, &q)
		if left != sha256.Sum256(p[:]) || right != sha256.Sum256(q[:]) {
			t.Errorf("%x and %x: %v, %v", a, b, left, right)
		}
	})
}
