package merkle

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// testFile returns size bytes that any other program can make as well: byte i
// is i*i/251 + i/16384 modulo 256.
func testFile(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*i/251 + i/16384)
	}
	return b
}

// treeOf computes the tree of file through HashPiece and Root.
func treeOf(l Layout, file []byte) ([]Hash, Hash) {
	var pieces []Hash
	for i := range l.Pieces() {
		off, n := l.Piece(i)
		pieces = append(pieces, l.HashPiece(i, file[off:off+n]))
	}
	return pieces, l.Root(pieces)
}

func mustLayout(t testing.TB, size, pieceSize int64) Layout {
	t.Helper()
	l, err := NewLayout(size, pieceSize)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var testSizes = []int{
	0, 1, 100, LeafSize - 1, LeafSize, LeafSize + 1, 2 * LeafSize, 2*LeafSize + 1, 3 * LeafSize,
	4*LeafSize - 1, 4 * LeafSize, 4*LeafSize + 1, 5 * LeafSize, 7*LeafSize + 5, 8 * LeafSize,
	9*LeafSize + 1, 12 * LeafSize, 13*LeafSize - 3, 16 * LeafSize, 33*LeafSize + 7,
}

func TestAgainstReference(t *testing.T) {
	for _, size := range testSizes {
		file := testFile(size)
		for _, pieceSize := range []int{LeafSize, 2 * LeafSize, 4 * LeafSize, 64 * LeafSize} {
			t.Run(fmt.Sprintf("%d in %d", size, pieceSize), func(t *testing.T) {
				want := newReferenceTree(file, pieceSize)
				l := mustLayout(t, int64(size), int64(pieceSize))
				pieces, root := treeOf(l, file)
				if !slices.Equal(pieces, want.pieces) {
					t.Errorf("piece layer %v, want %v", pieces, want.pieces)
				}
				if root != want.root {
					t.Errorf("root %v, want %v", root, want.root)
				}
			})
		}
	}
}

// The root does not depend on the piece size: it is the root over the leaves.
func TestRootIndependentOfPieceSize(t *testing.T) {
	file := testFile(11*LeafSize + 9)
	_, want := treeOf(mustLayout(t, int64(len(file)), LeafSize), file)
	for pieceSize := int64(LeafSize); pieceSize <= 64*LeafSize; pieceSize *= 2 {
		if _, root := treeOf(mustLayout(t, int64(len(file)), pieceSize), file); root != want {
			t.Errorf("piece size %d: root %v, want %v", pieceSize, root, want)
		}
	}
}

// What a buffer holds makes no difference, and a file that ends early is no piece.
func TestHashPieceAt(t *testing.T) {
	file := testFile(21*LeafSize + 9)
	l := mustLayout(t, int64(len(file)), 8*LeafSize)
	for _, room := range []int{LeafSize, LeafSize + 1, 3 * LeafSize, 8 * LeafSize, 9 * LeafSize} {
		for i := range l.Pieces() {
			off, n := l.Piece(i)
			got, err := l.HashPieceAt(i, bytes.NewReader(file), make([]byte, room))
			if want := l.HashPiece(i, file[off:off+n]); err != nil || got != want {
				t.Errorf("piece %d through %d bytes: %v, %v, want %v", i, room, got, err, want)
			}
		}
	}
	if got, err := l.HashPieceAt(2, bytes.NewReader(file[:len(file)-1]), make([]byte, 2*LeafSize)); err != io.EOF {
		t.Errorf("of a file that is too short: %v, %v", got, err)
	}
}

// By hand: one leaf is hashed at its length, three leaves are padded by one zero hash.
func TestByHand(t *testing.T) {
	if _, root := treeOf(mustLayout(t, 3, LeafSize), []byte("abc")); root.String() !=
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("root of abc is %v, not the SHA-256 of FIPS 180-2", root)
	}
	file := testFile(2*LeafSize + 1)
	a, b, c := sha256.Sum256(file[:LeafSize]), sha256.Sum256(file[LeafSize:2*LeafSize]), sha256.Sum256(file[2*LeafSize:])
	ab := sha256.Sum256(slices.Concat(a[:], b[:]))
	c0 := sha256.Sum256(slices.Concat(c[:], make([]byte, HashSize)))
	if _, root := treeOf(mustLayout(t, int64(len(file)), 1<<20), file); root != sha256.Sum256(slices.Concat(ab[:], c0[:])) {
		t.Errorf("root of three leaves is %v", root)
	}
}

func TestLayout(t *testing.T) {
	for _, tt := range []struct {
		size, pieceSize int64
		ok              bool
	}{
		{0, LeafSize, true},
		{-1, LeafSize, false},
		{1, 0, false},
		{1, -LeafSize, false},
		{1, LeafSize / 2, false},
		{1, LeafSize * 3, false},
		{1, 16 << 20, true},
		{1, 32 << 20, false}, // what a reader must hold is decided by somebody else
		{MaxPieces * LeafSize, LeafSize, true},
		{MaxPieces*LeafSize + 1, LeafSize, false},
		{math.MaxInt64, 1 << 43, true},
		{math.MaxInt64, 1 << 42, false},
		{math.MaxInt64, math.MinInt64, false},
	} {
		l, err := NewLayout(tt.size, tt.pieceSize)
		if (err == nil) != tt.ok {
			t.Errorf("NewLayout(%d, %d) = %v", tt.size, tt.pieceSize, err)
		}
		if err != nil {
			continue
		}
		var sum int64
		for i := range min(l.Pieces(), 3) {
			off, n := l.Piece(i)
			if off != sum || n <= 0 || n > l.PieceSize {
				t.Errorf("%+v: piece %d is %d bytes at %d", l, i, n, off)
			}
			sum += n
		}
		if p := l.Pieces(); p > 0 {
			if off, n := l.Piece(p - 1); off+n != tt.size {
				t.Errorf("%+v: last piece ends at %d", l, off+n)
			}
		}
	}
}

