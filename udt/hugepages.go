package udt

import (
	"sync"
	"unsafe"
)

// What a connection buffers comes and goes by the megabyte, and a process that
// begins to receive at full speed touches tens of them for the first time. A page
// fault costs between a quarter of a microsecond and, in a virtual machine, twenty:
// at 4 KiB each they hold back the first half second of a flow. So chunks and slabs
// are cut from regions for which the kernel is asked to use pages of 2 MiB.
//
// Regions are ordinary memory of Go: one is freed when nothing that was cut from it
// is used any more. What is left of the region that is cut belongs to roomy.mu.
var roomy struct {
	mu   sync.Mutex
	left []byte
}

const (
	hugePage   = 2 << 20
	regionSize = 2 * hugePage
)

// cutMemory returns n bytes that nobody else has, with undefined content.
func cutMemory(n int) []byte {
	if n > regionSize/2 {
		return make([]byte, n) // the rest of a region would be wasted
	}
	roomy.mu.Lock()
	defer roomy.mu.Unlock()
	if len(roomy.left) < n {
		roomy.left = newRegion()
	}
	b := roomy.left[:n:n]
	roomy.left = roomy.left[n:]
	return b
}

// newRegion returns regionSize bytes from the beginning of a huge page on.
func newRegion() []byte {
	b := make([]byte, regionSize+hugePage)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (hugePage - 1))
	b = b[skip : skip+regionSize : skip+regionSize]
	adviseHugePages(b)
	return b
}
