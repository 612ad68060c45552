//go:build unix

package serve

import "syscall"

// openFlags keeps an open from waiting for the other end of a FIFO that took
// the place of a regular file. It has no effect on regular files.
const openFlags = syscall.O_NONBLOCK
