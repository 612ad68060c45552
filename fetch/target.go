package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

const (
	partSuffix    = ".part"
	journalSuffix = ".part.journal"
	badSuffix     = ".bad" // a file whose digest is wrong
)

// target is where a download goes: the final name, the partial file and the
// journal. It is owned by Get; while the loop runs, the journal belongs to the
// committer and the partial file may be read and written by all.
type target struct {
	dir      journal.Dir
	closeDir func() error
	path     string // of the finished file, for people
	name     string // of the finished file in dir

	part    journal.File
	writes  sync.Mutex // see writeAt
	journal *journal.Writer
	damage  error // why the journal on disk could not be read, nil if it could
	hadPart bool  // there was a partial file with data

	// resumable is true when the journal, or a tree that the server offers,
	// lets another run use what is in the partial file.
	resumable bool
}

// place resolves Options.Dir and Options.Output to a directory and a name. The
// name is "" when the server or the URL has to give it.
func place(o *Options) (dir, name string, err error) {
	dir = o.Dir
	if dir == "" {
		dir = "."
	}
	if o.Output == "" {
		return dir, "", nil
	}
	p := o.Output
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	name = filepath.Base(p)
	if os.IsPathSeparator(o.Output[len(o.Output)-1]) || name == "." || name == ".." || name == string(filepath.Separator) {
		return "", "", errorf(KindUsage, "choose file", "%q is not the name of a file", o.Output).
			withHint("name a file, or name a directory as Dir")
	}
	return filepath.Dir(p), name, nil
}

// openDir opens a directory of the file system.
func openDir(path string) (journal.Dir, func() error, error) {
	d, err := journal.OpenDir(path)
	if err != nil {
		return nil, nil, err
	}
	return d, d.Close, nil
}

// openTarget opens the directory that the file name goes to. Nothing is made there
// before open. The caller leaves it.
func (o *Options) openTarget(dirPath, name string) (*target, error) {
	dir, closeDir, err := o.openDir(dirPath)
	if err != nil {
		return nil, diskError("open directory", err)
	}
	return &target{dir: dir, closeDir: closeDir, path: filepath.Join(dirPath, name), name: name}, nil
}

// leave closes all that is open, the directory too, at the end of a run with the
// result err.
func (t *target) leave(err error) error {
	if cerr := errors.Join(t.close(), t.closeDir()); cerr != nil && err == nil {
		return diskError("close", cerr)
	}
	return err
}

// checkFree fails when the finished file is there and may not be replaced.
func (t *target) checkFree(overwrite bool) error {
	found, err := t.dir.Exists(t.name)
	if err != nil {
		return diskError("look for "+t.path, err)
	}
	if found && !overwrite {
		return errorf(KindDisk, "choose file", "%s: %w", t.path, fs.ErrExist).
			withHint("remove it, choose another name, or allow overwriting")
	}
	return nil
}

// hasJournal reports whether an earlier run left a journal.
func (t *target) hasJournal() bool {
	found, err := t.dir.Exists(t.name + journalSuffix)
	return err == nil && found
}

// open opens and locks journal and partial file, making them if need be.
func (t *target) open() error {
	j, err := journal.Open(t.dir, t.name+journalSuffix)
	switch {
	case errors.Is(err, journal.ErrLocked):
		return errorf(KindDisk, "open journal", "%s is being downloaded by another process: %w", t.path, err)
	case errors.Is(err, journal.ErrDamaged):
		t.damage = err
	case err != nil && !errors.Is(err, journal.ErrEmpty):
		return diskError("open journal of "+t.path, err)
	}
	t.journal = j
	t.part, err = t.dir.Open(t.name+partSuffix, true)
	if err != nil {
		return errors.Join(diskError("open partial file", err), t.close())
	}
	size, err := t.part.Size()
	if err != nil {
		return errors.Join(diskError("open partial file", err), t.close())
	}
	t.hadPart = size > 0
	t.resumable = t.state() != nil && t.state().Header.ETag != ""
	return nil
}

// writeAt writes to the partial file. Kernels let one write to a file at a time
// anyway, and those who wait for it there do so on a processor of their own.
func (t *target) writeAt(p []byte, off int64) error {
	t.writes.Lock()
	defer t.writes.Unlock()
	_, err := t.part.WriteAt(p, off)
	return err
}

// opened reports whether open has been called with success.
func (t *target) opened() bool { return t.part != nil }

// state returns what the journal said, nil if it said nothing.
func (t *target) state() *journal.State {
	if t.journal == nil {
		return nil
	}
	return t.journal.State()
}

// close closes what is open. Files stay.
func (t *target) close() error {
	var errs []error
	if t.part != nil {
		errs = append(errs, t.part.Close())
	}
	if t.journal != nil {
		errs = append(errs, t.journal.Close())
	}
	t.part, t.journal = nil, nil
	return errors.Join(errs...)
}

// publish gives the finished file its name and removes the journal.
func (t *target) publish(overwrite bool) error {
	if err := t.part.Sync(); err != nil {
		return diskError("sync "+t.path, err)
	}
	if err := t.dir.Publish(t.name+partSuffix, t.name, overwrite); err != nil {
		return diskError("rename partial file to "+t.path, err)
	}
	// The journal goes only after the new name is durable: until then the
	// partial file may come back.
	if err := t.dir.Sync(); err != nil {
		return diskError("sync directory", err)
	}
	err := errors.Join(t.part.Close(), t.journal.Remove(), t.dir.Sync())
	t.part, t.journal = nil, nil
	if err != nil {
		return diskError("remove journal", err)
	}
	return nil
}

// quarantine keeps a file with a wrong digest under another name and returns
// that.
func (t *target) quarantine() (string, error) {
	err := errors.Join(
		t.dir.Rename(t.name+partSuffix, t.name+badSuffix),
		t.part.Close(), t.journal.Remove(), t.dir.Sync())
	t.part, t.journal = nil, nil
	return t.path + badSuffix, err
}

// dataPieces returns the pieces of the partial file all of whose bytes may
// have been written: those without a hole.
func (t *target) dataPieces(l merkle.Layout) ([]int, error) {
	var data segment.Set
	size, err := t.part.Size()
	if err != nil {
		return nil, fmt.Errorf("look for data: %w", err)
	}
	for off := int64(0); off < min(size, l.Size); {
		start, end, err := t.part.NextData(off)
		if err != nil {
			break // the end of the data, or a file system that cannot tell
		}
		data.Add(segment.Range{Start: start, End: end})
		off = max(end, off+1)
	}
	var pieces []int
	for i := range l.Pieces() {
		off, n := l.Piece(i)
		if data.Contains(segment.Range{Start: off, End: off + n}) {
			pieces = append(pieces, i)
		}
	}
	return pieces, nil
}
