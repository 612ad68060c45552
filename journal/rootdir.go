package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// fileMode keeps partial data from other users until it is finished.
const fileMode = 0o600

// RootDir is a Dir in the file system. It reaches no file outside of its
// directory, through whatever name or link.
type RootDir struct {
	root *os.Root
}

// OpenDir opens the directory at path.
func OpenDir(path string) (*RootDir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &RootDir{root}, nil
}

// InRoot returns the directory that root has open. Close closes it.
func InRoot(root *os.Root) *RootDir { return &RootDir{root} }

// Root returns the directory for what Dir does not offer. It is closed by Close.
func (d *RootDir) Root() *os.Root { return d.root }

// Close closes the directory, not the files opened in it.
func (d *RootDir) Close() error { return d.root.Close() }

// Open implements Dir.
func (d *RootDir) Open(name string, create bool) (File, error) {
	f, err := d.open(name, create)
	if err != nil {
		return nil, err
	}
	return rootFile{f, memoryWriter(f)}, nil
}

func (d *RootDir) open(name string, create bool) (*os.File, error) {
	// os.Root follows links that stay inside; here none is followed. Looking
	// first keeps Open from making the target of a dangling link, and from
	// blocking on a FIFO; looking again afterwards closes the gap between.
	if fi, err := d.root.Lstat(name); err == nil && !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file (%s)", name, fi.Mode().Type())
	}
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE
	}
	f, err := d.root.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	if err := d.isNamed(f, name); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// isNamed fails unless f is the regular file that name stands for.
func (d *RootDir) isNamed(f *os.File, name string) error {
	open, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := d.root.Lstat(name)
	if err != nil {
		return err
	}
	if !named.Mode().IsRegular() || !os.SameFile(open, named) {
		return fmt.Errorf("%s: not a regular file, or replaced while it was being opened", name)
	}
	return nil
}

// OpenLocked implements Dir.
func (d *RootDir) OpenLocked(name string) (File, error) {
	f, err := d.open(name, true)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	// The lock is on the file, not on the name: the last owner may have
	// renamed another file into its place before letting go of this one.
	if err := d.isNamed(f, name); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, ErrLocked)
	}
	return rootFile{f, memoryWriter(f)}, nil
}

// Rename implements Dir.
func (d *RootDir) Rename(oldname, newname string) error { return d.root.Rename(oldname, newname) }

// Publish implements Dir.
func (d *RootDir) Publish(oldname, newname string, replace bool) error {
	mode, err := d.modeFor(oldname, newname)
	if err != nil {
		return err
	}
	if err := d.root.Chmod(oldname, mode); err != nil {
		return err
	}
	if replace {
		return d.root.Rename(oldname, newname)
	}
	return d.renameNew(oldname, newname)
}

// modeFor returns the mode for the file oldname when it becomes newname: that of
// the file it replaces, or that of a new file.
func (d *RootDir) modeFor(oldname, newname string) (fs.FileMode, error) {
	if fi, err := d.root.Lstat(newname); err == nil && fi.Mode().IsRegular() {
		return fi.Mode().Perm(), nil
	}
	return d.NewFileMode(oldname + ".mode")
}

// NewFileMode returns the mode that a new file gets, which depends on the
// umask and the access lists of the directory. There is no way to ask for
// either without changing it for the whole process, so it makes a file of the
// name probe and removes it.
func (d *RootDir) NewFileMode(probe string) (fs.FileMode, error) {
	f, err := d.root.OpenFile(probe, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return 0, err
	}
	fi, err := f.Stat()
	if err := errors.Join(err, f.Close(), d.root.Remove(probe)); err != nil {
		return 0, err
	}
	return fi.Mode().Perm(), nil
}

// renameLooking renames where the system has no atomic call that refuses to
// replace.
func (d *RootDir) renameLooking(oldname, newname string) error {
	if found, err := d.Exists(newname); err != nil || found {
		if found {
			err = &fs.PathError{Op: "rename", Path: newname, Err: fs.ErrExist}
		}
		return err
	}
	return d.root.Rename(oldname, newname)
}

// Exists implements Dir.
func (d *RootDir) Exists(name string) (bool, error) {
	_, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Remove implements Dir.
func (d *RootDir) Remove(name string) error { return d.root.Remove(name) }

// Sync implements Dir. Windows has no such call and journals names itself.
func (d *RootDir) Sync() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// rootFile is a File of a RootDir.
type rootFile struct {
	*os.File
	write func(p []byte, off int64) (int, error) // instead of the file's own WriteAt, unless it is nil
}

// WriteAt implements File.
func (f rootFile) WriteAt(p []byte, off int64) (int, error) {
	if f.write != nil {
		return f.write(p, off)
	}
	return f.File.WriteAt(p, off)
}

// Size implements File.
func (f rootFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// NextData implements File.
func (f rootFile) NextData(off int64) (start, end int64, err error) {
	size, err := f.Size()
	if err != nil {
		return 0, 0, err
	}
	if off >= size {
		return 0, 0, io.EOF
	}
	return nextData(f.File, off, size)
}

// ReadFile reads the journal at path for inspection, without locking it.
func ReadFile(path string) (*State, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	return Read(f, fi.Size())
}
