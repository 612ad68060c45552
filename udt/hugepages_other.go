//go:build !linux

package udt

// adviseHugePages does nothing: the system decides by itself.
func adviseHugePages([]byte) {}
