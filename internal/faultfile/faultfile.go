// Package faultfile holds files in memory that remember what was synced, so
// that tests can cut the power at any operation and look at what is left.
//
// What a crash keeps follows what file systems promise: synced bytes and
// synced names for certain; of later writes any sectors, of later changes of
// names any first few in order; and a file may have grown without its bytes
// having arrived, which then read as zeros.
package faultfile

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/chunkget/chunkget/journal"
)

// ErrCrashed is returned by every operation after the crash.
var ErrCrashed = errors.New("faultfile: the machine has crashed")

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
	data    content
	durable content // as after a crash: data without what is pending
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

// Link gives the file oldname the name newname, too.
func (d *Dir) Link(oldname, newname string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[oldname]
	switch {
	case n == nil:
		return &fs.PathError{Op: "link", Path: oldname, Err: fs.ErrNotExist}
	case d.names[newname] != nil:
		return &fs.PathError{Op: "link", Path: newname, Err: fs.ErrExist}
	}
	if err := d.operation(); err != nil {
		return &fs.PathError{Op: "link", Path: oldname, Err: err}
	}
	d.change(nameChange{name: newname, to: n})
	return nil
}

// Same reports whether two names are of one file.
func (d *Dir) Same(a, b string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[a] != nil && d.names[a] == d.names[b]
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
		return n.data.bytes()
	}
	return nil
}

// Put makes a durable file, or replaces its bytes, outside of the count of
// operations.
func (d *Dir) Put(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := newContent(data)
	n := &inode{data: c, durable: c.clone()}
	d.names[name], d.durable[name] = n, n
}

func sortedKeys(m map[string]*inode) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
