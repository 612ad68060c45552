package fetch

import (
	"fmt"
	"io"
	"sync"

	"github.com/chunkget/chunkget/merkle"
)

// window is the partial file of a download to a writer: the pieces that are in
// memory, found by their offsets. Who hands out what to fetch bounds their number.
// A piece is there from its first byte until it is released; after that nobody may
// write to it.
type window struct {
	layout merkle.Layout

	mu     sync.Mutex
	pieces map[int][]byte // guarded by mu; the bytes are not
	free   [][]byte       // guarded by mu; for further pieces
}

func newWindow(l merkle.Layout) *window {
	return &window{layout: l, pieces: make(map[int][]byte)}
}

// at returns the piece that holds the byte at off, from there on; nil if it is not
// there and is not to be made.
func (w *window) at(off int64, create bool) []byte {
	if off < 0 || off >= w.layout.Size {
		return nil
	}
	i := int(off / w.layout.PieceSize)
	start, n := w.layout.Piece(i)
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.pieces[i]
	if b == nil && create {
		if k := len(w.free); k > 0 {
			b, w.free = w.free[k-1][:n], w.free[:k-1]
		} else {
			b = make([]byte, n, min(w.layout.PieceSize, w.layout.Size))
		}
		w.pieces[i] = b
	}
	if b == nil {
		return nil
	}
	return b[off-start:]
}

// piece returns piece i.
func (w *window) piece(i int) []byte {
	off, _ := w.layout.Piece(i)
	return w.at(off, false)
}

// release gives up piece i, whose memory is for others.
func (w *window) release(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = append(w.free, w.pieces[i])
	delete(w.pieces, i)
}

// WriteAt implements journal.File.
func (w *window) WriteAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		to := w.at(off+int64(n), true)
		if to == nil {
			return n, fmt.Errorf("write at %d of %d bytes: %w", off, w.layout.Size, io.ErrShortWrite)
		}
		n += copy(to, p[n:])
	}
	return n, nil
}

// ReadAt implements journal.File. Bytes that are not there are the end of it.
func (w *window) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		from := w.at(off+int64(n), false)
		if from == nil {
			return n, io.EOF
		}
		n += copy(p[n:], from)
	}
	return n, nil
}

// The other methods of journal.File are for partial files on disk.

func (w *window) Close() error                               { return nil }
func (w *window) Sync() error                                { return nil }
func (w *window) Truncate(int64) error                       { return nil }
func (w *window) Size() (int64, error)                       { return w.layout.Size, nil }
func (w *window) NextData(int64) (start, end int64, _ error) { return 0, 0, io.EOF }
