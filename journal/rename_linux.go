package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNew renames without replacing.
func (d *RootDir) renameNew(oldname, newname string) error {
	dir, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	fd := int(dir.Fd())
	err = unix.Renameat2(fd, oldname, fd, newname, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// Not every file system knows the flag (NFS does not).
		return d.renameLooking(oldname, newname)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: err}
	}
	return nil
}
