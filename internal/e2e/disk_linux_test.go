package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A full disk ends a download with code 7; with room again it goes on.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	const size = 64 << 20
	dir, out := t.TempDir(), t.TempDir()
	original := randomFile(t, dir, "big.bin", size)
	mount := func(flags uintptr, options string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", out, "tmpfs", flags, options); err != nil {
			t.Fatal(err)
		}
	}
	mount(0, "size=24m")
	defer func() {
		if err := syscall.Unmount(out, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	s := serveDir(t, dir)
	c := get(t, out, s.url("udt", "big.bin"))
	if code := c.wait(); code != 7 {
		t.Fatalf("code %d, want 7\n%s", code, &c.stderr)
	}
	t.Logf("%s", &c.stderr)
	mustNotExist(t, filepath.Join(out, "big.bin"))
	mount(syscall.MS_REMOUNT, "size=200m")
	d := get(t, out, s.url("udt", "big.bin")).done()
	if d.BytesResumed < 8<<20 {
		t.Errorf("only %d bytes were resumed", d.BytesResumed)
	}
	sameContent(t, original, filepath.Join(out, "big.bin"))
}
