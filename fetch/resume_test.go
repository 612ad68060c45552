package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/chunkget/chunkget/internal/faultfile"
	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
)

// interrupt runs the download until n bytes have been received, then cancels
// it, and returns what it had fetched.
func (r *rig) interrupt(n int64) int64 {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	r.received = func(got int64) {
		if got >= n {
			cancel()
		}
	}
	res, err := r.get(ctx)
	r.received = nil
	if kindOf(err) != KindInterrupted || !resumable(err) {
		r.t.Fatalf("interrupted download: %v", err)
	}
	return res.BytesFetched
}

// TestResumeAfterKill kills the process at random operations on the disk, again
// and again, until the file is there. What was received is not fetched again,
// apart from the incomplete piece of each connection.
func TestResumeAfterKill(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(24*mib+3, 30), etag: `"a"`, tree: true}
		r := newRig(t, tr, f, "/x")
		rng := rand.New(rand.NewPCG(1, 2))
		for kill := 1; ; kill++ {
			had := goodPieces(r.dir.Bytes("x.part"), f.data)
			r.dir.CrashAt(1 + rng.IntN(60*tr.reads()))
			res, err := r.get(t.Context())
			if err == nil {
				r.wantFile("x", f.data)
				if kill < 3 {
					t.Errorf("only %d kills", kill-1)
				}
				if res.BytesResumed != had {
					t.Errorf("resumed %d bytes, %d were on disk", res.BytesResumed, had)
				}
				return
			}
			if !errors.Is(err, faultfile.ErrCrashed) || kindOf(err) != KindDisk {
				t.Fatalf("kill %d: %v", kill, err)
			}
			if r.dir.Bytes("x") != nil {
				r.wantFile("x", f.data)
				return // it was complete and only the journal was left
			}
			if now := goodPieces(r.dir.Bytes("x.part"), f.data); now < had {
				t.Fatalf("kill %d: %d bytes on disk, had %d", kill, now, had)
			}
			r.dir = r.dir.KillClone()
		}
	})
}

// goodPieces returns the number of bytes in whole good pieces.
func goodPieces(part, data []byte) (n int64) {
	for off := 0; off < len(data); off += mib {
		end := min(off+mib, len(data))
		if len(part) >= end && bytes.Equal(part[off:end], data[off:end]) {
			n += int64(end - off)
		}
	}
	return n
}

// TestResumeAfterPowerCut is the same with what a power cut leaves, with and
// without a tree. Whatever is lost, the file must come out right.
func TestResumeAfterPowerCut(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, tree := range []bool{true, false} {
			for seed := range uint64(4) {
				f := &file{data: randomData(10*mib+3, 31), etag: `"a"`, tree: tree}
				r := newRig(t, tr, f, "/x")
				rng := rand.New(rand.NewPCG(seed, 3))
				for cut := 1; ; cut++ {
					r.dir.CrashAt(1 + rng.IntN(40*cut))
					_, err := r.get(t.Context())
					if err == nil {
						break
					}
					if !errors.Is(err, faultfile.ErrCrashed) {
						t.Fatalf("tree %v, seed %d, cut %d: %v", tree, seed, cut, err)
					}
					r.dir = r.dir.CrashClone(rng.Uint64())
					if r.dir.Bytes("x") != nil {
						break // it was complete and only the journal was left
					}
				}
				r.wantFile("x", f.data)
			}
		}
	})
}

// TestDiskFull: what fitted is kept, and the next run goes on.
func TestDiskFull(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, space := range []int64{0, 20, 1000, 5*mib + 100} {
			f := &file{data: randomData(12*mib, 32), etag: `"a"`, tree: true}
			r := newRig(t, tr, f, "/x")
			r.dir.SetSpace(space)
			e := r.fails(KindDisk)
			if !errors.Is(e, syscall.ENOSPC) || e.Hint == "" || e.Resumable != (space > 200) {
				t.Errorf("space %d: %+v", space, e)
			}
			r.dir.SetSpace(-1)
			res := r.must("x", f.data)
			if space > mib && res.BytesResumed == 0 {
				t.Errorf("space %d: nothing resumed", space)
			}
		}
	})
}

