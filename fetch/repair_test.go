package fetch

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/internal/faultfile"
	"github.com/chunkget/chunkget/merkle"
)

const leaf = merkle.LeafSize

// damaged returns data with a wrong byte at each offset.
func damaged(data []byte, at ...int) []byte {
	b := bytes.Clone(data)
	for _, i := range at {
		b[i] ^= 1
	}
	return b
}

// repair repairs the file x of the rig.
func (r *rig) repair() (*Result, error) {
	r.events = nil
	o := r.opts
	o.Output = "x"
	return Repair(r.t.Context(), o)
}

// mustRepair fails the test unless x holds data afterwards and nothing else is
// left.
func (r *rig) mustRepair(data []byte) *Result {
	r.t.Helper()
	res, err := r.repair()
	if err != nil {
		r.t.Fatalf("repair: %v", err)
	}
	r.wantFile("x", data)
	if names := r.dir.Names(); len(names) != 1 {
		r.t.Errorf("files left: %q", names)
	}
	if root, _ := rootOf(data); !res.Verified || res.Root != root || res.Bytes != int64(len(data)) {
		r.t.Errorf("%+v", res)
	}
	return res
}

// TestRepair fetches what differs and nothing else.
func TestRepair(t *testing.T) {
	data := randomData(5*mib+20000, 70)
	size := len(data)
	for _, tt := range []struct {
		name    string
		local   []byte
		fetched int64 // with leaf hashes
		pieces  int64 // without
	}{
		{"right", data, 0, 0},
		{"one byte", damaged(data, 3*mib+5), leaf, mib},
		{"the first and the last byte", damaged(data, 0, size-1), leaf + 20000 - leaf, mib + 20000},
		{"two leaves side by side", damaged(data, leaf-1, leaf), 2 * leaf, mib},
		{"cut", data[:4*mib+100], int64(size) - 4*mib, int64(size) - 4*mib},
		{"cut in a leaf", data[:2*mib+3*leaf+5], int64(size) - 2*mib - 3*leaf, int64(size) - 2*mib},
		{"too long", append(bytes.Clone(data), data[:3*mib]...), 0, 0},
		{"empty", nil, int64(size), int64(size)},
		{"foreign", randomData(size, 71), int64(size), int64(size)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, leaves := range []bool{true, false} {
				run(t, func(t *testing.T, tr transport) {
					f := &file{data: data, etag: `"a"`, tree: true, leaves: leaves}
					r := newRig(t, tr, f, "/x")
					r.dir.Put("x", tt.local)
					res := r.mustRepair(data)
					want := tt.fetched
					if !leaves {
						want = tt.pieces
					}
					if res.BytesFetched != want || res.BytesResumed != int64(size)-want || res.Intact != (tt.name == "right") {
						t.Errorf("leaves %v: fetched %d bytes, want %d: %+v", leaves, res.BytesFetched, want, res)
					}
				})
			}
		})
	}
}

// TestRepairTrustsNoLeaves: leaf hashes that do not lead to their piece cost the
// piece.
func TestRepairTrustsNoLeaves(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(3*mib, 72), etag: `"a"`, tree: true, leaves: true, wrongLeaves: true}
		r := newRig(t, tr, f, "/x")
		r.dir.Put("x", damaged(f.data, mib+5))
		if res := r.mustRepair(f.data); res.BytesFetched != mib {
			t.Errorf("%+v", res)
		}
		if !slices.ContainsFunc(r.events, func(e Event) bool { return e.Kind == EventNote && e.Code == CodeTreeInvalid }) {
			t.Errorf("no note: %+v", r.events)
		}
	})
}

