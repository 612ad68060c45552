package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// A diskCache keeps digests over restarts in a bbolt file. It is a cache: what
// is wrong with the file costs computing digests again, and nothing else. Its
// methods may be called from several goroutines at a time.
//
// Buckets (both names end in the format's version; any other bucket is removed):
//
//	digests.1  SHA-256 of folder and key → sequence number (8 bytes), digests
//	order.1    sequence number (8 bytes, big-endian) → the key above
//
// Sequence numbers grow, so the first entry of order.1 is the oldest.
type diskCache struct {
	db     *bbolt.DB
	folder string // absolute path of the root, part of every key
	limit  int64  // bytes of entries to keep

	mu   sync.Mutex // held by put: one writer at a time
	used int64      // bytes of entries kept, entryCost included; guarded by mu
}

var (
	digestsBucket = []byte("digests.1")
	orderBucket   = []byte("order.1")
)

// lockWait is how long to wait for another process that has the cache open.
const lockWait = 200 * time.Millisecond

// entryCost is what an entry is taken to cost on top of its value, in bytes:
// keys, sequence numbers, page headers.
const entryCost = 256

// errInUse says that another process has the cache open.
var errInUse = errors.New("in use by another process")

// openDiskCache opens the cache at path, which it makes if there is none. The
// error is errInUse, an *fs.PathError, or says how the file is damaged.
func openDiskCache(path, folder string, limit int64) (c *diskCache, err error) {
	defer trapFaults()()
	defer recoverDamage(&err)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, errInUse
	}
	if err != nil {
		return nil, err
	}
	c = &diskCache{db: db, folder: folder, limit: limit}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return c, nil
}

// prepare makes the buckets and counts what is in them.
func (c *diskCache) prepare() error {
	return c.db.Update(func(tx *bbolt.Tx) error {
		var foreign [][]byte
		err := tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			if !bytes.Equal(name, digestsBucket) && !bytes.Equal(name, orderBucket) {
				foreign = append(foreign, bytes.Clone(name))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, name := range foreign {
			if err := tx.DeleteBucket(name); err != nil {
				return err
			}
		}
		if _, err := tx.CreateBucketIfNotExists(orderBucket); err != nil {
			return err
		}
		digests, err := tx.CreateBucketIfNotExists(digestsBucket)
		if err != nil {
			return err
		}
		return digests.ForEach(func(_, value []byte) error {
			c.used += entryCost + int64(len(value))
			return nil
		})
	})
}

// get returns the digests kept for k, nil if there are none.
func (c *diskCache) get(k key) (d *digests, err error) {
	defer trapFaults()()
	defer recoverDamage(&err)
	err = c.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(digestsBucket).Get(c.key(k))
		if value == nil {
			return nil
		}
		if len(value) < 8 {
			return fmt.Errorf("%w: %d bytes", errDamaged, len(value))
		}
		d, err = decodeDigests(k, value[8:])
		return err
	})
	return d, err
}

// put keeps d for k, and drops the oldest entries until all fit the limit. What
// does not fit by itself is not kept.
func (c *diskCache) put(k key, d *digests) (err error) {
	defer trapFaults()()
	defer recoverDamage(&err)
	data, err := d.encode(k)
	if err != nil {
		return err
	}
	if int64(len(data))+entryCost > c.limit {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var used int64
	err = c.db.Update(func(tx *bbolt.Tx) error {
		digests, order := tx.Bucket(digestsBucket), tx.Bucket(orderBucket)
		id := c.key(k)
		used = c.used
		if old := digests.Get(id); len(old) >= 8 {
			used -= entryCost + int64(len(old))
			if err := order.Delete(bytes.Clone(old[:8])); err != nil {
				return err
			}
		}
		n, err := digests.NextSequence()
		if err != nil {
			return err
		}
		seq := binary.BigEndian.AppendUint64(nil, n)
		if err := digests.Put(id, append(bytes.Clone(seq), data...)); err != nil {
			return err
		}
		if err := order.Put(seq, id); err != nil {
			return err
		}
		used += entryCost + int64(len(data)) + 8
		for used > c.limit {
			oldest, id := order.Cursor().First()
			if oldest == nil {
				break
			}
			oldest, id = bytes.Clone(oldest), bytes.Clone(id)
			used -= entryCost + int64(len(digests.Get(id)))
			if err := digests.Delete(id); err != nil {
				return err
			}
			if err := order.Delete(oldest); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		c.used = used
	}
	return err
}

func (c *diskCache) close() (err error) {
	defer trapFaults()()
	defer recoverDamage(&err)
	return c.db.Close()
}

// key returns the database key of k. The folder is part of it for file systems
// that have no inodes to tell files of the same name apart.
func (c *diskCache) key(k key) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d:%s %d:%s ", k.kind, len(c.folder), c.folder, len(k.name), k.name)
	h.Write(k.version.append(nil))
	return h.Sum(nil)
}

// recoverDamage, deferred, turns a panic or a fault of bbolt into an error: it
// trusts the structure of its pages. The database must not be used after that.
func recoverDamage(err *error) {
	if p := recover(); p != nil {
		*err = &damageError{p}
	}
}

// A damageError is a panic of bbolt, which its pages led to.
type damageError struct{ panicked any }

func (e *damageError) Error() string { return fmt.Sprintf("damaged database: %v", e.panicked) }

// isDamage reports whether err says that the file is no good, as opposed to
// not ours to use.
func isDamage(err error) bool {
	_, path := errors.AsType[*fs.PathError](err)
	return err != nil && !path && !errors.Is(err, errInUse)
}

// trapFaults makes a fault in the mapped file a panic on this goroutine, and
// returns what undoes that: the file may be shorter than its pages say.
func trapFaults() (undo func()) {
	old := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(old) }
}
