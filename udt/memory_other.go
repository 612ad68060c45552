//go:build !linux

package udt

// machineMemory returns 0: not known.
func machineMemory() int64 { return 0 }
