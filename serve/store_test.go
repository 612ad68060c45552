package serve

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/merkle"
	"go.etcd.io/bbolt"
)

// testLog returns a logger and what it wrote at level Warn and above.
func testLog() (*slog.Logger, *bytes.Buffer) {
	var buf bytes.Buffer
	return slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelWarn})), &buf
}

// testDigests returns digests that fit k.
func testDigests(k key) *digests {
	l := k.layout()
	d := &digests{hashes: make([]merkle.Hash, l.Pieces())}
	for i := range d.hashes {
		d.hashes[i] = sha256.Sum256(fmt.Append(nil, k.name, i))
	}
	if k.kind == kindTree {
		d.root = l.Root(d.hashes)
		d.sha256 = sha256.Sum256([]byte(k.name))
	}
	return d
}

func openStore(t *testing.T, path string, limit int64) (*store, *bytes.Buffer) {
	t.Helper()
	log, buf := testLog()
	s := newStore(path, "/folder", limit, log)
	t.Cleanup(func() { s.close() })
	return s, buf
}

func TestDigestsRoundTrip(t *testing.T) {
	for _, kind := range []kind{kindTree, kindPieces} {
		for _, size := range []int64{0, 1, 1 << 20, 5<<20 + 1} {
			k := key{kind, "a", version{size: size}}
			want := testDigests(k)
			data, err := want.encode(k)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeDigests(k, data)
			if err != nil || got.root != want.root || got.sha256 != want.sha256 || len(got.hashes) != len(want.hashes) ||
				len(want.hashes) > 0 && !reflect.DeepEqual(got.hashes, want.hashes) {
				t.Errorf("%v of %d bytes: %v, %v", kind, size, got, err)
			}
			for i := range data {
				bad := bytes.Clone(data)
				bad[i] ^= 1
				if _, err := decodeDigests(k, bad); err == nil {
					t.Fatalf("%v of %d bytes: byte %d changed and accepted", kind, size, i)
				}
			}
			other := k
			other.version.size += 1 << 20
			if _, err := decodeDigests(other, data); err == nil {
				t.Errorf("%v of %d bytes: accepted for another size", kind, size)
			}
			other = k
			other.version.size++ // as many pieces, one of them longer
			if _, err := decodeDigests(other, data); kind == kindTree && err == nil {
				t.Errorf("tree of %d bytes: accepted for one byte more", size)
			}
			other = k
			other.kind = 3 - k.kind
			if _, err := decodeDigests(other, data); err == nil {
				t.Errorf("%v of %d bytes: accepted as another kind", kind, size)
			}
		}
	}
}

func FuzzDecodeDigests(f *testing.F) {
	for _, k := range []key{{kindTree, "a", version{size: 3 << 20}}, {kindPieces, "a", version{size: 3 << 20}}} {
		data, err := testDigests(k).encode(k)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint8(k.kind), k.version.size)
	}
	f.Fuzz(func(t *testing.T, data []byte, k uint8, size int64) {
		if size < 0 {
			return
		}
		key := key{kind(k%2 + 1), "a", version{size: size}}
		d, err := decodeDigests(key, data)
		if err != nil {
			return
		}
		if again, err := d.encode(key); err != nil || !bytes.Equal(again, data) {
			t.Errorf("decodes from %x, encodes to %x (%v)", data, again, err)
		}
	})
}

func TestCacheReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	tree := key{kindTree, "a", version{size: 5 << 20, mtime: 1}}
	pieces := key{kindPieces, "a", tree.version}
	small := key{kindTree, "small", version{size: worthDisk - 1}}
	s, _ := openStore(t, path, 1<<20)
	for _, k := range []key{tree, pieces, small} {
		s.put(k, testDigests(k))
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	s, log := openStore(t, path, 1<<20)
	for _, k := range []key{tree, pieces} {
		if got := s.get(k); !reflect.DeepEqual(got, testDigests(k)) {
			t.Errorf("%v: %v after reopening", k.kind, got)
		}
	}
	if d, err := s.disk.get(small); d != nil || err != nil || s.get(small) != nil {
		t.Error("a small file's digests were written to disk")
	}
	for name, k := range map[string]key{
		"another version": {kindTree, "a", version{size: 5 << 20, mtime: 2}},
		"another name":    {kindTree, "b", tree.version},
	} {
		if s.get(k) != nil {
			t.Errorf("%s has digests", name)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	other := newStore(path, "/other folder", 1<<20, s.log)
	defer other.close()
	if other.get(tree) != nil {
		t.Error("a file of the same name in another folder has digests")
	}
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
}

// The oldest entries make room, also over a restart; what is put again is new.
func TestCacheEviction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	k := func(i int) key { return key{kindTree, fmt.Sprint(i), version{size: 10 << 20}} }
	data, err := testDigests(k(0)).encode(k(0))
	if err != nil {
		t.Fatal(err)
	}
	limit := 3 * (int64(len(data)) + 8 + entryCost)
	s, log := openStore(t, path, limit)
	for i := range 3 {
		s.put(k(i), testDigests(k(i)))
	}
	s.put(k(0), testDigests(k(0)))
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	s, _ = openStore(t, path, limit)
	s.put(k(3), testDigests(k(3)))
	huge := key{kindTree, "huge", version{size: 1 << 40}}
	s.put(huge, testDigests(huge))
	for i, want := range []bool{true, false, true, true} {
		d, err := s.disk.get(k(i))
		if err != nil || (d != nil) != want {
			t.Errorf("entry %d: %v, %v", i, d != nil, err)
		}
	}
	if d, err := s.disk.get(huge); d != nil || err != nil {
		t.Errorf("an entry beyond the limit was kept (%v)", err)
	}
	if s.disk.used != limit || log.Len() > 0 {
		t.Errorf("%d of %d bytes used; log: %s", s.disk.used, limit, log)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	s, _ := openStore(t, "", 0)
	big := &digests{hashes: make([]merkle.Hash, memoryLimit/merkle.HashSize/3)}
	for i := range 4 {
		s.put(key{kindTree, fmt.Sprint(i), version{size: 1}}, big)
		s.get(key{kindTree, "0", version{size: 1}})
	}
	if s.bytes > memoryLimit || s.recent.Len() != 2 || len(s.byKey) != 2 {
		t.Errorf("%d entries, %d bytes", s.recent.Len(), s.bytes)
	}
	if s.get(key{kindTree, "0", version{size: 1}}) == nil || s.get(key{kindTree, "1", version{size: 1}}) != nil {
		t.Error("not the least recently used were dropped")
	}
}

// A cache that is damaged in any way costs hashing again, and nothing else.
func TestCacheDamaged(t *testing.T) {
	k := key{kindTree, "a", version{size: 500 << 20}}
	good := filepath.Join(t.TempDir(), "good.db")
	s, _ := openStore(t, good, 1<<20)
	for i := range 20 {
		other := key{kindTree, fmt.Sprint(i), version{size: 100 << 20}}
		s.put(other, testDigests(other))
	}
	s.put(k, testDigests(k))
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	fill := func(from, to int, b byte) []byte {
		c := bytes.Clone(content)
		for i := from; i < to; i++ {
			c[i] = b
		}
		return c
	}
	page := os.Getpagesize()
	for name, damaged := range map[string][]byte{
		"text":              []byte("hello"),
		"long text":         bytes.Repeat([]byte("hello "), 10_000),
		"zeros":             make([]byte, len(content)),
		"truncated":         content[:len(content)/2],
		"only meta pages":   content[:2*page],
		"no meta pages":     fill(0, 2*page, 0xff),
		"pages of zeros":    fill(2*page, len(content), 0),
		"pages of ones":     fill(2*page, len(content), 0xff),
		"half of ones":      fill(len(content)/2, len(content), 0xff),
		"one bit at a time": nil,
	} {
		t.Run(name, func(t *testing.T) {
			if damaged == nil {
				damaged = bytes.Clone(content)
				for i := 2*page + 1; i < len(damaged); i += page / 4 {
					damaged[i] ^= 4
				}
			}
			path := filepath.Join(t.TempDir(), "cache.db")
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			s, log := openStore(t, path, 1<<20)
			if got := s.get(k); got != nil && !reflect.DeepEqual(got, testDigests(k)) {
				t.Error("damaged digests were returned")
			}
			s.put(k, testDigests(k))
			if got := s.get(k); !reflect.DeepEqual(got, testDigests(k)) {
				t.Error("the store does not work any more")
			}
			if log.Len() == 0 {
				t.Log("nothing was noticed")
			}
		})
	}
}

func TestCacheReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	if err := os.WriteFile(path, []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, log := openStore(t, path, 1<<20)
	if s.disk == nil || !strings.Contains(log.String(), "damaged") {
		t.Errorf("no new cache; log: %s", log)
	}
	if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != "not a database" {
		t.Errorf("the damaged file: %q, %v", kept, err)
	}
}

// Buckets of another version are dropped, so that their room is not lost.
func TestCacheOfAnotherVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("digests.0")); return err }); err != nil {
		t.Fatal(err)
	}
	db.Close()
	s, log := openStore(t, path, 1<<20)
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
	s.disk.db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte("digests.0")) != nil || tx.Bucket(digestsBucket) == nil {
			t.Error("wrong buckets")
		}
		return nil
	})
}

// A cache that another process uses, or that cannot be made, is done without.
func TestCacheNotUsable(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cache.db")
	k := key{kindTree, "a", version{size: 5 << 20}}
	first, _ := openStore(t, path, 1<<20)
	for name, path := range map[string]string{"in use": path, "folder": dir, "no folder": filepath.Join(dir, "none", "cache.db")} {
		s, log := openStore(t, path, 1<<20)
		if s.disk != nil || !strings.Contains(log.String(), "cannot be used") {
			t.Errorf("%s: log: %s", name, log)
		}
		s.put(k, testDigests(k))
		if s.get(k) == nil {
			t.Errorf("%s: nothing is kept in memory", name)
		}
	}
	first.put(k, testDigests(k))
	if d, err := first.disk.get(k); d == nil || err != nil {
		t.Errorf("the first user is disturbed: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
}

// A served folder finds its digests again after a restart, without reading.
func TestDigestsSurviveRestart(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache.db")
	f := serveFolder(t, Options{CacheFile: cache}, map[string]string{"a": testBytes(2 << 20)})
	want := f.known(t, "a")
	if !f.Stats().CachedOnDisk {
		t.Error("not cached on disk")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	again := serveDir(t, Options{CacheFile: cache}, f.dir)
	again.hasher.open = func(string) (source, error) { t.Error("read again"); return nil, errNotFound }
	if got := again.known(t, "a"); !reflect.DeepEqual(got, want) {
		t.Error("other digests after the restart")
	}
	if again.get(t, "/a").Header().Get("Repr-Digest") == "" {
		t.Error("no Repr-Digest")
	}
}
