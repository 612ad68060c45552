package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A file is an open regular file or folder inside the root.
type file struct {
	*os.File
	name    string // path inside the root as os.Root takes it
	dir     bool
	modTime time.Time
	version version // zero for a folder
}

// errNotFound says that there is nothing at a path that we would serve.
var errNotFound = errors.New("not found")

// localName translates the path of a URL, decoded, into a name inside the root.
// A file has one path only: empty, "." and ".." elements name nothing.
func localName(urlPath string, dotFiles bool) (name string, wantDir bool, err error) {
	p, ok := strings.CutPrefix(urlPath, "/")
	if !ok {
		return "", false, errNotFound
	}
	if p == "" {
		return ".", true, nil
	}
	p, wantDir = strings.CutSuffix(p, "/")
	for elem := range strings.SplitSeq(p, "/") {
		switch {
		case elem == "" || elem == "." || elem == "..":
			return "", false, errNotFound
		case elem[0] == '.' && (!dotFiles || isUploadFolder(elem)):
			return "", false, errNotFound
		}
	}
	if filepath.Separator == '/' {
		// Any bytes but NUL make a name here, and Localize insists on UTF-8.
		if strings.Contains(p, "\x00") {
			return "", false, errNotFound
		}
		return p, wantDir, nil
	}
	if name, err = filepath.Localize(p); err != nil {
		return "", false, errNotFound
	}
	return name, wantDir, nil
}

// openIn opens the regular file or folder name. Its errors are errNotFound,
// fs.ErrPermission, or a failure of the system.
func openIn(root *os.Root, name string) (*file, error) {
	// Opening a device or a FIFO can already have effects, so look before.
	info, err := root.Stat(name)
	if err != nil {
		return nil, openError(err)
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, errNotFound
	}
	f, err := root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, openError(err)
	}
	// Only what is open now counts; the name may have changed hands in between.
	info, err = f.Stat()
	if err != nil {
		f.Close()
		return nil, openError(err)
	}
	switch {
	case info.IsDir():
		return &file{File: f, name: name, dir: true, modTime: info.ModTime()}, nil
	case info.Mode().IsRegular():
		return &file{File: f, name: name, modTime: info.ModTime(), version: versionOf(info)}, nil
	}
	f.Close()
	return nil, errNotFound
}

// openError sorts the errors of opening: what is the system's fault stays, and
// all that can be wrong with a name (too long, a file in the middle, a link out
// of the root, a loop) is not found.
func openError(err error) error {
	for _, fault := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO} {
		if errors.Is(err, fault) {
			return fmt.Errorf("open file: %w", err)
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return fs.ErrPermission
	}
	return errNotFound
}

// current returns the version that the open file has now.
func (f *file) current() (version, error) {
	info, err := f.Stat()
	if err != nil {
		return version{}, fmt.Errorf("stat %q: %w", f.name, err)
	}
	return versionOf(info), nil
}
