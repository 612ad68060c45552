package fetch

import (
	"fmt"
	"math"
	"time"
)

// rateWindow is how far back a rate remembers: a step in speed shows to 63 %
// after this time.
const rateWindow = 3 * time.Second

// rate is a smoothed speed. The zero value knows nothing and begins with its
// first sample, so bytes of an earlier run never count.
type rate struct {
	last   time.Time
	sum    float64 // bytes, older ones weighing less
	weight float64 // seconds, likewise
	latest float64 // the last sample alone, bytes per second
}

// start begins to measure at now.
func (r *rate) start(now time.Time) { *r = rate{last: now} }

// add counts bytes that came since the last call.
func (r *rate) add(now time.Time, bytes int64) {
	dt := now.Sub(r.last).Seconds()
	if r.last.IsZero() || dt <= 0 {
		r.last = now
		r.sum += float64(bytes)
		return
	}
	keep := math.Exp(-dt / rateWindow.Seconds())
	r.sum = r.sum*keep + float64(bytes)
	r.weight = r.weight*keep + dt
	r.latest = float64(bytes) / dt
	r.last = now
}

// value returns the speed in bytes per second, 0 when nothing is known.
func (r *rate) value() float64 {
	if r.weight <= 0 {
		return 0
	}
	return r.sum / r.weight
}

// rateText writes bytes per second for people.
func rateText(r float64) string { return fmt.Sprintf("%.1f Mbit/s", r*8/1e6) }
