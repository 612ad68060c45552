package journal_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/chunkget/chunkget/journal"
)

// inMemory opens a file in memory.
func inMemory(t *testing.T, parent string) journal.File {
	t.Helper()
	path, err := os.MkdirTemp(parent, "journal-test-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(path)) })
	d, err := journal.OpenDir(path)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	f, err := d.Open(name, true)
	must(t, err)
	return f
}

// What is written to memory past the Go scheduler is there, and errors are those of files.
func TestWriteToMemory(t *testing.T) {
	const parent = "/dev/shm"
	var s unix.Statfs_t
	if err := unix.Statfs(parent, &s); err != nil || s.Type != unix.TMPFS_MAGIC {
		t.Skipf("no tmpfs at %s: %v", parent, err)
	}
	f := inMemory(t, parent)
	want := bytes.Repeat([]byte("0123456789abc"), 100_000)
	for _, w := range []struct {
		data []byte
		off  int64
	}{{want[7:], 7}, {want[:7], 0}, {nil, 3}} {
		if n, err := f.WriteAt(w.data, w.off); n != len(w.data) || err != nil {
			t.Errorf("%d of %d bytes at %d: %v", n, len(w.data), w.off, err)
		}
	}
	got := make([]byte, len(want)+1)
	if n, _ := f.ReadAt(got, 0); !bytes.Equal(got[:n], want) {
		t.Errorf("%d bytes are there, not what was written", n)
	}
	if n, err := f.WriteAt(want, -1); n != 0 || err == nil {
		t.Errorf("%d bytes at -1: %v", n, err)
	}
	must(t, f.Close())
	if n, err := f.WriteAt(want, 0); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("%d bytes into a closed file: %v", n, err)
	}
}

// A file system that becomes full in a write keeps what fits, and says both.
func TestWriteToFullMemory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	parent := t.TempDir()
	const size = 640 << 10
	must(t, syscall.Mount("tmpfs", parent, "tmpfs", 0, "size=640k"))
	t.Cleanup(func() { must(t, syscall.Unmount(parent, syscall.MNT_DETACH)) })
	f := inMemory(t, parent)
	t.Cleanup(func() { must(t, f.Close()) })
	data := bytes.Repeat([]byte{7}, 2*size)
	n, err := f.WriteAt(data, 0)
	if e, ok := errors.AsType[*fs.PathError](err); n != size || !ok || e.Op != "write" || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%d of %d bytes into %d: %v", n, len(data), size, err)
	}
	got := make([]byte, len(data))
	if n, _ := f.ReadAt(got, 0); !bytes.Equal(got[:n], data[:size]) {
		t.Errorf("%d bytes are there", n)
	}
}
