package serve

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// blockSize is the unit in which files count, so that empty ones count, too.
const blockSize = 4 << 10

// blocks rounds a size up to whole blocks, of which a file has one at least.
func blocks(size int64) int64 { return max(1, (size+blockSize-1)/blockSize) * blockSize }

// A quota bounds what a folder holds: the files that are there, which others may
// add to and take from, and what is reserved for uploads.
type quota struct {
	limit   int64
	measure func() int64 // what the folder holds, without partial uploads

	mu       sync.Mutex
	used     int64            // as measured, and since then stored; guarded by mu
	at       time.Time        // when that was; guarded by mu
	took     time.Duration    // how long that took; guarded by mu
	reserved map[string]int64 // bytes by upload; guarded by mu
	sum      int64            // of reserved; guarded by mu
}

func newQuota(limit int64, measure func() int64) *quota {
	return &quota{limit: limit, measure: measure, reserved: make(map[string]int64)}
}

const (
	// A measurement is good for measureEvery, or measureShare times what it took
	// if that is longer.
	measureEvery = time.Minute
	measureShare = 20
)

// take reserves n more bytes for an upload, or fails. now is that of the clock.
func (q *quota) take(key string, n int64, now time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.at.IsZero() || now.Sub(q.at) > max(measureEvery, measureShare*q.took) {
		// A file that gets its name meanwhile may be found and then be counted by
		// stored, too, which waits for mu: twice until the next measurement, and
		// never not at all.
		q.used = q.measure()
		q.at, q.took = now, time.Since(now)
	}
	if n > q.limit-q.used-q.sum {
		return errQuota
	}
	q.add(key, n)
	return nil
}

// hold reserves n bytes that are there already.
func (q *quota) hold(key string, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(key, n)
}

// add is called with q.mu held.
func (q *quota) add(key string, n int64) {
	q.reserved[key] += n
	q.sum += n
}

// release gives back what is reserved for an upload.
func (q *quota) release(key string) { q.stored(key, 0) }

// stored turns what is reserved for an upload into a file of size bytes, none if
// it is 0. Place has given it its name.
func (q *quota) stored(key string, size int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sum -= q.reserved[key]
	delete(q.reserved, key)
	q.used += size
}

// turn reserves n bytes for the upload to, in the place of what is reserved for
// from and for to, or fails and leaves that as it is. It goes by the last
// measurement.
func (q *quota) turn(from, to string, n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	more := n - q.reserved[from] - q.reserved[to]
	if more > q.limit-q.used-q.sum {
		return errQuota
	}
	delete(q.reserved, from)
	q.reserved[to] = n
	q.sum += more
	return nil
}

// knows reports whether something is reserved for an upload.
func (q *quota) knows(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.reserved[key] > 0
}

// keys returns the uploads that have something reserved.
func (q *quota) keys() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Collect(maps.Keys(q.reserved))
}

// uploads returns how many uploads have something reserved.
func (q *quota) uploads() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.reserved)
}

// folderSize adds up the files in root but for those of partial uploads. What
// cannot be looked at counts nothing. Probes (CanPlace), which a crash may have left,
// are removed.
func folderSize(root *os.Root) (total int64) {
	fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && e != nil && e.IsDir():
			return fs.SkipDir
		case err != nil:
			return nil
		case name == uploadFolder:
			return fs.SkipDir
		case e.Type().IsRegular():
			info, err := e.Info()
			switch {
			case err != nil:
			case info.Size() == 0 && isProbe(e.Name()) && root.Remove(filepath.FromSlash(name)) == nil:
			default:
				total += blocks(info.Size())
			}
		}
		return nil
	})
	return total
}
