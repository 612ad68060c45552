package fetch

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"io"
	"log"
	"slices"
	"strings"
	"testing"
)

var quiet = log.New(io.Discard, "", 0)

// reprField is a Repr-Digest, whose algorithm goes by the length of sum.
func reprField(sum []byte) string {
	if len(sum) == sha512.Size {
		return "sha-512=:" + base64.StdEncoding.EncodeToString(sum) + ":"
	}
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
}

func TestGet(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct {
			name string
			size int
			n    int
			tree bool
			etag string
		}{
			{"tree", 20*mib + 12345, 8, true, `"v1"`},
			{"one connection", 9 * mib, 1, true, `"v1"`},
			{"no tree", 20*mib + 1, 4, false, `"v1"`},
			{"no tag", 9 * mib, 4, false, ""},
			{"weak tag", 9 * mib, 4, false, `W/"v1"`},
			{"weak tag and tree", 9 * mib, 4, true, `W/"v1"`},
			{"smaller than a piece", 1000, 8, true, `"v1"`},
			{"one byte", 1, 8, true, `"v1"`},
			{"empty", 0, 8, false, `"v1"`},
			{"empty with tree", 0, 8, true, `"v1"`},
			{"exactly the first request", firstBytes, 8, true, `"v1"`},
		} {
			inBubble(t, tt.name, func(t *testing.T) {
				f := &file{data: randomData(tt.size, 1), etag: tt.etag, tree: tt.tree}
				r := newRig(t, tr, f, "/dir/data.bin")
				r.opts.Connections = tt.n
				res := r.must("data.bin", f.data)
				if res.BytesFetched != int64(tt.size) || res.BytesResumed != 0 || res.Retries != 0 || res.PiecesBad != 0 {
					t.Errorf("result %+v", res)
				}
				if res.Verified != tt.tree {
					t.Errorf("Verified = %v", res.Verified)
				}
				if root, _ := rootOf(f.data); tt.tree && res.Root != root {
					t.Errorf("Root = %v, want %v", res.Root, root)
				}
				if r.count(EventStart) != 1 || r.count(EventRetry) != 0 {
					t.Errorf("events %+v", r.events)
				}
			})
		}
	})
}

func TestGetWholeDigest(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		data := randomData(5*mib, 2)
		sum := sha256.Sum256(data)
		wrong := sha256.Sum256(nil)
		inBubble(t, "asked for", func(t *testing.T) {
			r := newRig(t, tr, &file{data: data, etag: `"a"`, tree: true}, "/x")
			r.opts.Digest = Digest{"sha-256", sum[:]}
			if res := r.must("x", data); !res.Digest.Equal(Digest{"sha-256", sum[:]}) {
				t.Errorf("Digest = %v", res.Digest)
			}
			// Reading the file once more may take minutes, and is told of.
			i := slices.IndexFunc(r.events, func(e Event) bool { return e.Kind == EventHash && e.Done == e.Total })
			if i < 0 {
				t.Fatal("nothing is told of the reading for the digest")
			}
			if e := r.events[i]; e.Path != "x" || e.Against != "sha-256" || e.Total != int64(len(data)) {
				t.Errorf("%+v", e)
			}
		})
		inBubble(t, "announced", func(t *testing.T) {
			r := newRig(t, tr, &file{data: data, etag: `"a"`, repr: sum[:]}, "/x")
			if res := r.must("x", data); !res.Digest.Equal(Digest{"sha-256", sum[:]}) {
				t.Errorf("Digest = %v", res.Digest)
			}
		})
		inBubble(t, "SHA-512", func(t *testing.T) {
			long := sha512.Sum512(data)
			want := Digest{"sha-512", long[:]}
			r := newRig(t, tr, &file{data: data, etag: `"a"`, repr: long[:]}, "/x")
			if res := r.must("x", data); !res.Digest.Equal(want) {
				t.Errorf("announced: Digest = %v", res.Digest)
			}
			r = newRig(t, tr, &file{data: data, etag: `"a"`, tree: true, repr: wrong[:]}, "/x")
			r.opts.Digest = want
			if res := r.must("x", data); !res.Digest.Equal(want) || !res.Verified {
				t.Errorf("asked for: %+v", res)
			}
			long[63] ^= 1
			r = newRig(t, tr, &file{data: data, etag: `"a"`, repr: long[:]}, "/x")
			if e := r.fails(KindIntegrity); CodeOf(e) != CodeDigestMismatch {
				t.Errorf("code %q", CodeOf(e))
			}
			r.wantFile("x.bad", data)
		})
		inBubble(t, "wrong", func(t *testing.T) {
			r := newRig(t, tr, &file{data: data, etag: `"a"`, tree: true}, "/x")
			r.opts.Digest = Digest{"sha-256", wrong[:]}
			if e := r.fails(KindIntegrity); e.Resumable {
				t.Error("resumable")
			}
			r.wantFile("x.bad", data)
			if n := r.dir.Names(); len(n) != 1 {
				t.Errorf("files left: %q", n)
			}
		})
		inBubble(t, "announced wrongly", func(t *testing.T) {
			r := newRig(t, tr, &file{data: data, etag: `"a"`, repr: wrong[:]}, "/x")
			r.fails(KindIntegrity)
			r.wantFile("x.bad", data)
		})
		// Beside a tree it counts where it is cheap to look at.
		inBubble(t, "announced beside a tree", func(t *testing.T) {
			r := newRig(t, tr, &file{data: data, etag: `"a"`, tree: true, repr: sum[:]}, "/x")
			if res := r.must("x", data); !res.Digest.Equal(Digest{"sha-256", sum[:]}) || !res.Verified || r.count(EventDigestUnused) != 0 {
				t.Errorf("%+v", res)
			}
		})
		inBubble(t, "announced wrongly beside a tree", func(t *testing.T) {
			r := newRig(t, tr, &file{data: data, etag: `"a"`, tree: true, repr: wrong[:]}, "/x")
			if e := r.fails(KindIntegrity); CodeOf(e) != CodeDigestMismatch || e.Resumable || !strings.Contains(e.Hint, "contradict") {
				t.Errorf("%+v", e)
			}
			r.wantFile("x.bad", data)
			if r.dir.Bytes("x") != nil || r.count(EventDone) != 0 {
				t.Error("it is called complete")
			}
			r.opts.Writer = new(bytes.Buffer)
			if e := r.fails(KindIntegrity); CodeOf(e) != CodeDigestMismatch {
				t.Errorf("to a writer: %+v", e)
			}
		})
		inBubble(t, "announced beside the tree of a large file", func(t *testing.T) {
			large := randomData(digestBesideTree+1, 3)
			r := newRig(t, tr, &file{data: large, etag: `"a"`, tree: true, repr: wrong[:]}, "/x")
			if res := r.must("x", large); !res.Digest.IsZero() || !res.Verified {
				t.Errorf("%+v", res)
			}
			if n := r.count(EventDigestUnused); n != 1 {
				t.Errorf("told of the digest %d times", n)
			}
			if last := r.events[len(r.events)-1]; last.Kind != EventDone {
				t.Errorf("the last event is %v", last.Kind)
			}
		})
	})
}