// TestDamagedJournal: damage to the journal costs what no tree can prove.
func TestDamagedJournal(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct {
			name   string
			damage func(b []byte) []byte
			note   string
		}{
			{"header", func(b []byte) []byte { b[10] ^= 1; return b }, "damaged"},
			{"foreign", func(b []byte) []byte { return []byte("# my notes\n") }, "damaged"},
			{"zeros", func(b []byte) []byte { clear(b); return b }, "damaged"},
			{"tail", func(b []byte) []byte { return append(b, "garbage"...) }, "not usable"},
			// Of the last record, or of the header when the tree came too late
			// for any piece to be recorded.
			{"last byte", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, ""},
			{"empty", func(b []byte) []byte { return nil }, "without a journal"},
		} {
			for _, tree := range []bool{true, false} {
				inBubble(t, fmt.Sprintf("%s tree=%v", tt.name, tree), func(t *testing.T) {
					f := &file{data: randomData(12*mib, 33), etag: `"a"`, tree: tree}
					r := newRig(t, tr, f, "/x")
					was := r.interrupt(6 * mib)
					r.dir.Put("x.part.journal", tt.damage(r.dir.Bytes("x.part.journal")))
					res := r.must("x", f.data)
					if !r.hasNote(tt.note) || r.count(EventNote) == 0 {
						t.Errorf("no note of %q: %+v", tt.note, r.events)
					}
					if tree {
						r.wantResumed(res, was)
					} else if res.BytesResumed != 0 && tt.note != "not usable" && tt.note != "" {
						t.Errorf("resumed %d bytes that nothing vouches for", res.BytesResumed)
					}
				})
			}
		}
	})
}

// TestDamagedPart: bytes that changed on disk between two runs are noticed
// where a digest of them is known. The tree's root alone is not one: pieces in
// the journal are not read again.
func TestDamagedPart(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		inBubble(t, "recorded with digest", func(t *testing.T) {
			f := &file{data: randomData(12*mib, 34), etag: `"a"`}
			r := newRig(t, tr, f, "/x")
			was := r.interrupt(6 * mib)
			part := r.dir.Bytes("x.part")
			part[100] ^= 1
			r.dir.Put("x.part", part)
			res := r.must("x", f.data)
			if res.PiecesBad != 0 || res.BytesResumed > was-mib {
				t.Errorf("%+v, had fetched %d", res, was)
			}
		})
		inBubble(t, "not in the journal", func(t *testing.T) {
			f := &file{data: randomData(12*mib, 35), etag: `"a"`, tree: true}
			r := newRig(t, tr, f, "/x")
			part := bytes.Clone(f.data)
			part[5*mib] ^= 1
			r.dir.Put("x.part", part)
			res := r.must("x", f.data)
			if res.BytesResumed != 11*mib || res.BytesFetched > 2*firstBytes {
				t.Errorf("%+v", res)
			}
		})
		inBubble(t, "cut", func(t *testing.T) {
			for _, tree := range []bool{true, false} {
				f := &file{data: randomData(12*mib, 36), etag: `"a"`, tree: tree}
				r := newRig(t, tr, f, "/x")
				r.interrupt(6 * mib)
				r.dir.Put("x.part", r.dir.Bytes("x.part")[:mib+5])
				if res := r.must("x", f.data); res.BytesResumed > mib {
					t.Errorf("tree %v: %+v", tree, res)
				}
			}
		})
		inBubble(t, "gone", func(t *testing.T) {
			for _, tree := range []bool{true, false} {
				f := &file{data: randomData(12*mib, 37), etag: `"a"`, tree: tree}
				r := newRig(t, tr, f, "/x")
				r.interrupt(6 * mib)
				if err := r.dir.Remove("x.part"); err != nil {
					t.Fatal(err)
				}
				if res := r.must("x", f.data); res.BytesResumed != 0 {
					t.Errorf("tree %v: %+v", tree, res)
				}
			}
		})
	})
}

