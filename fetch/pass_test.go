package fetch

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A pass tells where it is five times a second, with what is left at the rate so
// far, and once at its end.
func TestPass(t *testing.T) {
	var got []Event
	at := time.Now()
	p := newPass(at, &Options{Observe: func(e Event) { got = append(got, e) }}, "f", "tree", 1000*mib)
	for range 100 {
		at = at.Add(10 * time.Millisecond)
		p.read(at, mib)
	}
	p.end(at)
	if len(got) != 6 {
		t.Fatalf("%d events in a second", len(got))
	}
	for i, e := range got[:5] {
		if e.Kind != EventHash || e.Path != "f" || e.Against != "tree" || e.Total != 1000*mib || e.Done != int64(i+1)*20*mib ||
			e.Rate < 99*mib || e.Rate > 101*mib || e.ETA < 8*time.Second || e.ETA > 10*time.Second {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if e := got[5]; e.Done != e.Total || e.ETA != 0 {
		t.Errorf("last event %+v", e)
	}
	p = newPass(at, new(Options), "f", "tree", mib)
	p.read(at, mib)
	p.end(at)
}

func TestTimeLeft(t *testing.T) {
	for _, tt := range []struct {
		bytes int64
		rate  float64
		want  time.Duration
	}{
		{0, 0, 0}, {-1, 5, 0}, {10, 5, 2 * time.Second}, {10, 0, -1}, {1 << 62, 1, -1},
	} {
		if got := timeLeft(tt.bytes, tt.rate); got != tt.want {
			t.Errorf("%d bytes at %g: %v, want %v", tt.bytes, tt.rate, got, tt.want)
		}
	}
}

// Every reading of the file is told of, by what it is held against.
func TestCheckTellsOfPasses(t *testing.T) {
	data := randomData(3*mib+5, 60)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	root, _ := rootOf(data)
	whole := sha256.Sum256(data)
	pieces := &PieceHashes{Size: int64(len(data)), Length: mib, Algorithm: "sha-256"}
	for piece := range slices.Chunk(data, mib) {
		sum := sha256.Sum256(piece)
		pieces.Sums = append(pieces.Sums, sum[:])
	}
	var ended []string
	rep, err := Check(t.Context(), CheckOptions{
		Options: Options{Output: path, Digest: Digest{"sha-256", whole[:]}, Observe: func(e Event) {
			if e.Kind != EventHash || e.Path != path || e.Total != int64(len(data)) || e.Done > e.Total {
				t.Errorf("event %+v", e)
			} else if e.Done == e.Total {
				ended = append(ended, e.Against)
			}
		}},
		Root: &root, Pieces: pieces,
	})
	if err != nil {
		t.Fatal(err)
	}
	// Between the last bytes and the end of a pass there may be another event.
	if ended = slices.Compact(ended); !slices.Equal(ended, rep.Against) || len(ended) != 3 {
		t.Errorf("passes %q, held against %q", ended, rep.Against)
	}
}

func TestRepairTellsOfPasses(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		data := randomData(4*mib, 61)
		r := newRig(t, tr, &file{data: data, etag: `"a"`, tree: true}, "/x")
		r.dir.Put("x", damaged(data, mib))
		r.mustRepair(data)
		i := slices.IndexFunc(r.events, func(e Event) bool { return e.Kind == EventStart })
		if i < 1 {
			t.Fatal("nothing was told before the download began")
		}
		if e := r.events[i-1]; e.Kind != EventHash || e.Against != "tree" || e.Done != 4*mib || e.Total != e.Done {
			t.Errorf("before the download began: %+v", e)
		}
	})
}
