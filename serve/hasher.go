package serve

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chunkget/chunkget/merkle"
)

const (
	// DefaultHashJobs is how many files are hashed at a time. A job of the common
	// kind keeps two cores busy already; the second job is for small files, so
	// that they need not wait behind a large one.
	DefaultHashJobs = 2

	// maxQueued bounds the jobs that wait for a worker.
	maxQueued = 1024

	// retryFailed is how long a failed job is not tried again unasked.
	retryFailed = time.Minute

	// maxFailed bounds the memory of failed jobs.
	maxFailed = 1024
)

var (
	errClosed = errors.New("server is shutting down")
	errBusy   = errors.New("too many files wait to be hashed")
)

// A hasher computes digests in background jobs, one at most for each key, and
// keeps the results in its store. Its workers exist only while there are jobs.
type hasher struct {
	open  func(name string) (source, error)
	store *store
	log   *slog.Logger
	limit int // workers

	ctx    context.Context // of the hasher's life: cancelled by close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // workers

	mu      sync.Mutex
	jobs    map[key]*job      // waiting and running; guarded by mu
	queue   []*job            // waiting, oldest first; guarded by mu
	failed  map[key]time.Time // when the job failed last; guarded by mu
	workers int               // guarded by mu
	closed  bool              // guarded by mu

	hashed atomic.Int64 // bytes of files read to the end
}

// A job computes the digests of one key. It belongs to the worker that runs it;
// all others only watch.
type job struct {
	key    key
	wanted bool // a request waits for it; guarded by hasher.mu

	mu      sync.Mutex
	state   jobState      // guarded by mu
	changed chan struct{} // closed when state changes, and replaced; guarded by mu
}

// A jobState is how far a job has come. Its owner changes it; whoever got a copy
// must not write to what it refers to.
type jobState struct {
	hashes []merkle.Hash // of the pieces done so far; grows only
	result *digests      // when the job has succeeded
	err    error         // when it has failed
}

func newHasher(open func(string) (source, error), s *store, limit int, log *slog.Logger) *hasher {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &hasher{
		open: open, store: s, log: log, limit: limit,
		ctx: ctx, cancel: cancel,
		jobs: make(map[key]*job), failed: make(map[key]time.Time),
	}
}

// prefetch makes sure, as far as there is room, that the digests of k are being
// computed. It returns them if they are known, else nil.
func (h *hasher) prefetch(k key, now time.Time) *digests {
	if d := h.store.get(k); d != nil {
		return d
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if at, ok := h.failed[k]; !ok || now.Sub(at) >= retryFailed {
		h.joinLocked(k)
	}
	return nil
}

// want returns the job for the digests of k, which is done already if they are
// known. A wanted job goes before those that are only prefetched.
func (h *hasher) want(k key) (*job, error) {
	if d := h.store.get(k); d != nil {
		return finishedJob(k, d), nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	j, err := h.joinLocked(k)
	if err == nil {
		j.wanted = true
	}
	return j, err
}

func (h *hasher) joinLocked(k key) (*job, error) {
	if j := h.jobs[k]; j != nil {
		return j, nil
	}
	// A job that ended since the caller looked has left its result in memory.
	if d := h.store.getRecent(k); d != nil {
		return finishedJob(k, d), nil
	}
	if h.closed {
		return nil, errClosed
	}
	if len(h.queue) >= maxQueued {
		return nil, errBusy
	}
	j := &job{key: k, changed: make(chan struct{})}
	h.jobs[k] = j
	h.queue = append(h.queue, j)
	if h.workers < h.limit {
		h.workers++
		h.wg.Go(h.work)
	}
	return j, nil
}

// work runs jobs until none waits.
func (h *hasher) work() {
	for j := h.next(); j != nil; j = h.next() {
		result, err := h.run(j)
		if err == nil {
			h.hashed.Add(j.key.version.size)
			h.store.put(j.key, result)
		}
		h.mu.Lock()
		delete(h.jobs, j.key)
		if err == nil {
			delete(h.failed, j.key)
		} else {
			if len(h.failed) >= maxFailed {
				clear(h.failed)
			}
			h.failed[j.key] = time.Now()
		}
		h.mu.Unlock()
		j.finish(result, err)
	}
}

// next takes the next job off the queue. Without one it returns nil, and the
// worker that called it no longer counts.
func (h *hasher) next() *job {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 || h.closed {
		h.workers--
		return nil
	}
	at := 0
	for i, j := range h.queue {
		if j.wanted {
			at = i
			break
		}
	}
	j := h.queue[at]
	h.queue = append(h.queue[:at], h.queue[at+1:]...)
	return j
}

// run computes the digests of j. It logs why it could not.
func (h *hasher) run(j *job) (d *digests, err error) {
	start := time.Now()
	log := h.log.With("file", j.key.name, "kind", j.key.kind.String())
	defer func() {
		switch {
		case err == nil:
			log.Debug("hashed", "bytes", j.key.version.size, "duration", time.Since(start))
		case errors.Is(err, errChanged) || errors.Is(err, errNotFound) || errors.Is(err, errClosed):
			log.Debug("hashing given up", "err", err)
		default:
			log.Warn("hashing failed", "err", err)
		}
	}()
	if wait := j.key.version.settle(start); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-h.ctx.Done():
			return nil, context.Cause(h.ctx)
		}
	}
	src, err := h.open(j.key.name)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	switch j.key.kind {
	case kindTree:
		return j.hashTree(h.ctx, src)
	case kindPieces:
		return j.hashPieces(h.ctx, src)
	}
	panic("BUG: hash job of " + j.key.kind.String())
}

