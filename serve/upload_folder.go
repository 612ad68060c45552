package serve

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
)

// uploadFolder is the folder, inside the one that is served, of partial uploads.
// It is never served. It has, for an upload with the id ID, a hash of what it is
// and where it goes,
//
//	ID.tree     its hash tree
//	ID.part     its bytes, as far as they have come
//	ID.journal  which pieces of them are right and synced (package journal)
//
// put-RANDOM.part of a whole body and new-RANDOM.tree of a tree that is arriving.
// What is no request's and was last written to longer ago than UploadOptions.expiry
// is removed; the end of a request about an upload counts as writing (Touch).
const uploadFolder = ".chunkget-uploads"

// isUploadFolder reports whether an element of a path is that folder, also on
// file systems that do not tell letters of two cases apart. Two of those letters
// have a third case, of another length in UTF-8.
func isUploadFolder(elem string) bool { return strings.EqualFold(elem, uploadFolder) }

// throughUploads reports whether name is that folder or leads through it, by a name
// that only the file system knows for it (8.3 names, letters that it ignores) or by
// a link.
func throughUploads(root *os.Root, name string) bool {
	hidden, err := root.Lstat(uploadFolder)
	if err != nil {
		return false
	}
	for i := range len(name) + 1 {
		if i < len(name) && !os.IsPathSeparator(name[i]) {
			continue
		}
		info, err := root.Stat(name[:i])
		if err != nil {
			return false // for whoever opens it to say
		}
		if os.SameFile(info, hidden) {
			return true
		}
	}
	return false
}

// An uploadDir is the folder of partial uploads.
type uploadDir interface {
	journal.Dir

	// Place gives a file of this folder, which is synced, the name target inside
	// the folder that is served, durably. Its old name may be left, which is for
	// the caller to remove. If there is something of that name, it fails with an
	// error that is fs.ErrExist, unless that is the same file because a crash came
	// between. An error after the file has got its name says that it may lose it
	// with the power.
	Place(name, target string) (placed bool, err error)

	// CanPlace fails if Place could give no file a name in the folder dir.
	CanPlace(dir string) error

	// Touch makes now the time when a file of this folder was last written to.
	Touch(name string, now time.Time) error

	Close() error
}

// folder is the uploadDir in the file system.
type folder struct {
	*journal.RootDir
	root *os.Root    // that is served
	mode fs.FileMode // of new files there

	placing sync.Mutex // held while a name is looked for and then taken
}

// openFolder makes the folder if need be.
func openFolder(root *os.Root) (*folder, error) {
	if err := root.Mkdir(uploadFolder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	// A link could lead to where names are given without a rename.
	if info, err := root.Lstat(uploadFolder); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%q is not a folder", uploadFolder)
	}
	sub, err := root.OpenRoot(uploadFolder)
	if err != nil {
		return nil, err
	}
	f := &folder{RootDir: journal.InRoot(sub), root: root}
	if f.mode, err = f.NewFileMode("mode-" + randomName()); err != nil {
		return nil, errors.Join(err, sub.Close())
	}
	return f, nil
}

// randomName returns a name that nobody else has.
func randomName() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Place implements uploadDir.
func (f *folder) Place(name, target string) (placed bool, err error) {
	// What is not there from here on is of target.
	if err := f.Root().Chmod(name, f.mode); err != nil {
		return false, inFolder(err)
	}
	hidden := filepath.Join(uploadFolder, name)
	err = f.root.Link(hidden, target)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrExist):
		if !f.same(hidden, target) {
			return false, err
		}
	default:
		// Not every file system has links. Without them another program could
		// take the name between a look and the rename; we do not.
		if err := f.renameLooking(hidden, target); err != nil {
			if there, lerr := f.Exists(name); lerr != nil || !there {
				return false, inFolder(err)
			}
			return false, err
		}
	}
	if err := f.syncParent(target); err != nil {
		return true, fmt.Errorf("sync the folder of a new file: %v", err) // of whatever kind, the file is there
	}
	return true, nil
}

// syncParent makes durable that there is a file target inside the folder that is
// served.
func (f *folder) syncParent(target string) error {
	parent, err := f.root.OpenRoot(filepath.Dir(target))
	if err != nil {
		return err
	}
	dir := journal.InRoot(parent)
	return errors.Join(dir.Sync(), dir.Close())
}

