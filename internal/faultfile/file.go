package faultfile

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// File is an open file of a Dir.
type File struct {
	dir    *Dir
	n      *inode
	name   string
	holds  bool // the lock
	closed bool
}

func (f *File) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// ReadAt implements journal.File.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	switch {
	case f.closed:
		return 0, f.fail("read", fs.ErrClosed)
	case off >= f.n.data.size:
		return 0, io.EOF
	}
	n := f.n.data.readAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements journal.File.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if f.closed {
		return 0, f.fail("write", fs.ErrClosed)
	}
	if err := f.dir.operation(); err != nil {
		return 0, f.fail("write", err)
	}
	var full error
	if f.dir.space >= 0 {
		if int64(len(p)) > f.dir.space {
			p = p[:f.dir.space]
			full = f.fail("write", syscall.ENOSPC)
		}
		f.dir.space -= int64(len(p))
	}
	if len(p) > 0 {
		own := slices.Clone(p)
		f.n.data.write(off, own)
		f.n.pending = append(f.n.pending, write{off, own})
	}
	return len(p), full
}

// Truncate implements journal.File. It takes no space, as with sparse files.
func (f *File) Truncate(size int64) error {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if f.closed {
		return f.fail("truncate", fs.ErrClosed)
	}
	if err := f.dir.operation(); err != nil {
		return f.fail("truncate", err)
	}
	f.n.data.resize(size)
	f.n.pending = append(f.n.pending, write{off: size})
	return nil
}

// Sync implements journal.File.
func (f *File) Sync() error {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if f.closed {
		return f.fail("sync", fs.ErrClosed)
	}
	if err := f.dir.operation(); err != nil {
		return f.fail("sync", err)
	}
	f.n.durable = f.n.data.clone()
	f.n.pending = nil
	return nil
}

// Size implements journal.File.
func (f *File) Size() (int64, error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	return f.n.data.size, nil
}

// NextData implements journal.File. A sector of zeros counts as a hole.
func (f *File) NextData(off int64) (start, end int64, err error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	size := f.n.data.size
	for off < size && f.n.data.hole(off) {
		off = off/sector*sector + sector
	}
	if off >= size {
		return 0, 0, io.EOF
	}
	for end = off; end < size && !f.n.data.hole(end); {
		end = min(end/sector*sector+sector, size)
	}
	return off, end, nil
}

// Close implements journal.File.
func (f *File) Close() error {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if f.closed {
		return f.fail("close", fs.ErrClosed)
	}
	f.closed = true
	if f.holds {
		f.n.locked = false
	}
	return nil
}
