package journal_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/internal/faultfile"
	"github.com/chunkget/chunkget/journal"
)

const name = "x.part.journal"

var header = journal.Header{Size: 100<<20 + 5, PieceSize: 1 << 20, ETag: `"v1"`, URL: "udt://host:9000/x"}

const expected = "sha-256:0123"

type noSync struct{}

func (noSync) Sync() error { return nil }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, d journal.Dir, h journal.Header) *journal.Writer {
	t.Helper()
	w, err := journal.Open(d, name)
	if !errors.Is(err, journal.ErrEmpty) {
		t.Fatalf("new journal: %v", err)
	}
	must(t, w.Reset(h))
	return w
}

func reopen(t testing.TB, d journal.Dir) *journal.Writer {
	t.Helper()
	w, err := journal.Open(d, name)
	must(t, err)
	return w
}

func digest(i int) journal.Digest { return sha256.Sum256([]byte{byte(i), byte(i >> 8)}) }

func TestRoundTrip(t *testing.T) {
	d := faultfile.New()
	w := create(t, d, header)
	root := digest(999)
	must(t, w.Commit(noSync{}, journal.Batch{Expected: expected, Root: &root, Verified: []int{7, 3, 4, 5, 100}}))
	must(t, w.Commit(noSync{}, journal.Batch{}))
	must(t, w.Commit(noSync{}, journal.Batch{Verified: []int{4, 6}, Digests: []journal.PieceDigest{{51, digest(51)}, {50, digest(50)}}}))
	must(t, w.Close())

	w = reopen(t, d)
	s := w.State()
	if s.Header != header || !s.HasRoot || s.Root != root || s.Expected != expected || s.TornBytes != 0 {
		t.Errorf("state %+v", s)
	}
	if got, want := slices.Collect(s.Pieces()), []int{3, 4, 5, 6, 7, 50, 51, 100}; !slices.Equal(got, want) || s.Count() != len(want) {
		t.Errorf("pieces %v (count %d), want %v", got, s.Count(), want)
	}
	if sum, ok := s.Digest(50); !ok || sum != digest(50) {
		t.Errorf("digest of piece 50: %x, %v", sum, ok)
	}
	if _, ok := s.Digest(3); ok {
		t.Error("piece 3 has a digest")
	}
	var runs [][2]int
	for first, n := range s.Runs() {
		runs = append(runs, [2]int{first, n})
	}
	if want := [][2]int{{3, 5}, {50, 2}, {100, 1}}; !slices.Equal(runs, want) {
		t.Errorf("runs %v, want %v", runs, want)
	}
	must(t, w.Forget([]int{4, 50}, false))
	must(t, w.Close())
	s = reopen(t, d).State()
	if got, want := slices.Collect(s.Pieces()), []int{3, 5, 6, 7, 51, 100}; !slices.Equal(got, want) || !s.HasRoot {
		t.Errorf("after Forget: pieces %v, want %v, root %v", got, want, s.HasRoot)
	}
	d = faultfile.New()
	w = create(t, d, header)
	must(t, w.Commit(noSync{}, journal.Batch{Root: &root}))
	must(t, w.Forget(nil, true))
	root = digest(1000)
	must(t, w.Commit(noSync{}, journal.Batch{Root: &root}))
	if s := w.State(); s.Root != root {
		t.Errorf("after the first was forgotten, the root is %x", s.Root)
	}
}

func TestLock(t *testing.T) {
	d := faultfile.New()
	w := create(t, d, header)
	if _, err := journal.Open(d, name); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("second writer: %v", err)
	}
	must(t, w.Reset(header)) // puts another file in place
	if _, err := journal.Open(d, name); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("second writer after a rewrite: %v", err)
	}
	must(t, w.Close())
	must(t, reopen(t, d).Close())
}

// TestTornTail cuts and damages a journal at every byte: what is before the
// damage stays, nothing else is ever reported, and writing goes on from there.
func TestTornTail(t *testing.T) {
	d := faultfile.New()
	w := create(t, d, header)
	headerLen := w.State().GoodBytes
	for i := range 5 {
		must(t, w.Commit(noSync{}, journal.Batch{Verified: []int{2 * i}}))
	}
	must(t, w.Close())
	whole := d.Bytes(name)
	record := (int64(len(whole)) - headerLen) / 5

	damage := map[string]func(at int) []byte{
		"cut": func(at int) []byte { return whole[:at] },
		"flip": func(at int) []byte {
			b := bytes.Clone(whole)
			b[at] ^= 0x10
			return b
		},
		"zeros from": func(at int) []byte {
			b := bytes.Clone(whole)
			clear(b[at:])
			return b
		},
	}
	for kind, make := range damage {
		for at := range whole {
			b := make(at)
			d.Put(name, b)
			w, err := journal.Open(d, name)
			if int64(at) < headerLen {
				if !errors.Is(err, journal.ErrDamaged) && !(errors.Is(err, journal.ErrEmpty) && len(b) == 0) {
					t.Fatalf("%s %d: header accepted: %v", kind, at, err)
				}
				must(t, w.Close())
				continue
			}
			must(t, err)
			good := int((int64(at) - headerLen) / record)
			if kind == "zeros from" && bytes.Equal(b, whole) {
				good = 5 // the last bytes were zero already
			}
			if got := w.State().Count(); got != good {
				t.Fatalf("%s %d: %d records, want %d", kind, at, got, good)
			}
			must(t, w.Commit(noSync{}, journal.Batch{Verified: []int{99}}))
			must(t, w.Close())
			w = reopen(t, d)
			if s := w.State(); s.Count() != good+1 || !s.Has(99) || s.TornBytes != 0 {
				t.Fatalf("%s %d: after going on: %d pieces, %d torn", kind, at, s.Count(), s.TornBytes)
			}
			must(t, w.Close())
		}
	}
}

