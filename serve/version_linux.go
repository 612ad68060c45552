package serve

import (
	"io/fs"
	"syscall"
)

func (v *version) addSystem(info fs.FileInfo) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		v.ctime = st.Ctim.Nano()
		v.inode = st.Ino
		v.device = uint64(st.Dev)
	}
}
