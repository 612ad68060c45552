package journal

import (
	"errors"
	"io"
)

// ErrLocked is returned when another process has the journal open.
var ErrLocked = errors.New("in use by another process")

// A Dir is the directory that holds a journal and the file it describes. Names
// are single path elements. What Create, Rename and Remove did is certain to
// survive a crash only after Sync.
type Dir interface {
	// Open opens a regular file for reading and writing. With create it makes
	// one of mode 0600 if there is none. It follows no symbolic link.
	Open(name string, create bool) (File, error)

	// OpenLocked is Open with create, and holds an exclusive lock on the file
	// until it is closed. It fails with ErrLocked rather than wait.
	OpenLocked(name string) (File, error)

	// Rename replaces the file newname by oldname, atomically.
	Rename(oldname, newname string) error

	// Publish gives the file oldname the name newname, and the mode of a newly
	// made file or of the one that it replaces. A file that has this name already
	// is replaced, or with replace false an error that is fs.ErrExist.
	Publish(oldname, newname string, replace bool) error

	Remove(name string) error

	// Exists reports whether there is anything of that name.
	Exists(name string) (bool, error)

	// Sync makes the names in the directory durable.
	Sync() error
}

// A File is an open file of a Dir. ReadAt and WriteAt may be called by several
// goroutines at a time.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer

	// Sync makes durable what was written before it was called.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)

	// NextData returns the first stretch [start, end) at or after off that may
	// hold data; the bytes before it are a hole. It returns io.EOF when there
	// is none. A file system that knows of no holes returns the rest of the
	// file. It must not be called by two goroutines at a time.
	NextData(off int64) (start, end int64, err error)
}

// A Syncer makes data durable; a File is one.
type Syncer interface{ Sync() error }
