//go:build !windows

package serve

import (
	"errors"
	"syscall"
)

// isFull reports whether err says that a disk, or what a user may have of it, is
// used up.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// isBadName reports whether err is about a name that the file system cannot have.
func isBadName(err error) bool {
	return errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EILSEQ)
}
