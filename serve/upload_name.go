package serve

import (
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// localPath translates the path of r into a name inside the root, as localName.
func localPath(r *http.Request, dotFiles bool) (name string, folder bool, err error) {
	// An escaped slash would be part of a name, which no file system has.
	if strings.Contains(strings.ToLower(r.URL.RawPath), "%2f") {
		return "", false, errNotFound
	}
	return localName(r.URL.Path, dotFiles)
}

// maxNameBytes is the length of the longest name that a file system takes, in
// bytes.
const maxNameBytes = 255

// checkUploadName fails unless the last element of a path, decoded, can be the
// name of a new file that nobody has trouble with. A name that is there already
// may be any.
func checkUploadName(urlPath string) error {
	if strings.HasSuffix(urlPath, "/") {
		return nil // of a folder, which must exist
	}
	name := path.Base(urlPath)
	if len(name) > maxNameBytes || !utf8.ValidString(name) {
		return errBadName
	}
	for _, r := range name {
		if !strconv.IsPrint(r) || r == '\\' {
			return errBadName
		}
	}
	return nil
}

// formName returns the name of a file that a form sends: without the folders that
// some clients send along, of either kind.
func formName(sent string, dotFiles bool) (string, error) {
	sent = sent[strings.LastIndexAny(sent, `/\`)+1:]
	name, _, err := localName("/"+sent, dotFiles)
	if err == nil {
		err = checkUploadName("/" + sent)
	}
	if err != nil || sent == "" {
		return "", errBadName
	}
	return name, nil
}

// checkFree fails unless a file could get the name target: its folder is there and
// can be written to, and nothing else has that name.
func (s *uploads) checkFree(target string) error {
	info, err := s.root.Stat(filepath.Dir(target))
	if err != nil || !info.IsDir() {
		return errNoFolder
	}
	_, err = s.root.Lstat(target)
	switch {
	case err == nil:
		return errExists
	case !os.IsNotExist(err):
		return err
	}
	if err := s.dir.CanPlace(filepath.Dir(target)); isFull(err) {
		return err
	} else if err != nil {
		s.log.Warn("a folder takes no uploads", "folder", filepath.Dir(target), "err", err)
		return errUnwritable
	}
	return nil
}
