package udt

import "time"

// rttEstimator smooths round-trip times as UDT does: RTT by 1/8, its mean
// deviation by 1/4. Unlike the C++ library, which creeps away from 100 ms over
// some twenty samples, it takes the first sample as it is (RFC 9002, 5.3).
type rttEstimator struct {
	srtt, rttvar time.Duration
	latest, min  time.Duration
	sampled      bool
}

const (
	initialRTT    = 100 * time.Millisecond
	initialRTTVar = 50 * time.Millisecond
)

func (e *rttEstimator) init() { e.srtt, e.rttvar = initialRTT, initialRTTVar }

// update takes one measured round trip.
func (e *rttEstimator) update(r time.Duration) {
	if r <= 0 {
		return
	}
	e.latest = r
	if !e.sampled {
		e.sampled = true
		e.srtt, e.rttvar, e.min = r, r/2, r
		return
	}
	e.min = min(e.min, r)
	e.rttvar = (3*e.rttvar + (r - e.srtt).Abs()) / 4
	e.srtt = (7*e.srtt + r) / 8
}

// spread is the time within which an answer is to be expected.
func (e *rttEstimator) spread() time.Duration { return e.srtt + 4*e.rttvar }

// rto is how long the sender waits for acknowledgement progress: the spread,
// at least 20 ms, and what the peer may delay its ACK (10 ms and a tick).
func (e *rttEstimator) rto() time.Duration {
	return max(e.spread(), 20*time.Millisecond) + ackDelayAllowance
}

// nakInterval is the time to the first repetition of a loss report.
func (e *rttEstimator) nakInterval() time.Duration { return max(e.spread(), 20*time.Millisecond) }

// ackDelayAllowance covers the 10 ms ACK timer of the C++ library.
const ackDelayAllowance = 12 * time.Millisecond
