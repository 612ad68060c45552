package udt

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// memInfo is what SO_MEMINFO tells of a socket, in bytes.
type memInfo struct {
	received uint32 // that nobody has read, with what the kernel needs beside it
	limit    uint32 // of these
	_        [7]uint32
}

// look fills in the state of the socket, or nothing on kernels that do not tell.
func (m *memInfo) look(fd uintptr) {
	size := uint32(unsafe.Sizeof(*m))
	_, _, _ = unix.RawSyscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(m)), uintptr(unsafe.Pointer(&size)), 0)
}

// crowded reports whether half of the socket's receive buffer is taken. It belongs to
// the read goroutine.
func (b *batchIO) crowded() bool {
	if b.empty() {
		return false
	}
	*b.mem = memInfo{}
	_ = b.rc.Control(b.look) // a closed socket is not crowded
	return b.mem.received > b.mem.limit/2
}
