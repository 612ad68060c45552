package merkle

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// MediaType is the media type of a tree on the wire.
const MediaType = "application/vnd.chunkget.tree"

// magic begins every tree on the wire; its last byte is the version. The first
// byte is no ASCII, so that no text file passes for a tree.
const magic = "\x89CGTREE\x01"

const headerSize = len(magic) + 8 + 8

// StreamSize returns the length in bytes of the wire form of a tree with the
// layout l.
func StreamSize(l Layout) int64 {
	return HashOffset(l.Pieces() + 1)
}

// HashOffset returns where the hash of piece i stands in the wire form of a tree,
// in bytes from its beginning.
func HashOffset(i int) int64 { return int64(headerSize) + HashSize*int64(i) }

var (
	// ErrFormat is wrapped by what a Decoder returns for bytes that are not a tree.
	ErrFormat = errors.New("not a valid hash tree")

	// ErrRoot is returned by Decoder.Root when the root sent is not the root of
	// the piece hashes sent.
	ErrRoot = errors.New("merkle: the tree's root does not match its piece hashes")
)

// An Encoder writes a tree in its wire form. It writes each item with one call
// of the underlying Writer, so that a server can send pieces as they are known.
type Encoder struct {
	w      io.Writer
	layout Layout
	pieces int // written so far

	// buf is what Write is given, so that nothing is allocated for each piece.
	buf [HashSize]byte
}

// NewEncoder writes the header of a tree with the layout l.
func NewEncoder(w io.Writer, l Layout) (*Encoder, error) {
	header := make([]byte, 0, headerSize)
	header = append(header, magic...)
	header = binary.BigEndian.AppendUint64(header, uint64(l.Size))
	header = binary.BigEndian.AppendUint64(header, uint64(l.PieceSize))
	if _, err := w.Write(header); err != nil {
		return nil, fmt.Errorf("write tree header: %w", err)
	}
	return &Encoder{w: w, layout: l}, nil
}

// WritePiece writes the hash of the next piece.
func (e *Encoder) WritePiece(h Hash) error {
	if e.pieces == e.layout.Pieces() {
		return fmt.Errorf("merkle: more than the %d pieces announced", e.layout.Pieces())
	}
	e.buf = h
	if _, err := e.w.Write(e.buf[:]); err != nil {
		return fmt.Errorf("write tree piece %d: %w", e.pieces, err)
	}
	e.pieces++
	return nil
}

// Finish writes the root, which ends the tree. All pieces must have been written.
func (e *Encoder) Finish(root Hash) error {
	if e.pieces != e.layout.Pieces() {
		return fmt.Errorf("merkle: %d pieces instead of the %d announced", e.pieces, e.layout.Pieces())
	}
	e.buf = root
	if _, err := e.w.Write(e.buf[:]); err != nil {
		return fmt.Errorf("write tree root: %w", err)
	}
	return nil
}

// A Decoder reads a tree in its wire form as it arrives. It uses a small,
// constant amount of memory whatever the header says.
type Decoder struct {
	r      *bufio.Reader
	layout Layout
	layer  stack // the piece hashes read
	buf    [HashSize]byte
}

// NewDecoder reads and checks the header. The Decoder may read more from r than
// it returned so far, but does not wait for it.
func NewDecoder(r io.Reader) (*Decoder, error) {
	d := &Decoder{r: bufio.NewReader(r)}
	var header [headerSize]byte
	if _, err := io.ReadFull(d.r, header[:]); err != nil {
		return nil, fmt.Errorf("read tree header: %w", noEOF(err))
	}
	if string(header[:len(magic)]) != magic {
		return nil, fmt.Errorf("read tree header: %w: starts with %q", ErrFormat, header[:len(magic)])
	}
	size := binary.BigEndian.Uint64(header[len(magic):])
	pieceSize := binary.BigEndian.Uint64(header[len(magic)+8:])
	if size > math.MaxInt64 || pieceSize > math.MaxInt64 {
		return nil, fmt.Errorf("read tree header: %w: size %d, piece size %d", ErrFormat, size, pieceSize)
	}
	l, err := NewLayout(int64(size), int64(pieceSize))
	if err != nil {
		return nil, fmt.Errorf("read tree header: %w: %w", ErrFormat, err)
	}
	d.layout = l
	return d, nil
}

// Layout returns the layout that the header announced.
func (d *Decoder) Layout() Layout { return d.layout }

// Next returns the hash of the next piece, and io.EOF after the last one. A
// stream that ends early gives io.ErrUnexpectedEOF.
func (d *Decoder) Next() (Hash, error) {
	if d.layer.n == uint64(d.layout.Pieces()) {
		return Hash{}, io.EOF
	}
	if _, err := io.ReadFull(d.r, d.buf[:]); err != nil {
		return Hash{}, fmt.Errorf("read tree piece %d: %w", d.layer.n, noEOF(err))
	}
	d.layer.push(d.buf)
	return d.buf, nil
}

// Root reads what is left of the tree, checks that nothing follows it, and
// returns the root. It returns ErrRoot if that is not the root of the piece
// hashes. Call it once.
func (d *Decoder) Root() (Hash, error) {
	for {
		if _, err := d.Next(); err == io.EOF {
			break
		} else if err != nil {
			return Hash{}, err
		}
	}
	if _, err := io.ReadFull(d.r, d.buf[:]); err != nil {
		return Hash{}, fmt.Errorf("read tree root: %w", noEOF(err))
	}
	switch _, err := d.r.ReadByte(); err {
	case io.EOF:
	case nil:
		return Hash{}, fmt.Errorf("read tree root: %w: bytes after its end", ErrFormat)
	default:
		return Hash{}, fmt.Errorf("read end of tree: %w", err)
	}
	if Hash(d.buf) != d.layout.rootOf(&d.layer) {
		return Hash{}, ErrRoot
	}
	return d.buf, nil
}

// noEOF makes an end of input in the middle of a tree an error of its own kind.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