// TestReadWhileWriting reads without a lock, also in the middle of an append.
func TestReadWhileWriting(t *testing.T) {
	d := faultfile.New()
	w := create(t, d, header)
	must(t, w.Commit(noSync{}, journal.Batch{Verified: []int{1}}))
	must(t, w.Commit(noSync{}, journal.Batch{Verified: []int{2}}))
	b := d.Bytes(name)
	for cut, want := range map[int]int{len(b): 2, len(b) - 3: 1} {
		s, err := journal.Read(bytes.NewReader(b[:cut]), int64(cut))
		must(t, err)
		if s.Count() != want || (s.TornBytes > 0) != (want == 1) {
			t.Errorf("%d bytes: %d pieces, %d torn (%s)", cut, s.Count(), s.TornBytes, s.TornWhy)
		}
	}
}

func TestHeaderBounds(t *testing.T) {
	for why, h := range map[string]journal.Header{
		"negative size":   {Size: -1, PieceSize: 1},
		"no piece size":   {Size: 1},
		"too many pieces": {Size: 1 << 40, PieceSize: 1 << 10},
		"long ETag":       {Size: 1, PieceSize: 1, ETag: strings.Repeat("x", 5000)},
		"long URL":        {Size: 1, PieceSize: 1, URL: strings.Repeat("x", 40000)},
	} {
		d := faultfile.New()
		w, err := journal.Open(d, name)
		if !errors.Is(err, journal.ErrEmpty) {
			t.Fatal(err)
		}
		if err := w.Reset(h); err == nil {
			t.Errorf("%s accepted", why)
		}
	}
}

// TestFailedSyncIsFinal: after a failed sync nothing may be recorded, because
// a later sync that succeeds does not say that the earlier data is on disk.
func TestFailedSyncIsFinal(t *testing.T) {
	broken := errors.New("broken")
	for op := 1; ; op++ {
		d := faultfile.New()
		w := create(t, d, header)
		data, err := d.Open("x.part", true)
		must(t, err)
		must(t, d.Sync())
		before := d.Ops()
		d.FailAt(before+op, broken)
		err = w.Commit(data, journal.Batch{Verified: []int{1}})
		if d.Ops() < before+op {
			if op < 4 {
				t.Fatalf("a commit is only %d operations", op-1)
			}
			break
		}
		if !errors.Is(err, broken) {
			t.Fatalf("operation %d: %v", op, err)
		}
		if err := w.Commit(data, journal.Batch{Verified: []int{2}}); !errors.Is(err, broken) {
			t.Errorf("operation %d: a commit after the failure gives %v", op, err)
		}
	}
}

func TestCompact(t *testing.T) {
	d := faultfile.New()
	h := journal.Header{Size: 1 << 20, PieceSize: 1, ETag: `"v"`}
	w := create(t, d, h)
	var longest int64
	for i := range 100_000 {
		// The same few pieces again and again: all garbage.
		must(t, w.Commit(noSync{}, journal.Batch{Verified: []int{i % 50, 1000 + i%70}}))
		longest = max(longest, w.State().GoodBytes)
	}
	if now := w.State().GoodBytes; longest > 1<<20+100 || now > 1<<20 {
		t.Errorf("the journal grew to %d bytes and has %d now", longest, now)
	}
	must(t, w.Close())
	if s := reopen(t, d).State(); s.Count() != 120 || s.Header != h {
		t.Errorf("%d pieces after compaction, want 120", s.Count())
	}
	if n := d.Names(); len(n) != 1 {
		t.Errorf("files left: %v", n)
	}
}

// TestClear: an emptied journal says nothing, and may be begun again.
func TestClear(t *testing.T) {
	d := faultfile.New()
	w := create(t, d, header)
	part, err := d.Open("x.part", true)
	must(t, err)
	must(t, w.Commit(part, journal.Batch{Verified: []int{1}}))
	must(t, w.Clear())
	if w.State() != nil {
		t.Errorf("still says %+v", w.State())
	}
	must(t, w.Close())
	if _, err := journal.Read(bytes.NewReader(nil), 0); !errors.Is(err, journal.ErrEmpty) {
		t.Errorf("read: %v", err)
	}
	w, err = journal.Open(d, name)
	if !errors.Is(err, journal.ErrEmpty) {
		t.Errorf("opened again: %v", err)
	}
	must(t, w.Reset(header))
	must(t, w.Close())
	w = reopen(t, d)
	if n := w.State().Count(); n != 0 {
		t.Errorf("%d pieces are recorded", n)
	}
	must(t, w.Close())
}

func TestRemove(t *testing.T) {
	d := faultfile.New()
	w := create(t, d, header)
	must(t, w.Remove())
	if n := d.Names(); len(n) != 0 {
		t.Errorf("files left: %v", n)
	}
}

// TestRecordsAreBoundToTheirPlace exchanges two records of the same length.
func TestRecordsAreBoundToTheirPlace(t *testing.T) {
	d := faultfile.New()
	w := create(t, d, header)
	head := w.State().GoodBytes
	must(t, w.Commit(noSync{}, journal.Batch{Verified: []int{1}}))
	end1 := w.State().GoodBytes
	must(t, w.Commit(noSync{}, journal.Batch{Verified: []int{2}}))
	b := d.Bytes(name)
	moved := slices.Concat(b[:head], b[end1:], b[head:end1])
	s, err := journal.Read(bytes.NewReader(moved), int64(len(moved)))
	must(t, err)
	if s.Count() != 0 || s.TornBytes == 0 {
		t.Errorf("%d pieces out of exchanged records", s.Count())
	}
}
