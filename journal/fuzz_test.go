package journal_test

import (
	"bytes"
	"testing"

	"github.com/chunkget/chunkget/internal/faultfile"
	"github.com/chunkget/chunkget/journal"
)

// FuzzRead replays foreign bytes. Whatever is read must survive being written
// again, and no more may be allocated than the bound on pieces allows.
func FuzzRead(f *testing.F) {
	d := faultfile.New()
	w := create(f, d, header)
	f.Add(d.Bytes(name))
	root := digest(1)
	must(f, w.Commit(noSync{}, journal.Batch{Expected: expected, Root: &root, Verified: []int{1, 2, 5}, Digests: []journal.PieceDigest{{8, digest(8)}}}))
	must(f, w.Commit(noSync{}, journal.Batch{Verified: []int{3}}))
	f.Add(d.Bytes(name))
	f.Add([]byte{})

	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := journal.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if s.GoodBytes+s.TornBytes != int64(len(b)) || s.GoodBytes > int64(len(b)) {
			t.Fatalf("%d good and %d torn of %d bytes", s.GoodBytes, s.TornBytes, len(b))
		}
		n := 0
		for i := range s.Pieces() {
			if i < 0 || i >= s.Header.Pieces() {
				t.Fatalf("piece %d of %d", i, s.Header.Pieces())
			}
			n++
		}
		if n != s.Count() || n > journal.MaxPieces {
			t.Fatalf("%d pieces, Count() = %d", n, s.Count())
		}
		d := faultfile.New()
		d.Put(name, b)
		w, err := journal.Open(d, name)
		if err != nil {
			t.Fatalf("Read accepts what Open does not: %v", err)
		}
		must(t, w.Forget(nil, false)) // writes all of it anew
		again, err := journal.Read(bytes.NewReader(d.Bytes(name)), int64(len(d.Bytes(name))))
		must(t, err)
		if again.Header != s.Header || again.Count() != s.Count() || again.HasRoot != s.HasRoot || again.Root != s.Root || again.Expected != s.Expected || again.TornBytes != 0 {
			t.Fatalf("written anew: %+v, was %+v", again, s)
		}
		for i := range s.Pieces() {
			x, ok := s.Digest(i)
			y, ok2 := again.Digest(i)
			if !again.Has(i) || ok != ok2 || x != y {
				t.Fatalf("piece %d differs", i)
			}
		}
	})
}
