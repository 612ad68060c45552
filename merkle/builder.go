package merkle

import "fmt"

// A Builder computes the tree of a file that is written to it from beginning to
// end, in writes of any length. It allocates nothing after NewBuilder and must
// not be used by several goroutines at a time.
type Builder struct {
	layout Layout
	emit   func(i int, h Hash)

	written int64 // bytes of the file seen
	piece   stack // leaves of the current piece
	layer   stack // nodes of the pieces before it

	// buf holds the beginning of a leaf that a Write left incomplete.
	buf  [LeafSize]byte
	held int // bytes in buf, less than LeafSize
}

// NewBuilder returns a Builder for a file of the given layout. It calls emit,
// unless that is nil, with each piece hash as soon as the piece is complete, in
// order, from within Write or Finish.
func NewBuilder(l Layout, emit func(i int, h Hash)) *Builder {
	return &Builder{layout: l, emit: emit}
}

// Write adds the next bytes of the file. It fails, taking nothing, if they go
// beyond the size of the layout.
func (b *Builder) Write(p []byte) (int, error) {
	if int64(len(p)) > b.layout.Size-b.written {
		return 0, fmt.Errorf("merkle: more than the %d bytes announced", b.layout.Size)
	}
	total := len(p)
	for len(p) > 0 {
		var n int
		if b.held > 0 || len(p) < LeafSize {
			n = copy(b.buf[b.held:], p)
			b.held += n
			if b.held == LeafSize {
				b.piece.leaves(b.buf[:])
				b.held = 0
			}
		} else {
			// Whole leaves, as far as the current piece goes.
			n = len(p) - len(p)%LeafSize
			n = int(min(int64(n), b.layout.PieceSize-b.written%b.layout.PieceSize))
			b.piece.leaves(p[:n])
		}
		p = p[n:]
		b.written += int64(n)
		if b.written%b.layout.PieceSize == 0 {
			b.endPiece()
		}
	}
	return total, nil
}

// Finish ends the file and returns its root. It fails if fewer bytes were
// written than the layout has.
func (b *Builder) Finish() (Hash, error) {
	if b.written != b.layout.Size {
		return Hash{}, fmt.Errorf("merkle: %d bytes instead of the %d announced", b.written, b.layout.Size)
	}
	if b.held > 0 {
		b.piece.leaves(b.buf[:b.held])
		b.held = 0
	}
	if b.piece.n > 0 {
		b.endPiece()
	}
	return b.layout.rootOf(&b.layer), nil
}

func (b *Builder) endPiece() {
	h := b.piece.root(0, b.layout.pieceHeight())
	i := int(b.layer.n)
	b.piece.n = 0
	b.layer.push(h)
	if b.emit != nil {
		b.emit(i, h)
	}
}
