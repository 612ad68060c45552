package udt

// What a connection buffers comes and goes by the megabyte, and a process that
// begins to receive at full speed touches tens of them for the first time. A page
// fault costs between a quarter of a microsecond and, in a virtual machine, twenty:
// at 4 KiB each they hold back the first half second of a flow. So the kernel is
// asked to use pages of 2 MiB around slabs and chunks. They are ordinary memory of
// Go, of which others may have the rest of such a page.

// bufferMemory returns n zeros.
func bufferMemory(n int) []byte {
	b := make([]byte, n)
	adviseHugePages(b)
	return b
}
