// Package faultfile holds files in memory that remember what was synced, so
// that tests can cut the power at any operation and look at what is left.
//
// What a crash keeps follows what file systems promise: synced bytes and
// synced names for certain; of later writes any sectors, of later changes of
// names any first few in order; and a file may have grown without its bytes
// having arrived, which then read as zeros.
package faultfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"

	"github.com/chunkget/chunkget/journal"
)

// ErrCrashed is returned by every operation after the crash.
var ErrCrashed = errors.New("faultfile: the machine has crashed")

// sector is the unit that a disk writes whole or not at all, in bytes.
const sector = 512

var zeros [sector]byte

// Dir is a directory of files in memory. It implements journal.Dir and may be
// used by several goroutines.
type Dir struct {
	mu      sync.Mutex
	names   map[string]*inode // as the program sees them
	durable map[string]*inode // as they are after a crash
	pending []nameChange      // changes of names since the last Sync, in order

	ops     int   // operations so far that change or sync something
	crashAt int   // operation that does not happen any more, 0 never
	failAt  int   // operation that fails, 0 none
	failErr error // with this
	space   int64 // bytes that may still be written, -1 without limit
}

// inode is a file, whatever its names.
type inode struct {
	data    []byte
	durable []byte
	pending []write // since the last Sync, in order
	locked  bool
}

// write is a change of a file's bytes, or of its size when data is nil.
type write struct {
	off  int64
	data []byte
}

// nameChange is one entry of a directory that was set, or removed when to is nil.
type nameChange struct {
	from string
	name string
	to   *inode
}

// New returns an empty directory.
func New() *Dir {
	return &Dir{names: map[string]*inode{}, durable: map[string]*inode{}, space: -1}
}

// CrashAt makes operation n (from 1, counting writes, truncations, syncs and
// changes of names) and all that follow fail with ErrCrashed, undone.
func (d *Dir) CrashAt(n int) { d.locked(func() { d.crashAt = n }) }

// FailAt makes operation n fail with err, undone. The next ones succeed.
func (d *Dir) FailAt(n int, err error) { d.locked(func() { d.failAt, d.failErr = n, err }) }

// SetSpace lets n more bytes be written, anywhere; then a write stores what
// fits and fails with ENOSPC. A negative n lifts the limit.
func (d *Dir) SetSpace(n int64) { d.locked(func() { d.space = n }) }

// Ops returns the number of operations so far.
func (d *Dir) Ops() (n int) {
	d.locked(func() { n = d.ops })
	return n
}

func (d *Dir) locked(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// CrashClone returns what a crash now would leave, one of the possible
// outcomes for each seed. The original stays as it is.
func (d *Dir) CrashClone(seed uint64) *Dir {
	d.mu.Lock()
	defer d.mu.Unlock()
	rng := rand.New(rand.NewPCG(seed, 0x6661756c74))
	names := map[string]*inode{}
	for name, n := range d.durable {
		names[name] = n
	}
	kept := 0
	if len(d.pending) > 0 {
		kept = rng.IntN(len(d.pending) + 1)
	}
	for _, c := range d.pending[:kept] {
		c.apply(names)
	}
	c := New()
	copies := map[*inode]*inode{}
	for _, name := range sortedKeys(names) {
		n := names[name]
		if copies[n] == nil {
			after := n.afterCrash(rng)
			copies[n] = &inode{data: after, durable: slices.Clone(after)}
		}
		c.names[name] = copies[n]
		c.durable[name] = copies[n]
	}
	return c
}

// KillClone returns what is left when only the process is killed: everything
// it wrote, and no locks.
func (d *Dir) KillClone() *Dir {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := New()
	for name, n := range d.names {
		after := &inode{data: slices.Clone(n.data), durable: slices.Clone(n.data)}
		c.names[name], c.durable[name] = after, after
	}
	return c
}

// afterCrash returns one content that a crash may leave.
func (n *inode) afterCrash(rng *rand.Rand) []byte {
	b := slices.Clone(n.durable)
	for _, w := range n.pending {
		if w.data == nil {
			if rng.IntN(2) == 0 {
				b = resize(b, w.off)
			}
			continue
		}
		switch rng.IntN(4) {
		case 0: // lost
		case 1: // the size arrived, the bytes did not
			b = resize(b, max(int64(len(b)), w.off+int64(len(w.data))))
		case 2: // all of it
			b = writeAt(b, w.off, w.data)
		case 3: // some sectors of it
			for at := int64(0); at < int64(len(w.data)); {
				end := min((w.off+at)/sector*sector+sector-w.off, int64(len(w.data)))
				if rng.IntN(2) == 0 {
					b = writeAt(b, w.off+at, w.data[at:end])
				}
				at = end
			}
		}
	}
	return b
}

func (c nameChange) apply(names map[string]*inode) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to == nil {
		delete(names, c.name)
	} else {
		names[c.name] = c.to
	}
}

