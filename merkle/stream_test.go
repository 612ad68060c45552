package merkle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

func encode(t testing.TB, l Layout, pieces []Hash, root Hash) []byte {
	t.Helper()
	var buf bytes.Buffer
	e, err := NewEncoder(&buf, l)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range pieces {
		if err := e.WritePiece(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Finish(root); err != nil {
		t.Fatal(err)
	}
	if int64(buf.Len()) != StreamSize(l) {
		t.Errorf("%d bytes, StreamSize says %d", buf.Len(), StreamSize(l))
	}
	return buf.Bytes()
}

func decode(r io.Reader) (Layout, []Hash, Hash, error) {
	d, err := NewDecoder(r)
	if err != nil {
		return Layout{}, nil, Hash{}, err
	}
	var pieces []Hash
	for {
		h, err := d.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Layout{}, nil, Hash{}, err
		}
		pieces = append(pieces, h)
	}
	root, err := d.Root()
	return d.Layout(), pieces, root, err
}

func TestStreamRoundTrip(t *testing.T) {
	for _, size := range testSizes {
		l := mustLayout(t, int64(size), 2*LeafSize)
		pieces, root := treeOf(l, testFile(size))
		wire := encode(t, l, pieces, root)
		gotL, gotPieces, gotRoot, err := decode(iotest.OneByteReader(bytes.NewReader(wire)))
		if err != nil || gotL != l || !slices.Equal(gotPieces, pieces) || gotRoot != root {
			t.Errorf("size %d: decoded %+v, %d pieces, root %v, %v", size, gotL, len(gotPieces), gotRoot, err)
		}
	}
}

// The bytes of one small tree, written out, so that the format cannot drift.
func TestStreamBytes(t *testing.T) {
	l := mustLayout(t, LeafSize+1, LeafSize)
	pieces, root := []Hash{{1}, {2}}, Hash{3}
	want := slices.Concat(
		[]byte("\x89CGTREE\x01"),
		[]byte{0, 0, 0, 0, 0, 0, 0x40, 1},
		[]byte{0, 0, 0, 0, 0, 0, 0x40, 0},
		append([]byte{1}, make([]byte, 31)...),
		append([]byte{2}, make([]byte, 31)...),
		append([]byte{3}, make([]byte, 31)...),
	)
	if got := encode(t, l, pieces, root); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// Every prefix of a tree is an unexpected end, never an end or another error.
func TestStreamTruncated(t *testing.T) {
	l := mustLayout(t, 5*LeafSize, 2*LeafSize)
	pieces, root := treeOf(l, testFile(5*LeafSize))
	wire := encode(t, l, pieces, root)
	for n := range wire {
		if _, _, _, err := decode(bytes.NewReader(wire[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", n, len(wire), err)
		}
	}
}

func TestStreamDamaged(t *testing.T) {
	l := mustLayout(t, 5*LeafSize, 2*LeafSize)
	pieces, root := treeOf(l, testFile(5*LeafSize))
	wire := encode(t, l, pieces, root)
	change := func(at int, to byte) []byte {
		b := slices.Clone(wire)
		b[at] = to
		return b
	}
	size := func(size, pieceSize uint64) []byte {
		b := slices.Clone(wire)
		binary.BigEndian.PutUint64(b[8:], size)
		binary.BigEndian.PutUint64(b[16:], pieceSize)
		return b
	}
	for name, tt := range map[string]struct {
		wire []byte
		want error
	}{
		"magic":           {change(0, 'x'), ErrFormat},
		"version":         {change(7, 2), ErrFormat},
		"negative size":   {size(1<<63, LeafSize), ErrFormat},
		"piece size":      {size(5*LeafSize, 3*LeafSize), ErrFormat},
		"huge piece size": {size(5*LeafSize, 1<<62), ErrFormat},
		"negative piece":  {size(5*LeafSize, 1<<63), ErrFormat},
		"too many pieces": {size(1<<50, LeafSize), ErrFormat},
		"piece hash":      {change(24+32+5, wire[24+32+5]^1), ErrRoot},
		"root":            {change(len(wire)-1, wire[len(wire)-1]^1), ErrRoot},
		"trailing byte":   {append(slices.Clone(wire), 0), ErrFormat},
	} {
		if _, _, _, err := decode(bytes.NewReader(tt.wire)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	failed := errors.New("reset")
	if _, _, _, err := decode(io.MultiReader(bytes.NewReader(wire), iotest.ErrReader(failed))); !errors.Is(err, failed) {
		t.Errorf("error at the end: %v", err)
	}
}

// Root may be called at any time: it reads what Next was not asked for.
func TestRootReadsTheRest(t *testing.T) {
	l := mustLayout(t, 5*LeafSize, LeafSize)
	pieces, root := treeOf(l, testFile(5*LeafSize))
	d, err := NewDecoder(bytes.NewReader(encode(t, l, pieces, root)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Next(); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Root(); err != nil || got != root {
		t.Errorf("root %v, %v", got, err)
	}
}

func TestEncoderCounts(t *testing.T) {
	e, err := NewEncoder(io.Discard, mustLayout(t, 2*LeafSize, LeafSize))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Finish(Hash{}); err == nil {
		t.Error("finished without pieces")
	}
	for range 2 {
		if err := e.WritePiece(Hash{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.WritePiece(Hash{}); err == nil {
		t.Error("took a piece too many")
	}
}

func FuzzDecoder(f *testing.F) {
	for _, size := range []int{0, 1, 3 * LeafSize, 9*LeafSize + 1} {
		l := mustLayout(f, int64(size), 2*LeafSize)
		pieces, root := treeOf(l, testFile(size))
		f.Add(encode(f, l, pieces, root))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		l, pieces, root, err := decode(bytes.NewReader(wire))
		if err != nil {
			return
		}
		if l.Root(pieces) != root {
			t.Errorf("accepted a tree whose root is not %v", root)
		}
		if again := encode(t, l, pieces, root); !bytes.Equal(again, wire) {
			t.Errorf("decodes from %x, encodes to %x", wire, again)
		}
	})
}

// BenchmarkDecoder reads and checks the tree of a file of 1 GiB.
func BenchmarkDecoder(b *testing.B) {
	l := mustLayout(b, 1<<30, 1<<20)
	pieces := make([]Hash, l.Pieces())
	tree := encode(b, l, pieces, l.Root(pieces))
	b.SetBytes(int64(len(tree)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := NewDecoder(bytes.NewReader(tree))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := d.Root(); err != nil {
			b.Fatal(err)
		}
	}
}