// CanPlace implements uploadDir: who has sent gigabytes should not learn only then
// that the folder cannot be written to, or is of another file system. A crash may
// leave the probe there; folderSize, which looks at every file, removes it.
func (f *folder) CanPlace(dir string) error {
	name := "probe-" + randomName()
	file, err := f.Open(name, true)
	if err != nil {
		return err
	}
	hidden, there := filepath.Join(uploadFolder, name), filepath.Join(dir, ".chunkget-"+name)
	if err = errors.Join(file.Close(), f.root.Rename(hidden, there)); err != nil {
		return errors.Join(err, f.Remove(name))
	}
	if err := f.root.Remove(there); !errors.Is(err, fs.ErrNotExist) { // see folderSize
		return err
	}
	return nil
}

// isProbe reports whether name, in a folder that is served, is that of a probe.
func isProbe(name string) bool {
	random, ok := strings.CutPrefix(name, ".chunkget-probe-")
	return ok && validUploadID(random)
}

// Touch implements uploadDir.
func (f *folder) Touch(name string, now time.Time) error { return f.Root().Chtimes(name, now, now) }

func (f *folder) same(a, b string) bool {
	x, err1 := f.root.Lstat(a)
	y, err2 := f.root.Lstat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

func (f *folder) renameLooking(hidden, target string) error {
	f.placing.Lock()
	defer f.placing.Unlock()
	if _, err := f.root.Lstat(target); err == nil {
		return &fs.PathError{Op: "rename", Path: target, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.root.Rename(hidden, target)
}

// list returns what is in the folder.
func (f *folder) list() ([]fs.FileInfo, error) {
	d, err := f.Root().Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdir(-1)
}

// sweep removes what has expired at now, and makes what is reserved agree with what
// else is there.
func (s *uploads) sweep(f *folder, now time.Time) {
	// With mu held nothing begins to be or ends as an upload with an id that is not
	// open. Bodies and trees that arrive do not ask for mu.
	s.mu.Lock()
	defer s.mu.Unlock()
	infos, err := f.list()
	if err != nil {
		s.log.Warn("partial uploads cannot be listed", "err", err)
		return
	}
	s.sweepLocked(f, infos, now)
}

// A swept is what the folder has of one upload.
type swept struct {
	names  []string
	latest time.Time
	size   int64
	data   bool
}

// sweepLocked is sweep with mu held, which found infos.
func (s *uploads) sweepLocked(f *folder, infos []fs.FileInfo, now time.Time) {
	byKey := make(map[string]*swept)
	for _, info := range infos {
		key, _, _ := strings.Cut(info.Name(), ".")
		u := byKey[key]
		if u == nil {
			u = new(swept)
			byKey[key] = u
		}
		u.names = append(u.names, info.Name())
		u.size += blocks(info.Size())
		u.data = u.data || info.Size() > 0 && strings.HasSuffix(info.Name(), ".part")
		if t := info.ModTime(); t.After(u.latest) {
			u.latest = t
		}
	}
	var err error
	for key, u := range byKey {
		known := s.quota.knows(key)
		switch {
		case s.open[key] != nil:
		case known && !validUploadID(key) && !s.left[key]:
			// A request is about to end it.
		case now.Sub(u.latest) > s.o.expiry(u.data):
			for _, name := range u.names {
				err = errors.Join(err, removeIfThere(f, name))
			}
			s.quota.release(key)
			s.log.Info("abandoned upload removed", "id", key, "bytes", u.size)
		case !known && f.isLeft(u.names):
			s.quota.hold(key, max(u.size, s.promised(key)))
			s.left[key] = true
		}
	}
	for _, key := range s.quota.keys() {
		if byKey[key] == nil && s.open[key] == nil && (s.left[key] || validUploadID(key)) {
			s.quota.release(key) // somebody else has removed it
		}
	}
	maps.DeleteFunc(s.left, func(key string, _ bool) bool { return !s.quota.knows(key) })
	if err != nil {
		s.log.Warn("abandoned uploads are left", "err", err)
	}
}

// isLeft reports whether one of names is still there. A request reserves room before
// it makes a file and gives it back after the file is gone: a file for which nothing
// was reserved, and that is there after that look, is nobody's. Only probes are made
// without; one that is taken for left counts until the next sweep.
func (f *folder) isLeft(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		there, err := f.Exists(name)
		return there || err != nil
	})
}

// removeIfThere removes a file unless somebody else has.
func removeIfThere(dir journal.Dir, name string) error {
	if err := dir.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// promised returns how many bytes the upload id will have, 0 if that is not known.
func (s *uploads) promised(id string) int64 {
	if !validUploadID(id) {
		return 0
	}
	f, err := s.dir.Open(id+".tree", false)
	if err != nil {
		return 0
	}
	defer f.Close()
	l, err := treeLayout(f)
	if err != nil {
		return 0
	}
	return costOf(l)
}

// costOf is what an upload counts.
func costOf(l merkle.Layout) int64 { return blocks(l.Size) + blocks(merkle.StreamSize(l)) }
