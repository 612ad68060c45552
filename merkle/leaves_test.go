package merkle

import "testing"

func TestFromLeaves(t *testing.T) {
	for _, size := range []int64{1, LeafSize - 1, LeafSize, LeafSize + 1, 5 * LeafSize, 8 * LeafSize, 11*LeafSize + 7} {
		l, err := NewLayout(size, 4*LeafSize)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i / 1000)
		}
		for i := range l.Pieces() {
			off, n := l.Piece(i)
			leaves := AppendLeaves(nil, data[off:off+n])
			if len(leaves) != l.Leaves(i) {
				t.Fatalf("size %d, piece %d: %d leaves, Leaves says %d", size, i, len(leaves), l.Leaves(i))
			}
			if got, want := l.FromLeaves(i, leaves), l.HashPiece(i, data[off:off+n]); got != want {
				t.Errorf("size %d, piece %d: %v, want %v", size, i, got, want)
			}
			leaves[len(leaves)-1][0] ^= 1
			if l.FromLeaves(i, leaves) == l.HashPiece(i, data[off:off+n]) {
				t.Errorf("size %d, piece %d: a wrong leaf makes no difference", size, i)
			}
		}
	}
}