func TestDefaultPieceSize(t *testing.T) {
	const TiB = 1 << 40
	for _, tt := range []struct{ size, want int64 }{
		{0, 1 << 20}, {1, 1 << 20}, {TiB, 1 << 20}, {TiB + 1, 2 << 20}, {2 * TiB, 2 << 20}, {3 * TiB, 4 << 20}, {math.MaxInt64, 1 << 43},
	} {
		if got := DefaultPieceSize(tt.size); got != tt.want {
			t.Errorf("DefaultPieceSize(%d) = %d, want %d", tt.size, got, tt.want)
		}
		if _, err := NewLayout(tt.size, DefaultPieceSize(tt.size)); err != nil {
			t.Errorf("NewLayout refuses the default: %v", err)
		}
	}
}

func TestMisuse(t *testing.T) {
	l := mustLayout(t, 3*LeafSize, LeafSize)
	for name, f := range map[string]func(){
		"no such piece":  func() { l.Piece(3) },
		"negative piece": func() { l.Piece(-1) },
		"short data":     func() { l.HashPiece(0, make([]byte, LeafSize-1)) },
		"few pieces":     func() { l.Root(make([]Hash, 2)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func TestBuilder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range testSizes {
		file := testFile(size)
		l := mustLayout(t, int64(size), 4*LeafSize)
		wantPieces, wantRoot := treeOf(l, file)
		for _, step := range []int{1000, LeafSize - 1, LeafSize, LeafSize + 1, 5*LeafSize + 3, 1 << 20} {
			var got []Hash
			b := NewBuilder(l, func(i int, h Hash) {
				if i != len(got) {
					t.Errorf("piece %d emitted after %d", i, len(got))
				}
				got = append(got, h)
			})
			for rest := file; len(rest) > 0; {
				n := min(len(rest), 1+rng.IntN(step))
				if _, err := b.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if _, err := b.Write([]byte{0}); err == nil {
				t.Error("a byte too many was taken")
			}
			root, err := b.Finish()
			if err != nil {
				t.Fatal(err)
			}
			if root != wantRoot || !slices.Equal(got, wantPieces) {
				t.Errorf("size %d, steps up to %d: root %v, want %v", size, step, root, wantRoot)
			}
		}
	}
}

// A piece is emitted as soon as its last byte is written, not with the next byte.
func TestBuilderEmitsEarly(t *testing.T) {
	emitted := 0
	b := NewBuilder(mustLayout(t, 4*LeafSize, 2*LeafSize), func(int, Hash) { emitted++ })
	if _, err := b.Write(make([]byte, 2*LeafSize)); err != nil || emitted != 1 {
		t.Errorf("%d pieces after one (%v)", emitted, err)
	}
	if _, err := b.Finish(); err == nil {
		t.Error("half a file was finished")
	}
}

func TestHashingDoesNotAllocate(t *testing.T) {
	l := mustLayout(t, 64*LeafSize, 16*LeafSize)
	data := make([]byte, l.PieceSize)
	if n := testing.AllocsPerRun(10, func() { l.HashPiece(1, data) }); n != 0 {
		t.Errorf("HashPiece allocates %v times", n)
	}
	hashes := make([]Hash, l.Pieces())
	if n := testing.AllocsPerRun(10, func() { l.Root(hashes) }); n != 0 {
		t.Errorf("Root allocates %v times", n)
	}
	if n := testing.AllocsPerRun(10, func() {
		b := NewBuilder(l, nil)
		for range 4 {
			b.Write(data[:3])
			b.Write(data[3:])
		}
		b.Finish()
	}); n > 1 {
		t.Errorf("Builder allocates %v times, not once", n)
	}
}

func FuzzBuilder(f *testing.F) {
	f.Add([]byte("abc"), uint16(0), uint16(1))
	f.Add(bytes.Repeat([]byte("x"), 40), uint16(3000), uint16(20000))
	f.Fuzz(func(t *testing.T, seed []byte, repeat, step uint16) {
		file := bytes.Repeat(seed, min(int(repeat), 1<<19/max(1, len(seed))))
		want := newReferenceTree(file, 2*LeafSize)
		b := NewBuilder(mustLayout(t, int64(len(file)), 2*LeafSize), nil)
		for chunk := range slices.Chunk(file, max(1, int(step))) {
			if _, err := b.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if root, err := b.Finish(); err != nil || root != want.root {
			t.Fatalf("root %v (%v), want %v", root, err, want.root)
		}
	})
}

func BenchmarkHashPiece(b *testing.B) {
	l := mustLayout(b, 1<<30, 1<<20)
	data := testFile(1 << 20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		l.HashPiece(7, data)
	}
}

func BenchmarkBuilder(b *testing.B) {
	l := mustLayout(b, 1<<20, 1<<20)
	data := testFile(1 << 20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		t := NewBuilder(l, nil)
		t.Write(data)
		t.Finish()
	}
}

// BenchmarkRoot computes the root of a file of 1 GiB from its piece hashes.
func BenchmarkRoot(b *testing.B) {
	l := mustLayout(b, 1<<30, 1<<20)
	pieces := make([]Hash, l.Pieces())
	b.SetBytes(int64(len(pieces)) * HashSize)
	b.ReportAllocs()
	for b.Loop() {
		l.Root(pieces)
	}
}