// close stops all jobs and waits for the workers. Jobs that no worker has taken
// fail with errClosed as well.
func (h *hasher) close() {
	h.cancel(errClosed)
	h.mu.Lock()
	h.closed = true
	waiting := h.queue
	h.queue = nil
	for _, j := range waiting {
		delete(h.jobs, j.key)
	}
	h.mu.Unlock()
	for _, j := range waiting {
		j.finish(nil, errClosed)
	}
	h.wg.Wait()
}

// counts returns how many jobs are running and how many wait.
func (h *hasher) counts() (running, waiting int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.jobs) - len(h.queue), len(h.queue)
}

// hashTree computes the hash tree and the SHA-256 of the whole file in one pass.
func (j *job) hashTree(ctx context.Context, src source) (*digests, error) {
	whole := sha256.New()
	tree := merkle.NewBuilder(j.key.layout(), func(_ int, h merkle.Hash) { j.add(h) })
	var failed error
	err := readPass(ctx, src, j.key.version,
		func(p []byte) { whole.Write(p) },
		func(p []byte) {
			if _, err := tree.Write(p); err != nil {
				failed = err
			}
		})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	d := new(digests)
	if d.root, err = tree.Finish(); err != nil {
		return nil, err
	}
	whole.Sum(d.sha256[:0])
	state, _ := j.progress()
	d.hashes = state.hashes
	return d, nil
}

// hashPieces computes the SHA-256 of each piece.
func (j *job) hashPieces(ctx context.Context, src source) (*digests, error) {
	l := j.key.layout()
	var (
		sum   hash.Hash = sha256.New()
		left            = min(l.PieceSize, l.Size) // bytes of the current piece
		after           = l.Size - left            // bytes of the file behind it
	)
	err := readPass(ctx, src, j.key.version, func(p []byte) {
		for len(p) > 0 {
			n := min(int64(len(p)), left)
			sum.Write(p[:n])
			p = p[n:]
			if left -= n; left == 0 {
				var h merkle.Hash
				sum.Sum(h[:0])
				sum.Reset()
				j.add(h)
				left = min(l.PieceSize, after)
				after -= left
			}
		}
	})
	if err != nil {
		return nil, err
	}
	state, _ := j.progress()
	return &digests{hashes: state.hashes}, nil
}

func finishedJob(k key, d *digests) *job {
	return &job{key: k, state: jobState{hashes: d.hashes, result: d}, changed: make(chan struct{})}
}

// progress returns the state of the job, and a channel that is closed when it
// is no longer the last one.
func (j *job) progress() (jobState, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state, j.changed
}

// wait returns the result of the job when it is done.
func (j *job) wait(ctx context.Context) (*digests, error) {
	for {
		state, changed := j.progress()
		if state.result != nil || state.err != nil {
			return state.result, state.err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (j *job) add(h merkle.Hash) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.hashes = append(j.state.hashes, h)
	j.notifyLocked()
}

func (j *job) finish(d *digests, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.result, j.state.err = d, err
	j.notifyLocked()
}

func (j *job) notifyLocked() {
	close(j.changed)
	j.changed = make(chan struct{})
}
