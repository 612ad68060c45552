//go:build amd64 || arm64

package journal

import (
	"io"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mostRaw is how much a raw system call writes at a time, in bytes: a tenth of a
// millisecond or two, in which its processor does nothing else.
const mostRaw = 256 << 10

// memoryWriter returns what writes to f instead of its own WriteAt; nil if f is not in
// memory (tmpfs). Writing to memory is copying, which needs a processor all the time. From
// a system call that might wait the Go scheduler takes it after 20 µs, and the writer gets
// it back with an effort; so these calls are raw. What may keep one waiting is only
// memory that has to be found first.
func memoryWriter(f *os.File) func(p []byte, off int64) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil
	}
	inMemory := false
	err = raw.Control(func(fd uintptr) {
		var s unix.Statfs_t
		inMemory = unix.Fstatfs(int(fd), &s) == nil && s.Type == unix.TMPFS_MAGIC
	})
	if err != nil || !inMemory {
		return nil
	}
	return func(p []byte, off int64) (n int, err error) {
		if off < 0 {
			return f.WriteAt(p, off)
		}
		closed := raw.Control(func(fd uintptr) {
			for n < len(p) && err == nil {
				rest := p[n:min(len(p), n+mostRaw)]
				k, _, e := unix.RawSyscall6(unix.SYS_PWRITE64, fd, uintptr(unsafe.Pointer(&rest[0])), uintptr(len(rest)), uintptr(off)+uintptr(n), 0, 0)
				switch {
				case e == unix.EINTR:
				case e != 0:
					err = e
				case k == 0:
					err = io.ErrUnexpectedEOF
				default:
					n += int(k)
				}
			}
		})
		if closed != nil {
			return f.WriteAt(p, off) // which says so
		}
		if err != nil {
			err = &fs.PathError{Op: "write", Path: f.Name(), Err: err}
		}
		return n, err
	}
}
