package udt

import "time"

// pacer turns the controller's send period into bursts. The loop wakes about
// once in a millisecond at best, so a burst carries what the rate allows in
// the time that passed; missed time up to maxDebt is caught up with.
type pacer struct {
	next time.Duration // when the next packet may leave
}

const (
	// maxDebt bounds the burst after a late wake-up.
	maxDebt = 2 * time.Millisecond
	// pacerSlack is too short to sleep for.
	pacerSlack = 50 * time.Microsecond
)

// budget returns how many packets may leave now, at most limit.
func (p *pacer) budget(now, period time.Duration, limit int) int {
	if p.next < now-maxDebt {
		p.next = now - maxDebt
	}
	ahead := now + pacerSlack - p.next
	if ahead < 0 {
		return 0
	}
	if period <= 0 {
		return limit
	}
	return int(min(int64(ahead/period)+1, int64(limit)))
}

// spend accounts for n packets that have been sent.
func (p *pacer) spend(n int, period time.Duration) { p.next += time.Duration(n) * period }
