package main

import (
	"fmt"
	"time"
)

// What a transfer is expected to take before anything is measured: a multiple of
// the physical limit, for contenders reach about half of it over the fixed
// profiles, and the start and end of the processes with the check of the file.
const (
	expectedFactor   = 2
	expectedOverhead = 600 * time.Millisecond
)

// expected returns what one transfer is expected to take.
func expected(l Link, size int64, bound time.Duration) time.Duration {
	limit := time.Duration(limitSeconds(l, size) * float64(time.Second))
	return min(bound, expectedFactor*limit) + expectedOverhead
}

// A progress tells how far a run is. The session owns it. Times are those since
// the start of the run.
type progress struct {
	done, total int           // measurements; one that is left out is done
	past, ahead time.Duration // what those done and those to come were expected to take
	began       time.Duration // when the first measurement began
	budget      time.Duration // no measurement begins after it; 0 = none
}

// plan adds n measurements that are expected to take each.
func (p *progress) plan(n int, each time.Duration) {
	p.total += n
	p.ahead += time.Duration(n) * each
}

// next counts a measurement that was expected to take each.
func (p *progress) next(each time.Duration) {
	p.done++
	p.past += each
	p.ahead -= each
}

// leaveOut counts a measurement that is not made and tells nothing of the pace.
func (p *progress) leaveOut(each time.Duration) {
	p.done++
	p.ahead -= each
}

// left returns what the rest is expected to take, at the pace so far where there
// is one.
func (p *progress) left(elapsed time.Duration) time.Duration {
	rest := p.ahead
	if p.past > 0 {
		rest = time.Duration(float64(rest) * float64(elapsed-p.began) / float64(p.past))
	}
	if p.budget > 0 {
		rest = min(rest, max(0, p.budget-elapsed))
	}
	return rest
}

// at returns what stands before what is said of a measurement.
func (p *progress) at(elapsed time.Duration) string {
	return fmt.Sprintf("%d/%d %v", p.done, p.total, elapsed.Round(time.Second))
}
