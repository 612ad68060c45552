//go:build !linux

package journal

// renameNew renames without replacing, as well as looking first can do.
func (d *RootDir) renameNew(oldname, newname string) error {
	return d.renameLooking(oldname, newname)
}
