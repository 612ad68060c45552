package udt

import (
	"sync"

	"golang.org/x/sys/unix"
)

// A sendSpace is the kernel's send buffer of a socket. When a packet leaves it and less
// than half of it is taken, the kernel looks for whoever waits for space and calls the
// poll set, although that is there for what comes in. Where the device takes single
// frames, that is a twelfth of what it costs to send one. So the buffer begins small,
// and is doubled each time it is full, until it has its usual size.
type sendSpace struct {
	mu   sync.Mutex
	size int // guarded by mu; what was asked for last, bytes
	most int // guarded by mu; 0 = the buffer stays as it is
}

// leastSpace in bytes is about what one packet of usual size takes.
const leastSpace = 2 << 10

// begin makes the buffer small. It will have most bytes at most.
func (s *sendSpace) begin(fd, most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size, s.most = min(leastSpace, most), most
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, s.size)
}

// grow enlarges the buffer after the kernel has refused a packet. It reports whether to
// try again at once.
func (s *sendSpace) grow(fd int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size >= s.most {
		return false
	}
	s.size = min(2*s.size, s.most)
	// Up to net.core.wmem_max, and beyond if the process may.
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, s.size)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, s.size)
	return err == nil
}

// noSpace reports whether an error of a send call is for want of space. A packet that the
// kernel cuts into fragments gets the second one.
func noSpace(err unix.Errno) bool { return err == unix.EAGAIN || err == unix.ENOBUFS }