// TestRepairRefuses leaves the file alone.
func TestRepairRefuses(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(2*mib, 73)
		local := damaged(data, 5)
		wrong := sha256.Sum256(nil)
		for _, tt := range []struct {
			name   string
			change func(f *file, r *rig)
			kind   Kind
		}{
			{"no tree", func(f *file, r *rig) { f.tree = false }, KindOther},
			{"no file there", func(f *file, r *rig) {
				f.script = func(_ *file, n int, w http.ResponseWriter, _ *http.Request) bool {
					w.WriteHeader(404)
					return true
				}
			}, KindHTTPStatus},
			{"no ranges", func(f *file, r *rig) {
				f.script = func(f *file, n int, w http.ResponseWriter, _ *http.Request) bool {
					w.Header().Set("Content-Length", "2097152")
					w.Write(f.data)
					return true
				}
			}, KindRangeUnsupported},
			{"bad data for ever", func(f *file, r *rig) {
				f.script = func(f *file, n int, w http.ResponseWriter, req *http.Request) bool {
					(&file{data: local}).serveFile(w, req)
					return true
				}
			}, KindIntegrity},
			{"another digest", func(f *file, r *rig) { r.opts.Digest = Digest{"sha-256", wrong[:]} }, KindIntegrity},
		} {
			f := &file{data: data, etag: `"a"`, tree: true, leaves: true}
			r := newRig(t, tr, f, "/x")
			r.dir.Put("x", local)
			tt.change(f, r)
			if _, err := r.repair(); kindOf(err) != tt.kind {
				t.Errorf("%s: %v", tt.name, err)
			}
			r.wantFile("x", local)
		}
	})
	runPart(t, "nothing to repair", func(t *testing.T, tr transport) {
		r := newRig(t, tr, &file{data: []byte("x"), etag: `"a"`, tree: true}, "/x")
		if _, err := r.repair(); kindOf(err) != KindDisk || len(r.dir.Names()) != 0 {
			t.Errorf("%v, files %q", err, r.dir.Names())
		}
	})
}

// TestRepairAfterPowerCut cuts the power at every operation of a repair. The file
// is the old one or the new one, whole, and the next repair goes on. Over TCP it cuts
// at each, else at one in seven: all that differs is how many writes there are.
func TestRepairAfterPowerCut(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(4*mib+3, 74), etag: `"a"`, tree: true, leaves: true}
		local := damaged(f.data[:3*mib+100], 5, 2*mib)
		r := newRig(t, tr, f, "/x")
		step := 1
		if tr.name != "tcp" {
			step = 7
		}
		for at := 1; ; at += step {
			r.dir = faultfile.New()
			r.dir.Put("x", local)
			r.dir.CrashAt(at)
			_, err := r.repair()
			if err != nil && !errors.Is(err, faultfile.ErrCrashed) {
				t.Fatalf("operation %d: %v", at, err)
			}
			done := err == nil
			r.dir = r.dir.CrashClone(rand.Uint64())
			if got := r.dir.Bytes("x"); !bytes.Equal(got, local) && !bytes.Equal(got, f.data) || done && !bytes.Equal(got, f.data) {
				t.Fatalf("operation %d: the file is neither the old one nor the new one", at)
			}
			if at%3 == 0 || done {
				if _, err := r.repair(); err != nil {
					t.Fatalf("operation %d: repair after the crash: %v", at, err)
				}
				r.wantFile("x", f.data)
			}
			if done {
				if at < 10 {
					t.Errorf("only %d operations", at)
				}
				return
			}
		}
	})
}

// TestRepairGoesOn: what an interrupted repair fetched is not fetched again.
func TestRepairGoesOn(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(16*mib, 75), etag: `"a"`, tree: true, leaves: true}
		r := newRig(t, tr, f, "/x")
		r.dir.Put("x", f.data[:mib+5])
		f.script = func(f *file, n int, w http.ResponseWriter, req *http.Request) bool {
			if n <= 4 {
				return false
			}
			// Not before there is something that must not be lost.
			if !comesAbout(30_000, func() bool { return goodPieces(r.dir.Bytes("x.part"), f.data) >= 3*mib || req.Context().Err() != nil }) {
				t.Error("what was sent does not come to the partial file")
			}
			w.WriteHeader(404)
			return true
		}
		if _, err := r.repair(); kindOf(err) != KindHTTPStatus || !resumable(err) {
			t.Fatal(err)
		}
		left := goodPieces(r.dir.Bytes("x.part"), f.data)
		f.honest()
		if res := r.mustRepair(f.data); res.BytesFetched > int64(len(f.data))-left || left < 2*mib {
			t.Errorf("%d bytes were there: %+v", left, res)
		}
	})
}

