package fetch

import (
	"fmt"
	"time"
)

// leastRate notices servers that send, but so little that the download would never
// end. It looks at one period of waiting after the other, so that what came fast at
// first does not excuse what drips later. The loop owns that of a download, and
// stream its own.
type leastRate struct {
	rate float64       // bytes per second
	over time.Duration // of waiting; negative for no minimum

	last   time.Time // when the loop last counted
	waited time.Duration
	bytes  int64
}

func newLeastRate(p RetryPolicy, now time.Time) leastRate {
	return leastRate{rate: p.MinRate, over: p.MinRateTime, last: now}
}

// add counts what came while servers were waited for. Its error, after a period that
// brought less than the least rate, is final.
func (l *leastRate) add(waited time.Duration, bytes int64) error {
	l.waited += waited
	l.bytes += bytes
	if l.over < 0 || l.waited < l.over {
		return nil
	}
	got := float64(l.bytes) / l.waited.Seconds()
	if got < l.rate {
		return errorf(KindTimeout, "download", "%w", &finalError{fmt.Errorf("%.0f bit/s came in %v of waiting for the server, less than the %.0f bit/s of --min-rate",
			got*8, l.waited.Round(l.over/10), l.rate*8)}).
			withCode(CodeTooSlow).withHint("try another server, or allow less with --min-rate, or any rate with --min-rate-time 0")
	}
	l.waited, l.bytes = 0, 0
	return nil
}

// judgeRate ends a download that servers keep from ending. received is what came
// since the last call.
func (d *download) judgeRate(now time.Time, received int64) {
	var waited time.Duration
	if d.waiting() {
		waited = now.Sub(d.least.last)
	}
	d.least.last = now
	if err := d.least.add(waited, received); err != nil {
		d.stop(err)
	}
}

// waiting reports whether it is for a server to go on: not for the disk, for
// Options.Writer, which leaves nothing to ask for, or for the end of a pause.
func (d *download) waiting() bool {
	for _, s := range d.slots {
		if a := s.attempt; a != nil && !a.writing.Load() {
			return true
		}
	}
	return false
}
