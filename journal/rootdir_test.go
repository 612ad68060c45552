package journal_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/chunkget/chunkget/journal"
)

func openDir(t *testing.T) (*journal.RootDir, string) {
	t.Helper()
	path := t.TempDir()
	d, err := journal.OpenDir(path)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d, path
}

func TestRootDirJournal(t *testing.T) {
	d, path := openDir(t)
	w := create(t, d, header)
	must(t, w.Commit(noSync{}, journal.Batch{Verified: []int{1, 2}}))
	if _, err := journal.Open(d, name); !errors.Is(err, journal.ErrLocked) && runtime.GOOS != "solaris" {
		t.Errorf("second writer: %v", err)
	}
	s, err := journal.ReadFile(filepath.Join(path, name))
	must(t, err)
	if s.Count() != 2 {
		t.Errorf("inspection finds %d pieces", s.Count())
	}
	must(t, w.Close())
	w = reopen(t, d)
	if w.State().Count() != 2 {
		t.Errorf("%d pieces after reopening", w.State().Count())
	}
	must(t, w.Remove())
	if left, _ := os.ReadDir(path); len(left) != 0 {
		t.Errorf("files left: %v", left)
	}
}

func TestRootDirFollowsNoLinks(t *testing.T) {
	d, path := openDir(t)
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.WriteFile(outside, []byte("keep"), 0o600))
	must(t, os.WriteFile(filepath.Join(path, "inside"), []byte("keep"), 0o600))
	for link, target := range map[string]string{
		"out": outside, "in": "inside", "dangling": "nothing", "up": "../x",
	} {
		err := os.Symlink(target, filepath.Join(path, link))
		if err != nil && runtime.GOOS == "windows" {
			t.Skip("symbolic links need a privilege on Windows: ", err)
		}
		must(t, err)
		if _, err := d.Open(link, true); err == nil {
			t.Errorf("opened the link %s to %s", link, target)
		}
		if _, err := d.OpenLocked(link); err == nil {
			t.Errorf("opened the link %s to %s", link, target)
		}
	}
	if _, err := os.Lstat(filepath.Join(path, "nothing")); err == nil {
		t.Error("made the target of a dangling link")
	}
	must(t, os.Mkdir(filepath.Join(path, "dir"), 0o700))
	for _, bad := range []string{"dir", "../y", "a/b", ""} {
		if _, err := d.Open(bad, true); err == nil {
			t.Errorf("opened %q", bad)
		}
	}
}

func TestRootDirPublish(t *testing.T) {
	d, path := openDir(t)
	write := func(name, text string) {
		f, err := d.Open(name, true)
		must(t, err)
		put := []byte(text)
		if _, err := f.WriteAt(put, 0); err != nil {
			t.Fatal(err)
		}
		must(t, f.Close())
	}
	mode := func(name string) fs.FileMode {
		fi, err := os.Stat(filepath.Join(path, name))
		must(t, err)
		return fi.Mode().Perm()
	}
	write("a.part", "one")
	if m := mode("a.part"); m != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode of a partial file: %v", m)
	}
	must(t, d.Publish("a.part", "a", false))
	must(t, os.WriteFile(filepath.Join(path, "usual"), nil, 0o666))
	if got, want := mode("a"), mode("usual"); got != want {
		t.Errorf("mode of a finished file %v, others get %v", got, want)
	}
	write("a.part", "two")
	if err := d.Publish("a.part", "a", false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("publish over a file: %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(path, "a")); string(b) != "one" {
		t.Errorf("the file was replaced: %q", b)
	}
	must(t, os.Chmod(filepath.Join(path, "a"), 0o640))
	must(t, d.Publish("a.part", "a", true))
	if m := mode("a"); m != 0o640 && runtime.GOOS != "windows" {
		t.Errorf("mode %v of a file in the place of one with 0640", m)
	}
	if b, _ := os.ReadFile(filepath.Join(path, "a")); string(b) != "two" {
		t.Errorf("the file was not replaced: %q", b)
	}
	must(t, d.Sync())
}

func TestRootDirNextData(t *testing.T) {
	d, _ := openDir(t)
	f, err := d.Open("a", true)
	must(t, err)
	defer f.Close()
	const size, at = 64 << 20, 32 << 20
	must(t, f.Truncate(size))
	if _, err := f.WriteAt([]byte("x"), at); err != nil {
		t.Fatal(err)
	}
	start, end, err := f.NextData(0)
	must(t, err)
	if start > at || end <= at {
		t.Errorf("data in [%d,%d), written at %d", start, end, at)
	}
	if start == 0 && end == size {
		t.Skip("needs a file system that tells holes")
	}
	if end-start > 1<<20 {
		t.Errorf("one byte occupies [%d,%d)", start, end)
	}
	if _, _, err := f.NextData(end); err == nil {
		t.Error("data after the last byte written")
	}
}