// operation counts one operation and returns the error it must fail with.
// Called with mu held.
func (d *Dir) operation() error {
	d.ops++
	switch {
	case d.crashAt > 0 && d.ops >= d.crashAt:
		return ErrCrashed
	case d.ops == d.failAt:
		return d.failErr
	}
	return nil
}

func (d *Dir) change(c nameChange) {
	c.apply(d.names)
	d.pending = append(d.pending, c)
}

// Open implements journal.Dir.
func (d *Dir) Open(name string, create bool) (journal.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.open(name, create)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// open is called with mu held.
func (d *Dir) open(name string, create bool) (*File, error) {
	n := d.names[name]
	if n == nil {
		if !create {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if err := d.operation(); err != nil {
			return nil, &fs.PathError{Op: "create", Path: name, Err: err}
		}
		n = &inode{}
		d.change(nameChange{name: name, to: n})
	}
	return &File{dir: d, n: n, name: name}, nil
}

// OpenLocked implements journal.Dir.
func (d *Dir) OpenLocked(name string) (journal.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.open(name, true)
	if err != nil {
		return nil, err
	}
	if f.n.locked {
		return nil, fmt.Errorf("%s: %w", name, journal.ErrLocked)
	}
	f.n.locked, f.holds = true, true
	return f, nil
}

// Rename implements journal.Dir.
func (d *Dir) Rename(oldname, newname string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rename(oldname, newname)
}

func (d *Dir) rename(oldname, newname string) error {
	n := d.names[oldname]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: oldname, Err: fs.ErrNotExist}
	}
	if err := d.operation(); err != nil {
		return &fs.PathError{Op: "rename", Path: oldname, Err: err}
	}
	d.change(nameChange{from: oldname, name: newname, to: n})
	return nil
}

// Publish implements journal.Dir.
func (d *Dir) Publish(oldname, newname string, replace bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[newname] != nil && !replace {
		return &fs.PathError{Op: "rename", Path: newname, Err: fs.ErrExist}
	}
	return d.rename(oldname, newname)
}

// Remove implements journal.Dir.
func (d *Dir) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if err := d.operation(); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	d.change(nameChange{name: name})
	return nil
}

// Exists implements journal.Dir.
func (d *Dir) Exists(name string) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[name] != nil, nil
}

// Sync implements journal.Dir.
func (d *Dir) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.operation(); err != nil {
		return &fs.PathError{Op: "sync", Path: ".", Err: err}
	}
	for _, c := range d.pending {
		c.apply(d.durable)
	}
	d.pending = nil
	return nil
}

// Names returns the names in the directory, sorted.
func (d *Dir) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return sortedKeys(d.names)
}

// Bytes returns a copy of a file's bytes, nil when there is no such file.
func (d *Dir) Bytes(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.names[name]; n != nil {
		return append([]byte{}, n.data...)
	}
	return nil
}

// Put makes a durable file, or replaces its bytes, outside of the count of
// operations.
func (d *Dir) Put(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := &inode{data: slices.Clone(data), durable: slices.Clone(data)}
	d.names[name], d.durable[name] = n, n
}

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
	case off >= int64(len(f.n.data)):
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
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
		f.n.data = writeAt(f.n.data, off, p)
		f.n.pending = append(f.n.pending, write{off, slices.Clone(p)})
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
	f.n.data = resize(f.n.data, size)
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
	for _, w := range f.n.pending {
		if w.data == nil {
			f.n.durable = resize(f.n.durable, w.off)
		} else {
			f.n.durable = writeAt(f.n.durable, w.off, w.data)
		}
	}
	f.n.pending = nil
	return nil
}

// Size implements journal.File.
func (f *File) Size() (int64, error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	return int64(len(f.n.data)), nil
}

// NextData implements journal.File. A sector of zeros counts as a hole.
func (f *File) NextData(off int64) (start, end int64, err error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	b := f.n.data
	size := int64(len(b))
	hole := func(at int64) bool {
		s := b[at/sector*sector : min(at/sector*sector+sector, size)]
		return bytes.Equal(s, zeros[:len(s)])
	}
	for off < size && hole(off) {
		off = off/sector*sector + sector
	}
	if off >= size {
		return 0, 0, io.EOF
	}
	for end = off; end < size && !hole(end); {
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

func writeAt(b []byte, off int64, p []byte) []byte {
	b = resize(b, max(int64(len(b)), off+int64(len(p))))
	copy(b[off:], p)
	return b
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

func sortedKeys(m map[string]*inode) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
