package serve

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
)

const (
	// maxUploads bounds the uploads that are unfinished or arriving.
	maxUploads = 1024

	// maxFinished bounds the uploads that are remembered as complete, for clients
	// to which the last answer was lost.
	maxFinished = 1024

	// maxUploadPiece bounds the pieces of trees, in bytes, unless the default for
	// the size is larger: what a wrong byte costs.
	maxUploadPiece = 4 << 20
)

// uploadID names the upload of a file with that root to target. It is the same for
// the same file, so that who sends the tree again finds what there is of it.
func uploadID(target string, l merkle.Layout, root merkle.Hash) string {
	h := sha256.New()
	io.WriteString(h, "chunkget upload 1\x00")
	var b []byte
	b = binary.BigEndian.AppendUint64(b, uint64(l.Size))
	b = binary.BigEndian.AppendUint64(b, uint64(l.PieceSize))
	h.Write(append(b, root[:]...))
	io.WriteString(h, target)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// validUploadID reports whether s could be what uploadID returns.
func validUploadID(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}

// treeLayout reads the layout from the beginning of a tree.
func treeLayout(r io.ReaderAt) (merkle.Layout, error) {
	d, err := merkle.NewDecoder(io.NewSectionReader(r, 0, merkle.HashOffset(0)))
	if err != nil {
		return merkle.Layout{}, err
	}
	return d.Layout(), nil
}

// begin takes the tree of the file that is to become target, and returns the
// upload of it, which may have begun earlier. The caller releases it.
func (s *uploads) begin(body io.Reader, target string, now time.Time) (p *partial, begun bool, err error) {
	key := "new-" + randomName()
	name := key + ".tree"
	defer func() {
		// Unless it has become the upload's.
		if rerr := removeIfThere(s.dir, name); rerr != nil {
			s.log.Warn("a tree is left", "name", name, "err", rerr)
		}
		s.quota.release(key)
	}()
	l, root, refused, err := s.receiveTree(name, body, key, now)
	if err != nil {
		return nil, false, err
	}
	id := uploadID(target, l, root)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err = s.acquireLocked(id, target)
	if !errors.Is(err, errNoUpload) {
		return p, false, err
	}
	if refused != nil {
		return nil, false, refused
	}
	// In the place of what is reserved for remains that could not be used.
	if err := s.quota.turn(key, id, costOf(l)); err != nil {
		return nil, false, err
	}
	p, err = s.startLocked(id, target, name, l)
	if err != nil {
		s.quota.release(id)
		return nil, false, err
	}
	return p, true, nil
}

// receiveTree checks a tree and writes it to the file name, which is synced, with
// room reserved for it. Only all of the tree tells whether its upload has begun and
// has its room already. So if there is none for a new one, the tree is read all the
// same and not written, and refused says why.
func (s *uploads) receiveTree(name string, body io.Reader, key string, now time.Time) (l merkle.Layout, root merkle.Hash, refused, err error) {
	d, err := merkle.NewDecoder(body)
	if err != nil {
		return l, root, nil, treeError(err)
	}
	l = d.Layout()
	switch {
	case l.Size > s.o.MaxSize:
		return l, root, nil, errTooLarge
	case l.PieceSize > max(maxUploadPiece, merkle.DefaultPieceSize(l.Size)):
		return l, root, nil, &uploadError{400, fmt.Sprintf("the pieces of the tree are too large; %d bytes is good", merkle.DefaultPieceSize(l.Size))}
	case s.quota.uploads() >= maxUploads:
		refused = errManyPartly
	default:
		refused = s.quota.take(key, blocks(merkle.StreamSize(l)), now)
	}
	if refused != nil {
		root, err = copyTree(io.Discard, d)
		return l, root, refused, err
	}
	f, err := s.dir.Open(name, true)
	if err != nil {
		return l, root, nil, inFolder(err)
	}
	root, err = copyTree(io.NewOffsetWriter(f, 0), d)
	if err == nil {
		err = inFolder(f.Sync())
	}
	return l, root, nil, errors.Join(err, f.Close())
}

// copyTree checks the tree that d reads, and writes it.
func copyTree(to io.Writer, d *merkle.Decoder) (root merkle.Hash, err error) {
	out := bufio.NewWriterSize(to, 64<<10)
	e, err := merkle.NewEncoder(out, d.Layout())
	if err != nil {
		return root, inFolder(err)
	}
	for {
		h, err := d.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return root, treeError(err)
		}
		if err := e.WritePiece(h); err != nil {
			return root, inFolder(err)
		}
	}
	if root, err = d.Root(); err != nil {
		return root, treeError(err)
	}
	return root, inFolder(errors.Join(e.Finish(root), out.Flush()))
}

// treeError is why a tree could not be read.
func treeError(err error) error {
	if errors.Is(err, merkle.ErrFormat) || errors.Is(err, merkle.ErrRoot) {
		return &uploadError{400, "the body is no valid hash tree"}
	}
	return bodyError(err)
}

