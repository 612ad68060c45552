// Package credentials reads what proves who somebody is: tokens and passwords from
// files that nobody else can read. Errors and logs repeat no secret.
package credentials

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile bounds what is read of a file, in bytes.
const maxFile = 1 << 20

// An ExposedError is a file with secrets that others can read.
type ExposedError struct {
	Path string
	Mode fs.FileMode
}

func (e *ExposedError) Error() string {
	return fmt.Sprintf("%q holds a secret and can be read by others (mode %04o)", e.Path, e.Mode.Perm())
}

// Hint says what to do about it.
func (e *ExposedError) Hint() string { return fmt.Sprintf("run: chmod 600 %q", e.Path) }

// ReadFile returns the content of a file with secrets. On Unix a file that group
// or others can read is an ExposedError. A file in the folder that systemd makes
// for the credentials of a service is not: it may have group bits that stand for
// the service's own entry in an access control list.
func ReadFile(path string) ([]byte, error) {
	b, err := read(path)
	if err != nil {
		return nil, err
	}
	if err := checkMode(path, b.mode); err != nil {
		return nil, err
	}
	return b.data, nil
}

// content is a file as it was read.
type content struct {
	data []byte
	mode fs.FileMode
}

func read(path string) (*content, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutOp(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, withoutOp(path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, withoutOp(path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%q is larger than %d bytes", path, maxFile)
	}
	return &content{data, info.Mode()}, nil
}

func checkMode(path string, mode fs.FileMode) error {
	if !mode.IsRegular() || !exposed(mode) { // a pipe belongs to who opened it
		return nil
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		return nil
	}
	return &ExposedError{path, mode}
}

func withoutOp(path string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%q: %w", path, err)
}
