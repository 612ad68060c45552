package serve

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

// errorsTold is how many errors of connections the log is told in refusalNotice.
const errorsTold = 20

// An errorLog takes what net/http has to say of connections, such as handshakes that
// failed. Whoever connects again and again can make many of those without a request,
// so the log gets errorsTold of them in refusalNotice, and then the number of those
// that were left out.
type errorLog struct {
	log *slog.Logger

	mu    sync.Mutex
	since time.Time // when the latest period began; guarded by mu
	told  int       // in it; guarded by mu
	left  int       // out in it; guarded by mu
}

// Write implements io.Writer for package log, which writes one record in a call.
func (e *errorLog) Write(p []byte) (int, error) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.since) >= refusalNotice {
		if e.left > 0 {
			e.log.Warn("more errors of connections were left out", "errors", e.left)
		}
		e.since, e.told, e.left = now, 0, 0
	}
	if e.told == errorsTold {
		e.left++
		return len(p), nil
	}
	e.told++
	e.log.Warn(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