// startLocked makes the files of a new upload, whose tree has the name tree.
func (s *uploads) startLocked(id, target, tree string, l merkle.Layout) (*partial, error) {
	// A journal that is left vouches for other bytes. It goes first.
	w, err := s.openJournal(id)
	if errors.Is(err, journal.ErrLocked) {
		return nil, errHeld
	}
	if w == nil {
		return nil, inFolder(err)
	}
	p := newPartial(id, target, l)
	p.journal = w
	err = w.Reset(journal.Header{Size: l.Size, PieceSize: l.PieceSize, URL: target})
	if err == nil {
		err = s.dir.Rename(tree, treeName(id))
	}
	if err == nil {
		p.tree, err = s.dir.Open(treeName(id), false)
	}
	// A name that is left may be another one of a file that has got its own: only
	// the name goes, not the bytes.
	if err == nil {
		err = removeIfThere(s.dir, partName(id))
	}
	if err == nil {
		p.part, err = s.dir.Open(partName(id), true)
	}
	if err == nil {
		err = s.dir.Sync()
	}
	if err != nil {
		return nil, errors.Join(inFolder(err), p.close())
	}
	p.refs = 1
	s.open[id] = p
	return p, nil
}

// acquire returns the upload id of the file target, which the caller releases.
func (s *uploads) acquire(id, target string) (*partial, error) {
	if !validUploadID(id) {
		return nil, errNoUpload
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acquireLocked(id, target)
}

// acquireLocked is acquire with mu held, which it stays while files are opened: an
// upload is opened by one request only.
func (s *uploads) acquireLocked(id, target string) (*partial, error) {
	p := s.open[id]
	switch {
	case p == nil:
	case p.target != target || p.abandoned:
		return nil, errNoUpload
	case p.broken.Load() != nil:
		return nil, p.broken.Load() // until the last request has noticed
	default:
		p.refs++
		return p, nil
	}
	p, err := s.load(id, target)
	if err != nil {
		return nil, err
	}
	p.refs = 1
	s.open[id] = p
	return p, nil
}

const (
	lockTries = 10
	lockPause = 10 * time.Millisecond
)

// openJournal is journal.Open for an upload. A process that this one has started
// and that has not come to its own program yet has our open files, and with them
// a lock that we have given up.
func (s *uploads) openJournal(id string) (w *journal.Writer, err error) {
	for range lockTries {
		if w, err = journal.Open(s.dir, journalName(id)); !errors.Is(err, journal.ErrLocked) {
			break
		}
		time.Sleep(lockPause)
	}
	return w, err
}

// load opens an upload that no request is working on. What is incomplete, after a
// crash while it began or ended, is none.
func (s *uploads) load(id, target string) (*partial, error) {
	for _, name := range []string{journalName(id), treeName(id), partName(id)} {
		if there, err := s.dir.Exists(name); err != nil || !there {
			return nil, errors.Join(errNoUpload, inFolder(err))
		}
	}
	w, err := s.openJournal(id)
	switch {
	case errors.Is(err, journal.ErrLocked):
		return nil, errHeld
	case w == nil:
		return nil, inFolder(err)
	case err != nil: // empty or damaged
		return nil, errors.Join(errNoUpload, w.Close())
	}
	p := &partial{journal: w}
	if p.tree, err = s.dir.Open(treeName(id), false); err == nil {
		p.part, err = s.dir.Open(partName(id), false)
	}
	var l merkle.Layout
	if err == nil {
		l, err = treeLayout(p.tree)
	}
	if err != nil {
		return nil, errors.Join(inFolder(err), p.close())
	}
	if h := w.State().Header; h.URL != target || h.Size != l.Size || h.PieceSize != l.PieceSize {
		return nil, errors.Join(errNoUpload, p.close())
	}
	loaded := newPartial(id, target, l)
	loaded.journal, loaded.tree, loaded.part = p.journal, p.tree, p.part
	for i := range w.State().Pieces() {
		loaded.right[i] = true
		loaded.count++
	}
	return loaded, nil
}

// release ends a request's work on p.
func (s *uploads) release(p *partial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.refs--; p.refs > 0 {
		return
	}
	delete(s.open, p.id)
	err := p.close()
	if p.abandoned && !p.isPlaced() {
		for _, name := range []string{journalName(p.id), partName(p.id), treeName(p.id)} {
			err = errors.Join(err, removeIfThere(s.dir, name))
		}
		s.quota.release(p.id)
	} else if !p.isPlaced() {
		// Not the file itself, whose time others will see.
		err = errors.Join(err, s.dir.Touch(journalName(p.id), time.Now()))
	}
	if err != nil {
		s.log.Warn("upload could not be closed", "id", p.id, "err", err)
	}
}

// finish gives the file of p its name if all of it is there, and reports whether it
// has it.
func (s *uploads) finish(p *partial) (bool, error) {
	placed, now, err := p.place(s.dir)
	if !now {
		return placed, err
	}
	s.quota.stored(p.id, blocks(p.layout.Size))
	s.stored.Add(1)
	s.remember(p.id, p.target)
	if cerr := p.clear(s.dir); cerr != nil {
		s.log.Warn("remains of an upload are left", "id", p.id, "err", cerr)
	}
	return true, err
}

// remember takes note that an upload was completed. Others are forgotten when there
// are too many.
func (s *uploads) remember(id, target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.finished) >= maxFinished {
		clear(s.finished)
	}
	s.finished[id] = target
}

// isFinished reports whether it is remembered that the upload was completed, and
// the file is still there.
func (s *uploads) isFinished(id, target string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.finished[id]; !ok || t != target {
		return false
	}
	_, err := s.root.Lstat(target)
	return err == nil
}
