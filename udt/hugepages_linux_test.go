package udt

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// What is received lands in memory for which huge pages are asked, in slabs and in
// chunks.
func TestHugePages(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("the kernel has no transparent huge pages: ", err)
	}
	s, c := newSlab(), newChunk(1500, 1)
	defer s.release()
	defer recycle(c)
	for name, b := range map[string][]byte{"slab": s.buf, "chunk": c.slots} {
		if flags := memoryFlags(t, b); !strings.Contains(flags+" ", " hg ") {
			t.Errorf("%s: %s, want hg among them", name, flags)
		}
	}
}

// memoryFlags returns what the kernel says of the mapping that holds b.
func memoryFlags(t *testing.T, b []byte) string {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	inside := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); err == nil {
			inside = from <= at && at < to
		}
		if inside && strings.HasPrefix(lines.Text(), "VmFlags:") {
			return lines.Text()
		}
	}
	t.Fatalf("no mapping has %#x", at)
	return ""
}
