package serve

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
)

// Ownership of a partial upload.
//
//   - uploads.mu guards refs and abandoned. Whoever takes the last reference away
//     closes the files.
//   - committing is held while the journal is written and while the file is given
//     its name. It guards what is said to be so.
//   - mu guards which piece is right and which request receives which piece. Nobody
//     reads or writes with it held, but who takes a piece over waits with it for
//     the write that the earlier request is at.
//   - A request that receives a piece owns the bytes of the piece in the file until
//     the piece is right, the request ends, or a later request takes the piece: the
//     earlier one may be a connection that is dead without anybody knowing. Its
//     receiver's mu is held during each write, so none comes after that.

// What is right is recorded at the end of a request, and before that whenever it
// has brought commitBytes bytes or commitEvery is over: that much is sent again
// after the death of the server.
const (
	commitBytes = 32 << 20
	commitEvery = time.Second
)

// partial is an upload in parts that requests are working on.
type partial struct {
	id     string
	target string // name inside the root
	layout merkle.Layout
	part   journal.File
	tree   journal.File // as package merkle writes it; its root has been checked

	refs      int  // guarded by uploads.mu
	abandoned bool // guarded by uploads.mu; it is removed after the last request

	committing sync.Mutex
	journal    *journal.Writer             // guarded by committing; nil once the file is in its place
	failed     error                       // guarded by committing; why nothing more is recorded
	broken     atomic.Pointer[uploadError] // what is told of failed, nil as long as that is

	mu      sync.Mutex
	right   []bool            // by piece; guarded by mu
	count   int               // pieces that are right; guarded by mu
	pending []int             // those that are not recorded; guarded by mu
	owners  map[int]*receiver // of pieces that are being received; guarded by mu
	placed  bool              // guarded by mu
}

func newPartial(id, target string, l merkle.Layout) *partial {
	return &partial{id: id, target: target, layout: l, right: make([]bool, l.Pieces()), owners: make(map[int]*receiver)}
}

// names of its files.
func partName(id string) string    { return id + ".part" }
func treeName(id string) string    { return id + ".tree" }
func journalName(id string) string { return id + ".journal" }

// A receiver is a request that brings pieces.
type receiver struct {
	mu   sync.Mutex
	lost bool // its piece was taken over; guarded by mu
}

// claim makes r the owner of piece i. It reports false if the piece is right.
func (p *partial) claim(i int, r *receiver) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.right[i] {
		return false
	}
	if old := p.owners[i]; old != nil && old != r {
		old.mu.Lock()
		old.lost = true
		old.mu.Unlock()
	}
	p.owners[i] = r
	return true
}

// settle ends the ownership of piece i, which is right or not, and reports whether
// r had it until now.
func (p *partial) settle(i int, r *receiver, right bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owners[i] != r {
		return false
	}
	delete(p.owners, i)
	if right {
		p.right[i] = true
		p.count++
		p.pending = append(p.pending, i)
	}
	return true
}

// write puts b where it belongs unless r has lost its piece.
func (p *partial) write(r *receiver, b []byte, off int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost {
		return errSuperseded
	}
	_, err := p.part.WriteAt(b, off)
	return inFolder(err)
}

// receive reads piece i from body, writes it, and reports whether it is right.
// buf has whole leaves. The piece is owned by r.
func (p *partial) receive(body io.Reader, i int, r *receiver, buf []byte) (right bool, err error) {
	defer func() {
		if !p.settle(i, r, right && err == nil) && err == nil {
			right, err = false, errSuperseded
		}
	}()
	var want merkle.Hash
	if _, err := p.tree.ReadAt(want[:], merkle.HashOffset(i)); err != nil {
		return false, inFolder(err)
	}
	off, n := p.layout.Piece(i)
	leaves := make([]merkle.Hash, 0, p.layout.Leaves(i))
	for end := off + n; off < end; {
		b := buf[:min(int64(len(buf)), end-off)]
		if _, err := io.ReadFull(body, b); err != nil {
			return false, bodyError(err)
		}
		if err := p.write(r, b, off); err != nil {
			return false, err
		}
		leaves = merkle.AppendLeaves(leaves, b)
		off += int64(len(b))
	}
	return p.layout.FromLeaves(i, leaves) == want, nil
}

// commit records what is right. When it returns nil, all that was right before the
// call is safely on disk.
func (p *partial) commit() error {
	p.committing.Lock()
	defer p.committing.Unlock()
	return p.commitLocked()
}

func (p *partial) commitLocked() error {
	if p.failed != nil {
		return p.failed
	}
	p.mu.Lock()
	batch := p.pending
	p.pending = nil
	p.mu.Unlock()
	if p.journal == nil || len(batch) == 0 {
		return nil
	}
	if err := p.journal.Commit(p.part, journal.Batch{Verified: batch}); err != nil {
		// What of it is on disk is for the journal to say when it is opened again.
		p.failed = inFolder(err)
		p.broken.Store(toldOf(p.failed))
	}
	return p.failed
}

// complete reports whether every piece is right.
func (p *partial) complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count == len(p.right)
}

// isPlaced reports whether the file has its name.
func (p *partial) isPlaced() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.placed
}

// place gives the file its name if every piece is right and recorded. It reports
// whether the file has its name, and whether it has got it now; if so, an error says
// that it may lose it with the power.
func (p *partial) place(dir uploadDir) (placed, now bool, err error) {
	p.committing.Lock()
	defer p.committing.Unlock()
	if p.isPlaced() {
		return true, false, nil
	}
	if !p.complete() {
		return false, false, nil
	}
	if err := p.commitLocked(); err != nil {
		return false, false, err
	}
	placed, err = dir.Place(partName(p.id), p.target)
	p.mu.Lock()
	p.placed = placed
	p.mu.Unlock()
	return placed, placed, err
}

// clear leaves nothing but the file, which has its name. The old name goes first, as
// long as the journal says of what it is.
func (p *partial) clear(dir uploadDir) error {
	p.committing.Lock()
	defer p.committing.Unlock()
	err := removeIfThere(dir, partName(p.id))
	err = errors.Join(err, p.journal.Remove(), dir.Remove(treeName(p.id)), dir.Sync())
	p.journal = nil
	return err
}

// close releases the files that are open.
func (p *partial) close() (err error) {
	p.committing.Lock()
	defer p.committing.Unlock()
	if p.journal != nil {
		err = p.journal.Close()
	}
	for _, f := range []journal.File{p.part, p.tree} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// pieceRuns returns the first and the last piece of each run of pieces that are
// right, no more than most of them, in order.
func (p *partial) pieceRuns(most int) (runs [][2]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, right := range p.right {
		switch {
		case !right:
		case len(runs) > 0 && runs[len(runs)-1][1] == i-1:
			runs[len(runs)-1][1] = i
		case len(runs) == most:
			return runs
		default:
			runs = append(runs, [2]int{i, i})
		}
	}
	return runs
}
