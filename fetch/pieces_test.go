package fetch

import (
	"math"
	"slices"
	"testing"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/metalink"
)

// Pieces of a Metalink beyond the bounds are not used: how long they are, how many, and
// whether they are as many as the file has.
func TestPiecesAreBounded(t *testing.T) {
	const kib = 1 << 10
	for _, tt := range []struct {
		name   string
		size   int64 // of the file
		told   int64 // by the Metalink
		length int64
		n      int
		hash   int // its length
		want   bool
	}{
		{"the shortest", 200 * kib, 200 * kib, 64 * kib, 4, 32, true},
		{"too short", 200 * kib, 200 * kib, 64*kib - 1, 4, 32, false},
		{"the longest", 40 * mib, 40 * mib, 16 * mib, 3, 32, true},
		{"too long", 40 * mib, 40 * mib, 16*mib + 1, 3, 32, false},
		{"much too long", 40 * mib, 40 * mib, math.MaxInt64, 1, 32, false},
		{"as many as possible", journal.MaxPieces * 64 * kib, journal.MaxPieces * 64 * kib, 64 * kib, journal.MaxPieces, 32, true},
		{"too many", journal.MaxPieces*64*kib + 1, journal.MaxPieces*64*kib + 1, 64 * kib, journal.MaxPieces + 1, 32, false},
		{"size not told", 200 * kib, -1, 64 * kib, 4, 32, true},
		{"of another size", 200 * kib, 200*kib + 1, 64 * kib, 4, 32, false},
		{"one less than the file has", 200 * kib, -1, 64 * kib, 3, 32, false},
		{"one more", 200 * kib, -1, 64 * kib, 5, 32, false},
		{"none", 200 * kib, 200 * kib, 64 * kib, 0, 32, false},
		{"short hashes", 200 * kib, 200 * kib, 64 * kib, 4, 31, false},
	} {
		f := &metalink.File{Size: tt.told, Pieces: []metalink.Pieces{{
			Type: "sha-256", Length: tt.length, Sums: slices.Repeat([][]byte{make([]byte, tt.hash)}, tt.n),
		}}}
		if got := MetalinkPieces(f).usable(tt.size); got != tt.want {
			t.Errorf("%s: used: %v", tt.name, got)
		}
	}
}