// TestRemoteChangedBetweenRuns: partial data of another version is not touched
// unless that is asked for.
func TestRemoteChangedBetweenRuns(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct {
			name string
			size int
			etag string
		}{
			{"other tag", 12 * mib, `"b"`},
			{"shorter", 5 * mib, `"a"`},
			{"much shorter", mib, `"b"`},
			{"empty", 0, `"b"`},
			{"longer", 14 * mib, `"a"`},
			{"no tag", 12 * mib, ""},
		} {
			inBubble(t, tt.name, func(t *testing.T) {
				var now atomic.Pointer[file]
				now.Store(&file{data: randomData(12*mib, 38), etag: `"a"`, tree: true})
				r := newRig(t, tr, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { now.Load().ServeHTTP(w, req) }), "/x")
				r.interrupt(6 * mib)
				part := r.dir.Bytes("x.part")
				f := &file{data: randomData(tt.size, 39), etag: tt.etag, tree: true}
				now.Store(f)
				if e := r.fails(KindRemoteChanged); e.Hint == "" || e.Resumable {
					t.Errorf("%+v", e)
				}
				if !bytes.Equal(part, r.dir.Bytes("x.part")) {
					t.Error("the partial file was touched")
				}
				r.opts.Restart = true
				if res := r.must("x", f.data); res.BytesResumed != 0 {
					t.Errorf("%+v", res)
				}
			})
		}
	})
}

// TestOtherURL: the same tag at another URL is believed only with a tree.
func TestOtherURL(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, tree := range []bool{true, false} {
			f := &file{data: randomData(12*mib, 40), etag: `"a"`, tree: tree}
			r := newRig(t, tr, f, "/x")
			was := r.interrupt(6 * mib)
			u := *r.opts.URL
			u.Path = "/mirror/x"
			r.opts.URL = &u
			if !tree {
				r.fails(KindRemoteChanged)
				r.opts.Restart = true
				r.must("x", f.data)
				continue
			}
			res := r.must("x", f.data)
			r.wantResumed(res, was)
			if !r.hasNote("another URL") {
				t.Errorf("events %+v", r.events)
			}
		}
		// A file of the same size and tag that is another one: nothing of the
		// old one remains.
		f := &file{data: randomData(12*mib, 41), etag: `"a"`, tree: true}
		r := newRig(t, tr, f, "/x")
		r.interrupt(6 * mib)
		other := &file{data: randomData(12*mib, 42), etag: `"a"`, tree: true}
		r2 := newRig(t, tr, other, "/x")
		r2.dir = r.dir
		if res := r2.must("x", other.data); res.BytesResumed != 0 || res.PiecesBad != 0 {
			t.Errorf("%+v", res)
		}
	})
}

// TestOtherTree: a server that shows another tree under the same tag has
// everything checked again.
func TestOtherTree(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(12*mib, 43), etag: `"a"`, tree: true}
		r := newRig(t, tr, f, "/x")
		root, _ := rootOf(f.data)
		r.dir = leftBehind(t, f.data, r.opts.URL.String(), []int{0, 1, 2, 3}, &root)
		changed := bytes.Clone(f.data)
		changed[100] ^= 1 // in the first piece, which is on disk and in the journal
		f2 := &file{data: changed, etag: `"a"`, tree: true}
		r2 := newRig(t, tr, f2, "/x")
		r2.dir = r.dir
		// The second server answers under the address of the first.
		first, second, rt := r.opts.URL, r2.opts.URL, r2.opts.Transport
		r2.opts.URL = first
		r2.opts.Transport = roundTripFunc(func(req *http.Request) (*http.Response, error) {
			c := req.Clone(req.Context())
			c.URL.Host = second.Host
			resp, err := rt.RoundTrip(c)
			if err == nil {
				resp.Request = req
			}
			return resp, err
		})
		if res := r2.must("x", changed); res.BytesResumed < 3*mib || res.PiecesBad != 0 {
			t.Errorf("%+v", res)
		}
	})
}