// TestCheck tells which bytes are bad, whatever the file is held against.
func TestCheck(t *testing.T) {
	data := randomData(3*mib+100, 76)
	root, _ := rootOf(data)
	sum := sha256.Sum256(data)
	digest := Digest{"sha-256", sum[:]}
	pieces := &PieceHashes{Size: int64(len(data)), Length: mib, Algorithm: "sha-256"}
	for off := 0; off < len(data); off += mib {
		h := sha256.Sum256(data[off:min(off+mib, len(data))])
		pieces.Sums = append(pieces.Sums, h[:])
	}
	run(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct {
			name    string
			local   []byte
			against string
			want    string // bad ranges
			code    Code
		}{
			{"right", data, "tree", "", ""},
			{"right", data, "leaves", "", ""},
			{"right", data, "root", "", ""},
			{"right", data, "digest", "", ""},
			{"right", data, "announced", "", ""},
			{"right", data, "pieces", "", ""},
			{"right", data, "tree and root", "", ""},
			{"right", data, "tree and other root", "", CodeRootMismatch},
			{"one byte", damaged(data, mib+5), "tree", "[1048576,2097152)", CodePieceMismatch},
			{"one byte", damaged(data, mib+5), "leaves", "[1048576,1064960)", CodePieceMismatch},
			{"one byte", damaged(data, mib+5), "root", "", CodeRootMismatch},
			{"one byte", damaged(data, mib+5), "digest", "", CodeDigestMismatch},
			{"one byte", damaged(data, mib+5), "announced", "", CodeDigestMismatch},
			{"one byte", damaged(data, mib+5), "pieces", "[1048576,2097152)", CodePieceMismatch},
			{"cut", data[:2*mib], "leaves", "[2097152,3145828)", CodeSizeChanged},
			{"cut", data[:2*mib], "pieces", "[2097152,3145828)", CodeSizeChanged},
			{"cut", data[:2*mib], "root", "", CodeRootMismatch},
			{"too long", append(bytes.Clone(data), 1, 2, 3), "leaves", "[3145828,3145831)", CodeSizeChanged},
			{"too long", append(bytes.Clone(data), 1, 2, 3), "pieces", "[3145828,3145831)", CodeSizeChanged},
		} {
			f := &file{data: data, etag: `"a"`, tree: strings.HasPrefix(tt.against, "tree") || tt.against == "leaves", leaves: tt.against == "leaves"}
			r := newRig(t, tr, f, "/x")
			path := filepath.Join(t.TempDir(), "x")
			if err := os.WriteFile(path, tt.local, 0o600); err != nil {
				t.Fatal(err)
			}
			o := CheckOptions{Options: r.opts}
			o.Output = path
			switch tt.against {
			case "root":
				o.URL, o.Root = nil, &root
			case "digest":
				o.URL, o.Digest = nil, digest
			case "announced":
				f.repr = sum[:]
			case "pieces":
				o.URL, o.Pieces = nil, pieces
			case "tree and root":
				o.Root = &root
			case "tree and other root":
				o.Root = new(merkle.Hash)
			}
			rep, err := Check(t.Context(), o)
			var bad []string
			for _, b := range rep.Bad {
				bad = append(bad, b.String())
			}
			got := strings.Join(bad, " ")
			if got != tt.want || CodeOf(err) != tt.code || (err == nil) != (tt.code == "") || err != nil && kindOf(err) != KindIntegrity {
				t.Errorf("%s against %s: bad %q, want %q: %v", tt.name, tt.against, got, tt.want, err)
			}
		}
	})
}
