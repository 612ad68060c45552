package serve

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/faultfile"
)

// faultFolder has the files of uploads and the folder that is served in one
// folder in memory.
type faultFolder struct{ *faultfile.Dir }

func (f faultFolder) Place(name, target string) (placed bool, err error) {
	if err := f.Link(name, target); err != nil && !f.Same(name, target) {
		return false, err
	}
	return true, f.Sync()
}

func (f faultFolder) CanPlace(string) error { return nil }

func (f faultFolder) Touch(string, time.Time) error { return nil }

func (f faultFolder) Close() error { return nil }

// crashUpload uploads tree to big, as far as it is not there, and returns how many
// pieces were there.
func crashUpload(t *testing.T, root *os.Root, d *faultfile.Dir, tree *testTree) (had int, err error) {
	s := makeUploads(root, faultFolder{d}, UploadOptions{}, false, slog.New(slog.DiscardHandler))
	p, _, err := s.begin(bytes.NewReader(tree.wire), "big", time.Unix(0, 0))
	if err != nil {
		return 0, err
	}
	defer s.release(p)
	had = p.count
	for i := 0; i < tree.layout.Pieces(); i += 2 {
		last := min(i+1, tree.layout.Pieces()-1)
		from, to := i*testPiece, min((last+1)*testPiece, len(tree.data))
		wrong, err := s.receivePieces(p, strings.NewReader(tree.data[from:to]), i, last)
		if err == nil && last < tree.layout.Pieces()-1 {
			err = p.commit() // of the last pieces finish does it
		}
		if err != nil {
			return had, err
		}
		if len(wrong) > 0 {
			t.Errorf("pieces %v are wrong", wrong)
		}
	}
	done, err := s.finish(p)
	if err == nil && !done {
		err = errors.New("all is there, and it is not complete")
	}
	return had, err
}

// The power fails after every operation of an upload, and of the one that goes on
// with it. The file appears whole or not at all, and what is recorded is right.
func TestUploadCrashEverywhere(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tree := uploadTree(t, strings.Repeat(testBytes(251), 3*testPiece/251+5))
	clean := faultfile.New()
	if _, err := crashUpload(t, root, clean, tree); err != nil {
		t.Fatal(err)
	}
	if names := clean.Names(); len(names) != 1 || string(clean.Bytes("big")) != tree.data {
		t.Fatalf("without a crash there are %q", names)
	}
	resumed, moved := 0, 0
	check := func(d *faultfile.Dir, at int) {
		t.Helper()
		if big := d.Bytes("big"); big != nil {
			if string(big) != tree.data {
				t.Fatalf("crash at %d: the file is there and not what was sent", at)
			}
			moved++
			checkMoved(t, root, d, tree, at)
			return
		}
		had, err := crashUpload(t, root, d, tree)
		if err != nil {
			t.Fatalf("crash at %d: %v; there are %q", at, err, d.Names())
		}
		resumed = max(resumed, had)
		if string(d.Bytes("big")) != tree.data {
			t.Fatalf("crash at %d: after %d pieces were there the file is not what was sent", at, had)
		}
	}
	for at := 1; at <= clean.Ops(); at++ {
		d := faultfile.New()
		d.CrashAt(at)
		if _, err := crashUpload(t, root, d, tree); err == nil && at < clean.Ops()-4 {
			t.Fatalf("no failure at operation %d of %d", at, clean.Ops())
		}
		for seed := range uint64(3) {
			check(d.CrashClone(seed), at)
		}
		check(d.KillClone(), at)
	}
	if resumed < tree.layout.Pieces()-1 || moved == 0 {
		t.Errorf("only %d pieces were ever resumed; the file was there %d times", resumed, moved)
	}
}

// checkMoved uploads tree again after a crash and after the file got another name:
// its old name may be left in the folder of partial files, and no journal may tell
// of what it is. The file stays as it is.
func checkMoved(t *testing.T, root *os.Root, d *faultfile.Dir, tree *testTree, at int) {
	t.Helper()
	if err := d.Rename("big", "moved"); err != nil {
		t.Fatal(err)
	}
	for _, name := range d.Names() {
		if strings.HasSuffix(name, ".journal") {
			d.Put(name, []byte("damaged"))
		}
	}
	if _, err := crashUpload(t, root, d, tree); err != nil {
		t.Fatalf("crash at %d: once more: %v; there are %q", at, err, d.Names())
	}
	if string(d.Bytes("moved")) != tree.data || string(d.Bytes("big")) != tree.data || d.Same("big", "moved") {
		t.Fatalf("crash at %d: after another upload of it the file that was there is not what it was; there are %q", at, d.Names())
	}
}

// Once nothing more can be recorded, every request that comes before the last one has
// left is told why.
func TestUploadJournalFails(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tree := uploadTree(t, testBytes(2*testPiece))
	for _, tt := range []struct {
		err    error
		status int
	}{{syscall.ENOSPC, 507}, {syscall.EIO, 500}} {
		d := faultfile.New()
		s := makeUploads(root, faultFolder{d}, UploadOptions{}, false, slog.New(slog.DiscardHandler))
		p, _, err := s.begin(bytes.NewReader(tree.wire), "big", time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.receivePieces(p, strings.NewReader(tree.data[:testPiece]), 0, 0); err != nil {
			t.Fatal(err)
		}
		d.FailAt(d.Ops()+1, tt.err)
		if err := p.commit(); err == nil || toldOf(err).status != tt.status {
			t.Errorf("%v: commit: %v", tt.err, err)
		}
		if _, err := s.acquire(p.id, "big"); err == nil || toldOf(err).status != tt.status {
			t.Errorf("%v: another request: %v", tt.err, err)
		}
		s.release(p)
		p, err = s.acquire(p.id, "big")
		if err != nil {
			t.Errorf("%v: after the last request: %v", tt.err, err)
			continue
		}
		s.release(p)
	}
}

// A disk that is full refuses the pieces, and goes on when there is room.
func TestUploadDiskFull(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tree := uploadTree(t, testBytes(4*testPiece))
	d := faultfile.New()
	d.SetSpace(3 * testPiece)
	if _, err := crashUpload(t, root, d, tree); err == nil || toldOf(err) != errFull {
		t.Errorf("without room: %v", err)
	}
	d.SetSpace(-1)
	if had, err := crashUpload(t, root, d, tree); err != nil || had != 2 {
		t.Errorf("with room, after %d pieces: %v", had, err)
	}
	// A journal that cannot be written to ends the work of all requests, so that it
	// is read again.
	for at := 1; ; at++ {
		d := faultfile.New()
		d.FailAt(at, &fs.PathError{Op: "write", Err: fs.ErrPermission})
		_, err := crashUpload(t, root, d, tree)
		if err != nil && d.Bytes("big") == nil { // it was not the sync after that
			if _, err := crashUpload(t, root, d, tree); err != nil {
				t.Errorf("after a failure of operation %d: %v", at, err)
			}
		}
		if string(d.Bytes("big")) != tree.data {
			t.Fatalf("after a failure of operation %d the file is not what was sent", at)
		}
		if d.Ops() < at {
			break
		}
	}
}
