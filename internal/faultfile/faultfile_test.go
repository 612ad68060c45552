package faultfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"syscall"
	"testing"

	"github.com/chunkget/chunkget/journal"
)

var _ journal.Dir = (*Dir)(nil)

func create(t *testing.T, d *Dir, name string) journal.File {
	t.Helper()
	f, err := d.Open(name, true)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, f journal.File, off int64, data []byte) {
	t.Helper()
	if _, err := f.WriteAt(data, off); err != nil {
		t.Fatal(err)
	}
}

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	d := New()
	f := create(t, d, "a")
	put(t, f, 0, bytes.Repeat([]byte("s"), 2000))
	must(t, f.Sync())
	must(t, d.Sync())
	put(t, f, 2000, bytes.Repeat([]byte("u"), 2000))
	outcomes := map[string]bool{}
	for seed := range uint64(100) {
		got := d.CrashClone(seed).Bytes("a")
		if len(got) < 2000 || !bytes.Equal(got[:2000], bytes.Repeat([]byte("s"), 2000)) {
			t.Fatalf("seed %d: synced bytes are gone", seed)
		}
		outcomes[string(got)] = true
		if again := d.CrashClone(seed).Bytes("a"); !bytes.Equal(got, again) {
			t.Fatalf("seed %d gives two outcomes", seed)
		}
	}
	for want, b := range map[string][]byte{
		"nothing": nil, "zeros": make([]byte, 2000), "everything": bytes.Repeat([]byte("u"), 2000),
	} {
		if !outcomes[string(append(bytes.Repeat([]byte("s"), 2000), b...))] {
			t.Errorf("no crash kept %s of the unsynced bytes", want)
		}
	}
	if len(outcomes) < 6 {
		t.Errorf("only %d outcomes", len(outcomes))
	}
}

func TestCrashLosesUnsyncedNames(t *testing.T) {
	d := New()
	f := create(t, d, "a")
	put(t, f, 0, []byte("old"))
	must(t, f.Sync())
	must(t, d.Sync())
	g := create(t, d, "b")
	put(t, g, 0, []byte("new"))
	must(t, g.Sync())
	must(t, d.Rename("b", "a"))
	seen := map[string]bool{}
	for seed := range uint64(50) {
		seen[string(d.CrashClone(seed).Bytes("a"))] = true
	}
	if len(seen) != 2 || !seen["old"] || !seen["new"] {
		t.Errorf("a holds %v after a crash", seen)
	}
	must(t, d.Sync())
	for seed := range uint64(50) {
		if got := d.CrashClone(seed).Bytes("a"); string(got) != "new" {
			t.Fatalf("seed %d: a holds %q although the directory was synced", seed, got)
		}
	}
}

func TestFaults(t *testing.T) {
	d := New()
	f := create(t, d, "a") // operation 1
	broken := errors.New("broken")
	d.FailAt(2, broken)
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, broken) {
		t.Errorf("operation 2: %v", err)
	}
	put(t, f, 0, []byte("x"))
	d.SetSpace(4)
	n, err := f.WriteAt([]byte("123456"), 1)
	if n != 4 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full disk: wrote %d, %v", n, err)
	}
	d.SetSpace(-1)
	d.CrashAt(d.Ops() + 1)
	if _, err := f.WriteAt([]byte("y"), 0); !errors.Is(err, ErrCrashed) {
		t.Errorf("after the crash: %v", err)
	}
	if got := d.Bytes("a"); string(got) != "x1234" {
		t.Errorf("a holds %q", got)
	}
}

func TestNamesAndLocks(t *testing.T) {
	d := New()
	if _, err := d.Open("a", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	f, err := d.OpenLocked("a")
	must(t, err)
	if _, err := d.OpenLocked("a"); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	must(t, f.Close())
	if _, err = d.OpenLocked("a"); err != nil {
		t.Errorf("lock after close: %v", err)
	}
	create(t, d, "b")
	if err := d.Publish("a", "b", false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("publish: %v", err)
	}
	must(t, d.Publish("a", "b", true))
	if found, _ := d.Exists("a"); found {
		t.Error("a is still there")
	}
}

// Names of one file stay so, whatever ends the program.
func TestLinks(t *testing.T) {
	d := New()
	put(t, create(t, d, "a"), 0, []byte("x"))
	must(t, d.Link("a", "b"))
	if err := d.Link("a", "b"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another name: %v", err)
	}
	if err := d.Link("c", "d"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
	must(t, d.Sync())
	for name, after := range map[string]*Dir{"crash": d.CrashClone(1), "kill": d.KillClone()} {
		f, err := after.Open("b", false)
		must(t, err)
		put(t, f, 0, []byte("y"))
		if got := after.Bytes("a"); string(got) != "y" || !after.Same("a", "b") {
			t.Errorf("after a %s: a has %q", name, got)
		}
	}
	must(t, d.Remove("a"))
	if got := d.Bytes("b"); string(got) != "x" || d.Same("a", "b") || d.Same("c", "d") {
		t.Errorf("b has %q", got)
	}
}

func TestNextData(t *testing.T) {
	d := New()
	f := create(t, d, "a")
	must(t, f.Truncate(10*sector))
	put(t, f, 2*sector+10, []byte("x"))
	put(t, f, 5*sector, bytes.Repeat([]byte("y"), 5*sector))
	for _, tt := range []struct{ off, start, end int64 }{
		{0, 2 * sector, 3 * sector}, {2*sector + 11, 2*sector + 11, 3 * sector},
		{3 * sector, 5 * sector, 10 * sector},
	} {
		if start, end, err := f.NextData(tt.off); start != tt.start || end != tt.end || err != nil {
			t.Errorf("NextData(%d) = %d, %d, %v", tt.off, start, end, err)
		}
	}
	if _, _, err := f.NextData(10 * sector); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}
