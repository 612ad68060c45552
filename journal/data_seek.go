//go:build linux || darwin || freebsd

package journal

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// nextData asks the file system for the next stretch that is not a hole. It
// moves the file offset, which nothing here uses.
func nextData(f *os.File, off, size int64) (start, end int64, err error) {
	start, err = unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return 0, 0, io.EOF
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSUP):
		return off, size, nil
	case err != nil:
		return 0, 0, os.NewSyscallError("lseek", err)
	}
	end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, os.NewSyscallError("lseek", err)
	}
	return start, min(end, size), nil
}
