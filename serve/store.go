package serve

import (
	"container/list"
	"errors"
	"log/slog"
	"os"
	"sync"
)

const (
	// memoryLimit bounds the digests held in memory, in bytes: the trees of
	// 2 TiB of files.
	memoryLimit = 64 << 20

	// defaultDiskLimit bounds the digests kept on disk, in bytes.
	defaultDiskLimit = 64 << 20

	// worthDisk is the size of a file, in bytes, from which on computing its
	// digests again costs more than the sync that keeps them.
	worthDisk = 1 << 20
)

// A store keeps digests: the recently used ones in memory, and those of all but
// small files on disk. A disk that fails is reported once and done without. Its
// methods may be called from several goroutines at a time.
type store struct {
	log *slog.Logger

	mu     sync.Mutex
	disk   *diskCache            // nil if there is none; guarded by mu
	recent *list.List            // of *entry, most recently used first; guarded by mu
	byKey  map[key]*list.Element // of recent; guarded by mu
	bytes  int64                 // size of all entries; guarded by mu
}

type entry struct {
	key     key
	digests *digests
}

// newStore returns a store for the files of folder, an absolute path. path names
// its file, "" for none; a file that cannot be used is reported, not an error.
func newStore(path, folder string, limit int64, log *slog.Logger) *store {
	s := &store{log: log, recent: list.New(), byKey: make(map[key]*list.Element)}
	if path == "" {
		return s
	}
	disk, err := openDiskCache(path, folder, limit)
	if isDamage(err) {
		log.Warn("hash cache is damaged, starting a new one", "file", path, "err", err)
		// One damaged file is kept for whoever wants to know why.
		if err = os.Rename(path, path+".damaged"); err == nil {
			disk, err = openDiskCache(path, folder, limit)
		}
	}
	if err != nil {
		log.Warn("hash cache cannot be used, keeping digests in memory", "file", path, "err", err)
		return s
	}
	s.disk = disk
	return s
}

// get returns the digests of k, nil if they are not kept.
func (s *store) get(k key) *digests {
	if d := s.getRecent(k); d != nil {
		return d
	}
	disk := s.current()
	if disk == nil || k.version.size < worthDisk {
		return nil
	}
	d, err := disk.get(k)
	if err != nil {
		s.failed(disk, "read", err)
		return nil
	}
	if d != nil {
		s.putRecent(k, d)
	}
	return d
}

// put keeps d as the digests of k.
func (s *store) put(k key, d *digests) {
	s.putRecent(k, d)
	disk := s.current()
	if disk == nil || k.version.size < worthDisk {
		return
	}
	if err := disk.put(k, d); err != nil {
		s.failed(disk, "write", err)
	}
}

func (s *store) getRecent(k key) *digests {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[k]
	if e == nil {
		return nil
	}
	s.recent.MoveToFront(e)
	return e.Value.(*entry).digests
}

func (s *store) putRecent(k key, d *digests) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[k]; e != nil {
		s.removeLocked(e)
	}
	s.byKey[k] = s.recent.PushFront(&entry{k, d})
	s.bytes += d.size()
	for s.bytes > memoryLimit {
		s.removeLocked(s.recent.Back())
	}
}

func (s *store) removeLocked(e *list.Element) {
	old := s.recent.Remove(e).(*entry)
	delete(s.byKey, old.key)
	s.bytes -= old.digests.size()
}

func (s *store) current() *diskCache {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disk
}

// failed reports an error of disk. A damaged record is overwritten in time; a
// damaged database is let go, neither used nor closed, because bbolt may hold
// its locks.
func (s *store) failed(disk *diskCache, op string, err error) {
	s.log.Warn("hash cache failed", "op", op, "err", err)
	if _, ok := errors.AsType[*damageError](err); !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disk == disk {
		s.disk = nil
	}
}

// close closes the file. What is still kept in memory stays.
func (s *store) close() error {
	s.mu.Lock()
	disk := s.disk
	s.disk = nil
	s.mu.Unlock()
	if disk == nil {
		return nil
	}
	return disk.close()
}
