package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// compactBytes is the length above which a journal is rewritten when that
// makes it at most a quarter as long.
const compactBytes = 1 << 20

// ErrEmpty is returned by Open and Read for a journal that holds nothing, as a new one.
var ErrEmpty = errors.New("empty journal")

// A Writer appends to a journal and holds its lock. It is owned by one
// goroutine at a time.
//
// After a failed write or sync the Writer fails for good: what a file system
// kept of an unsuccessful sync cannot be known, and a later sync that succeeds
// says nothing about it.
type Writer struct {
	dir  Dir
	name string
	f    File

	state *State // what the journal says, nil if it is empty or damaged
	crc   uint32 // checksum of the last record or of the header
	err   error  // the failure that ended writing
}

// Open opens and locks the journal of that name, which it makes if there is
// none, replays it, and cuts off a torn tail.
//
// With an error that is ErrEmpty or wraps ErrDamaged the Writer is returned
// all the same, and only Reset, Clear, Close and Remove may be called. ErrLocked means that
// another process is writing it.
func Open(dir Dir, name string) (*Writer, error) {
	f, err := dir.OpenLocked(name)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	w := &Writer{dir: dir, name: name, f: f}
	// A crash during a rewrite leaves the new file behind; under the lock it is
	// nobody's.
	if err := dir.Remove(w.newName()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), f.Close())
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), f.Close())
	}
	if size == 0 {
		return w, ErrEmpty
	}
	s, crc, err := replay(f, size)
	if errors.Is(err, ErrDamaged) {
		return w, err
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w.state, w.crc = s, crc
	if s.TornBytes > 0 {
		if err := f.Truncate(s.GoodBytes); err != nil {
			return nil, errors.Join(fmt.Errorf("cut journal: %w", err), f.Close())
		}
	}
	return w, nil
}

// State returns what the journal says, which is nil before the first Reset of
// an empty or damaged one, and after Clear. It is valid until the next call of a method.
func (w *Writer) State() *State { return w.state }

// Reset replaces the journal by one without records.
func (w *Writer) Reset(h Header) error {
	if err := h.validate(); err != nil {
		return fmt.Errorf("new journal: %w", err)
	}
	return w.rewrite(newState(h))
}

// Clear empties the journal, of data that no other run can go on with. When it returns
// that is durable, so the data may be written over.
func (w *Writer) Clear() error {
	if w.err != nil {
		return w.err
	}
	if err := w.f.Truncate(0); err != nil {
		return w.fail("clear journal", err)
	}
	if err := w.f.Sync(); err != nil {
		return w.fail("sync journal", err)
	}
	w.state, w.crc = nil, 0
	return nil
}

// Forget removes pieces from the journal, because they are no longer on disk
// as they were recorded, and the root of the tree if that turned out wrong.
func (w *Writer) Forget(pieces []int, root bool) error {
	s := w.state
	if root {
		s.Root, s.HasRoot = Digest{}, false
	}
	for _, i := range pieces {
		s.clear(i)
	}
	return w.rewrite(s)
}

// A PieceDigest is a piece with the SHA-256 of its bytes.
type PieceDigest struct {
	Piece int
	Sum   Digest
}

// A Batch is what one Commit records.
type Batch struct {
	Expected string        // see State; "" if not new
	Root     *Digest       // root of the hash tree, nil if not new
	Verified []int         // pieces that match the hash tree
	Digests  []PieceDigest // pieces that no tree vouches for
}

// Empty reports whether there is nothing to record.
func (b *Batch) Empty() bool {
	return b.Expected == "" && b.Root == nil && len(b.Verified) == 0 && len(b.Digests) == 0
}

// Commit makes data durable, then appends the batch, then makes the journal
// durable. What the batch names must have been written to data before the call.
func (w *Writer) Commit(data Syncer, b Batch) error {
	if w.err != nil {
		return w.err
	}
	if b.Empty() {
		return nil
	}
	if err := data.Sync(); err != nil {
		return w.fail("sync data", err)
	}
	var out []byte
	crc := w.crc
	for kind, payload := range payloads(&b) {
		if err := w.state.apply(kind, payload); err != nil {
			panic("BUG: journal: " + err.Error())
		}
		out, crc = appendRecord(out, crc, kind, payload)
		w.state.Records++
	}
	if _, err := w.f.WriteAt(out, w.state.GoodBytes); err != nil {
		return w.fail("append to journal", err)
	}
	if err := w.f.Sync(); err != nil {
		return w.fail("sync journal", err)
	}
	w.crc = crc
	w.state.GoodBytes += int64(len(out))
	if w.state.GoodBytes > compactBytes {
		return w.compact()
	}
	return nil
}

