package connstats

import (
	"sync"
	"time"
)

// A Watch looks at connections regularly and hands on what it sees. Its one
// goroutine makes all looks and all calls of see; it owns known. Nothing waits for it
// but Close, so a slow see makes looks rarer and transfers no slower.
type Watch struct {
	start time.Time
	see   func(at time.Duration, rows []Row, last bool)
	stop  chan struct{} // closed by Close
	done  chan struct{} // closed by the goroutine at its end

	mu    sync.Mutex
	added []watched // guarded by mu; not known to the goroutine yet
	ids   int       // guarded by mu

	known []watched
	rows  []Row // scratch
}

// watched is a connection of a Watch.
type watched struct {
	id    int
	conn  Conn
	since time.Duration
	at    time.Duration // of the latest look
	bytes int64         // then
}

// Start begins to look at connections in this interval. The function see gets the
// time since start and a row for each connection, in the order of Add. The last row
// of a connection that has ended says so. It must not keep rows. Its last call,
// which Close makes, says that it is the last.
func Start(every time.Duration, see func(at time.Duration, rows []Row, last bool)) *Watch {
	w := &Watch{start: time.Now(), see: see, stop: make(chan struct{}), done: make(chan struct{})}
	go w.run(every)
	return w
}

// Add lets the watch look at c, too, until c has ended.
func (w *Watch) Add(c Conn) {
	now := time.Since(w.start)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	w.added = append(w.added, watched{id: w.ids, conn: c, since: now, at: now})
}

// Close takes a last look and returns when everything has been seen. Call it once.
func (w *Watch) Close() {
	close(w.stop)
	<-w.done
}

func (w *Watch) run(every time.Duration) {
	defer close(w.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-w.stop:
		}
		// Of both, the end counts: a slow see has a tick waiting at all times.
		last := false
		select {
		case <-w.stop:
			last = true
		default:
		}
		if w.look(time.Since(w.start), last); last {
			return
		}
	}
}

func (w *Watch) look(now time.Duration, last bool) {
	w.mu.Lock()
	w.known = append(w.known, w.added...)
	w.added = nil
	w.mu.Unlock()
	w.rows = w.rows[:0]
	going := w.known[:0]
	for _, c := range w.known {
		r := Row{ID: c.id, Stats: c.conn.Stats(), Age: now - c.since}
		if t := now - c.at; t > 0 {
			r.Rate = max(0, float64(r.Bytes-c.bytes)*8/t.Seconds())
		}
		c.at, c.bytes = now, r.Bytes
		w.rows = append(w.rows, r)
		if !r.Ended {
			going = append(going, c)
		}
	}
	clear(w.known[len(going):]) // lets ended connections go
	w.known = going
	w.see(now, w.rows, last)
}
