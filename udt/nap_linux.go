package udt

import (
	"time"

	"golang.org/x/sys/unix"
)

// nap waits for about d, with a thread. It may return early.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal may end it
}