// Close releases the lock. The journal stays.
func (w *Writer) Close() error { return w.f.Close() }

// Remove deletes the journal and closes it.
func (w *Writer) Remove() error {
	return errors.Join(w.dir.Remove(w.name), w.f.Close())
}

// newName is the name under which a rewritten journal is made.
func (w *Writer) newName() string { return w.name + ".new" }

func (w *Writer) fail(op string, err error) error {
	w.err = fmt.Errorf("%s: %w", op, err)
	return w.err
}

// compact rewrites the journal when that is worth it.
func (w *Writer) compact() error {
	if snapshotSize(w.state) > w.state.GoodBytes/4 {
		return nil
	}
	return w.rewrite(w.state)
}

// rewrite writes s to a new file and puts that in the place of the journal. At
// every moment the name stands for the old or for the new journal, whole, and
// both are locked.
func (w *Writer) rewrite(s *State) error {
	if w.err != nil {
		return w.err
	}
	tmp := w.newName()
	f, err := w.dir.OpenLocked(tmp)
	if err != nil {
		return w.fail("rewrite journal", err)
	}
	out, crc := appendHeader(nil, s.Header)
	s.Records = 0
	b := snapshot(s)
	for kind, payload := range payloads(&b) {
		out, crc = appendRecord(out, crc, kind, payload)
		s.Records++
	}
	write := func() error {
		if err := f.Truncate(0); err != nil {
			return err
		}
		if _, err := f.WriteAt(out, 0); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := w.dir.Rename(tmp, w.name); err != nil {
			return err
		}
		return w.dir.Sync()
	}
	if err := write(); err != nil {
		f.Close()
		w.dir.Remove(tmp) // if it fails too, the next Open does it
		return w.fail("rewrite journal", err)
	}
	w.f.Close() // nothing is unsaved in it
	s.GoodBytes, s.TornBytes, s.TornWhy = int64(len(out)), 0, ""
	w.f, w.state, w.crc = f, s, crc
	return nil
}

// snapshot returns the batch that makes s out of an empty state.
func snapshot(s *State) Batch {
	b := Batch{Expected: s.Expected}
	if s.HasRoot {
		b.Root = &s.Root
	}
	for i := range s.Pieces() {
		if _, ok := s.digests[i]; !ok {
			b.Verified = append(b.Verified, i)
		}
	}
	for _, i := range slices.Sorted(maps.Keys(s.digests)) {
		b.Digests = append(b.Digests, PieceDigest{i, s.digests[i]})
	}
	return b
}

// snapshotSize returns about the length of a rewritten journal, in bytes.
func snapshotSize(s *State) int64 {
	runs := 0
	for range s.Runs() {
		runs++
	}
	return int64(fixedHeader + len(s.Header.ETag) + len(s.Header.URL) + len(s.Expected) + runs*runSize +
		len(s.digests)*(DigestSize+1))
}

// payloads yields the records of a batch: runs and digests in ascending order
// and in as few records as their bound allows.
func payloads(b *Batch) func(yield func(byte, []byte) bool) {
	return func(yield func(byte, []byte) bool) {
		if b.Expected != "" && !yield(recordExpected, []byte(b.Expected)) {
			return
		}
		if b.Root != nil && !yield(recordRoot, b.Root[:]) {
			return
		}
		var p []byte
		verified := slices.Sorted(slices.Values(b.Verified))
		for len(verified) > 0 {
			n := 1
			for n < len(verified) && verified[n] <= verified[n-1]+1 {
				n++
			}
			p = binary.BigEndian.AppendUint32(p, uint32(verified[0]))
			p = binary.BigEndian.AppendUint32(p, uint32(verified[n-1]-verified[0]+1))
			verified = verified[n:]
			if len(p)+runSize > maxPayload || len(verified) == 0 {
				if !yield(recordVerified, p) {
					return
				}
				p = p[:0]
			}
		}
		const most = (maxPayload - runSize) / DigestSize
		digests := slices.SortedFunc(slices.Values(b.Digests), func(x, y PieceDigest) int { return x.Piece - y.Piece })
		for len(digests) > 0 {
			n := 1
			for n < len(digests) && n < most && digests[n].Piece == digests[n-1].Piece+1 {
				n++
			}
			p = binary.BigEndian.AppendUint32(p[:0], uint32(digests[0].Piece))
			p = binary.BigEndian.AppendUint32(p, uint32(n))
			for _, d := range digests[:n] {
				p = append(p, d.Sum[:]...)
			}
			digests = digests[n:]
			if !yield(recordDigests, p) {
				return
			}
		}
	}
}
