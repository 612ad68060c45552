//go:build unix

package serve

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

// A FIFO that nobody writes to would block whoever opens it.
func TestFIFO(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": "abc"})
	if err := syscall.Mkfifo(filepath.Join(f.dir, "fifo"), 0o666); err != nil {
		t.Skip("needs a file system with FIFOs: ", err)
	}
	if w := f.get(t, "/fifo"); w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
	// Not even when it takes the place of a file that was there a moment ago.
	file, err := f.root.OpenFile("fifo", openFlags, 0)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
}

func TestSocket(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": "abc"})
	l, err := net.Listen("unix", filepath.Join(f.dir, "s"))
	if err != nil {
		t.Skip("needs a file system with sockets, and a short path: ", err)
	}
	defer l.Close()
	if w := f.get(t, "/s"); w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
}

func TestDevice(t *testing.T) {
	f := serveDir(t, Options{}, "/dev")
	if w := f.get(t, "/null"); w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
}
