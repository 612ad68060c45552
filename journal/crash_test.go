package journal_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/chunkget/chunkget/internal/faultfile"
	"github.com/chunkget/chunkget/journal"
)

const (
	crashPieces    = 24
	crashPieceSize = 1500 // no multiple of a sector
	partName       = "x.part"
)

func pieceBytes(version byte, i int) []byte {
	b := make([]byte, crashPieceSize)
	rng := rand.New(rand.NewPCG(uint64(version), uint64(i)))
	for k := range b {
		b[k] = byte(rng.Uint32()) | 1 // never zero, as a lost sector would be
	}
	return b
}

// opened runs write with the journal and the partial file of a download.
func opened(d journal.Dir, write func(w *journal.Writer, part journal.File) error) error {
	w, err := journal.Open(d, name)
	if err != nil && !errors.Is(err, journal.ErrEmpty) && !errors.Is(err, journal.ErrDamaged) {
		return err
	}
	defer w.Close()
	part, err := d.Open(partName, true)
	if err != nil {
		return err
	}
	defer part.Close()
	return write(w, part)
}

// stream writes a file over another one, with no record, until the directory fails.
func stream(d journal.Dir, version byte) error {
	return opened(d, func(w *journal.Writer, part journal.File) error { return writeStream(w, part, version) })
}

func writeStream(w *journal.Writer, part journal.File, version byte) error {
	if err := w.Clear(); err != nil {
		return err
	}
	for i := range crashPieces {
		if _, err := part.WriteAt(pieceBytes(version, i), int64(i)*crashPieceSize); err != nil {
			return err
		}
	}
	return part.Sync()
}

// workload writes a file piece by piece with a journal, as a download does,
// until the directory fails. Piece i has a digest when i is even.
func workload(d journal.Dir, version byte) error {
	return opened(d, func(w *journal.Writer, part journal.File) error { return writePieces(w, part, version) })
}

func writePieces(w *journal.Writer, part journal.File, version byte) error {
	etag := fmt.Sprintf(`"%d"`, version)
	if s := w.State(); s == nil || s.Header.ETag != etag {
		// Another version: the record of the old one goes before its data does.
		err := w.Reset(journal.Header{Size: crashPieces * crashPieceSize, PieceSize: crashPieceSize, ETag: etag})
		if err != nil {
			return err
		}
		if err := part.Truncate(0); err != nil {
			return err
		}
	}
	if err := part.Truncate(crashPieces * crashPieceSize); err != nil {
		return err
	}
	var batch journal.Batch
	for k := range crashPieces {
		i := k * 7 % crashPieces
		if w.State().Has(i) {
			continue
		}
		b := pieceBytes(version, i)
		for at := 0; at < len(b); at += 600 {
			if _, err := part.WriteAt(b[at:min(at+600, len(b))], int64(i)*crashPieceSize+int64(at)); err != nil {
				return err
			}
		}
		if i%2 == 0 {
			batch.Digests = append(batch.Digests, journal.PieceDigest{Piece: i, Sum: sha256.Sum256(b)})
		} else {
			batch.Verified = append(batch.Verified, i)
		}
		if k%4 == 3 {
			if err := w.Commit(part, batch); err != nil {
				return err
			}
			batch = journal.Batch{}
		}
		if k == 13 {
			if err := w.Forget([]int{0}, false); err != nil { // rewrites
				return err
			}
		}
	}
	return w.Commit(part, batch)
}

// checkCrashed opens what a crash left and fails unless every recorded piece
// is in the file as it was written. It returns the number of them.
func checkCrashed(d *faultfile.Dir) (int, error) {
	w, err := journal.Open(d, name)
	switch {
	case errors.Is(err, journal.ErrEmpty):
		return 0, nil // before the first Reset was durable
	case err != nil:
		return 0, fmt.Errorf("journal not readable: %w", err)
	}
	defer w.Close()
	data := d.Bytes(partName)
	for i := range w.State().Pieces() {
		want := pieceBytes(w.State().Header.ETag[1]-'0', i)
		off := i * crashPieceSize
		if len(data) < off+len(want) || !bytes.Equal(data[off:off+len(want)], want) {
			return 0, fmt.Errorf("piece %d is recorded and not on disk", i)
		}
		if sum, ok := w.State().Digest(i); ok && sum != sha256.Sum256(want) {
			return 0, fmt.Errorf("piece %d has a wrong digest", i)
		}
	}
	return w.State().Count(), nil
}

// TestCrashEverywhere cuts the power after every operation of a download, of
// its resumption, of a restart with another version of the file, and of one in one
// stream, and looks at several outcomes of each crash.
func TestCrashEverywhere(t *testing.T) {
	clean := faultfile.New()
	if err := workload(clean, 1); err != nil {
		t.Fatal(err)
	}
	half := faultfile.New()
	half.CrashAt(clean.Ops() / 2)
	if err := workload(half, 1); !errors.Is(err, faultfile.ErrCrashed) {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		start   func() *faultfile.Dir
		run     func(d journal.Dir, version byte) error
		version byte
		want    int // pieces when nothing crashes
	}{
		{"new", faultfile.New, workload, 1, crashPieces - 1}, // piece 0 was forgotten
		{"resumed", func() *faultfile.Dir { return half.CrashClone(1) }, workload, 1, crashPieces - 1},
		{"another version", func() *faultfile.Dir { return half.KillClone() }, workload, 2, crashPieces - 1},
		{"one stream", func() *faultfile.Dir { return half.KillClone() }, stream, 2, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			most, last := 0, 0
			for op := 1; ; op++ {
				d := tt.start()
				d.CrashAt(op)
				err := tt.run(d, tt.version)
				for seed := range uint64(6) {
					n, err := checkCrashed(d.CrashClone(seed))
					if err != nil {
						t.Fatalf("crash at operation %d, outcome %d: %v", op, seed, err)
					}
					most, last = max(most, n), n
				}
				if err == nil {
					break
				}
				if !errors.Is(err, faultfile.ErrCrashed) {
					t.Fatalf("operation %d: %v", op, err)
				}
			}
			if last != tt.want || most < tt.want {
				t.Errorf("%d pieces survived, and %d at most, want %d when nothing crashes", last, most, tt.want)
			}
		})
	}
}
