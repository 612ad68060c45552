package udt

import (
	"sync"
	"time"
)

// deadline is a point in time that blocked calls can wait for and that may be
// moved while they do.
type deadline struct {
	mu      sync.Mutex
	timer   *time.Timer   // guarded by mu
	set     uint64        // guarded by mu; counts calls, so that a late timer knows that it is stale
	expired chan struct{} // guarded by mu; closed when the deadline has passed
}

func newDeadline() *deadline { return &deadline{expired: make(chan struct{})} }

// move sets the deadline to t; the zero time means none.
func (d *deadline) move(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set++
	if d.timer != nil {
		d.timer.Stop()
	}
	select {
	case <-d.expired:
		d.expired = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		close(d.expired)
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.set == set {
			close(d.expired)
		}
	})
}

// wait returns a channel that is closed once the deadline has passed.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired
}
