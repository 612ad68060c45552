package udt

import "golang.org/x/sys/unix"

// adviseHugePages asks for huge pages. Without them, as where they are switched
// off, everything works with small ones.
func adviseHugePages(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