// TestResumeAtTheEnd: a run that was killed between the last byte and the
// rename fetches nothing.
func TestResumeAtTheEnd(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, tree := range []bool{true, false} {
			f := &file{data: randomData(6*mib+1, 44), etag: `"a"`, tree: tree}
			r := newRig(t, tr, f, "/x")
			r.must("x", f.data)
			root, _ := rootOf(f.data)
			recorded := &root
			if !tree {
				recorded = nil
			}
			r.dir = leftBehind(t, f.data, r.opts.URL.String(), []int{0, 1, 2, 3, 4, 5, 6}, recorded)
			f.honest()
			res := r.must("x", f.data)
			if res.BytesFetched != 0 || res.BytesResumed != int64(len(f.data)) || len(f.asked()) != 1 || tree && res.Root != root {
				t.Errorf("tree %v: %+v after %d requests", tree, res, len(f.asked()))
			}
		}
	})
}

// leftBehind returns what a run leaves that was killed after it had recorded
// some pieces of data, whose tag is "a". All of data is in the partial file.
func leftBehind(t *testing.T, data []byte, url string, pieces []int, root *merkle.Hash) *faultfile.Dir {
	t.Helper()
	d := faultfile.New()
	d.Put("x.part", data)
	w, err := journal.Open(d, "x.part.journal")
	if !errors.Is(err, journal.ErrEmpty) {
		t.Fatal(err)
	}
	if err := w.Reset(journal.Header{Size: int64(len(data)), PieceSize: mib, ETag: `"a"`, URL: url}); err != nil {
		t.Fatal(err)
	}
	part, err := d.Open("x.part", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(part, journal.Batch{Verified: pieces, Root: (*journal.Digest)(root)}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), part.Close()); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestFileExists: a finished file is not replaced without being asked.
func TestFileExists(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(1000, 45), etag: `"a"`}
		r := newRig(t, tr, f, "/x")
		r.dir.Put("x", []byte("precious"))
		_, err := r.get(t.Context())
		if kindOf(err) != KindDisk || !errors.Is(err, fs.ErrExist) {
			t.Errorf("%v", err)
		}
		r.opts.Output = "x"
		asked := len(f.asked())
		if _, err = r.get(t.Context()); kindOf(err) != KindDisk || len(f.asked()) != asked {
			t.Errorf("with a name given: %v after %d requests", err, len(f.asked())-asked)
		}
		r.wantFile("x", []byte("precious"))
		r.opts.Overwrite = true
		r.must("x", f.data)
	})
}

// TestLocked: two downloads of one file do not write over each other.
func TestLocked(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(1000, 46), etag: `"a"`}
		r := newRig(t, tr, f, "/x")
		l, err := r.dir.OpenLocked("x.part.journal")
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.get(t.Context())
		if kindOf(err) != KindDisk || !errors.Is(err, journal.ErrLocked) {
			t.Errorf("%v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		r.must("x", f.data)
	})
}

// TestDispositionAndResume: the name that only the server knows is found
// again, although the first request cannot know what is missing of it.
func TestDispositionAndResume(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(16*mib, 47), etag: `"a"`, tree: true, dispo: `attachment; filename="named.bin"`}
		r := newRig(t, tr, f, "/x?id=5")
		was := r.interrupt(10 * mib)
		if !strings.HasPrefix(r.last.Path, "named.bin") {
			t.Errorf("path %q", r.last.Path)
		}
		r.wantResumed(r.must("named.bin", f.data), was)
	})
}

func TestOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newRig(t, transports[0], &file{}, "/x")
		for name, change := range map[string]func(o *Options){
			"no URL":               func(o *Options) { o.URL = nil },
			"no transport":         func(o *Options) { o.Transport = nil },
			"negative connections": func(o *Options) { o.Connections = -1 },
			"many connections":     func(o *Options) { o.Connections = MaxConnections + 1 },
			"short digest":         func(o *Options) { o.Digest = Digest{"sha-256", []byte{1}} },
			"directory as output":  func(o *Options) { o.Output = "x/" },
			"parent as output":     func(o *Options) { o.Output = ".." },
		} {
			o := u.opts
			change(&o)
			if _, err := Get(t.Context(), o); kindOf(err) != KindUsage {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
