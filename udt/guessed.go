package udt

import "time"

// A peer without feedback, such as the C++ library, tells of deliveries in lumps:
// what stands behind a hole is acknowledged when that is filled, a round trip or more
// after it arrived. The rate of one flight comes out several times too high then, and
// a controller that believes it sends several times what the path carries. So the rate
// of a flight counts no more than that over several round trips, in which a lump is a
// small part.
//
// Over short paths that time is many probes long, and without what they find there
// would be no growth, and none to make up for losses. There a flight may have
// guessGrowth more, less of that the more is lost, and nothing from guessLoss on.
const (
	guessRounds = 4
	guessGrowth = 0.25
	guessLoss   = 0.12
)

// guessedRate is the rate over guessRounds round trips. Its owner is the group, which
// guards it.
type guessedRate struct{ recentRate }

// bound takes the latest count of deliveries and returns the sample as far as it is to
// be believed. loss is the share of packets lost of late.
func (r *guessedRate) bound(now time.Duration, delivered int64, srtt, minRTT time.Duration, loss float64, s RateSample) RateSample {
	if s.AppLimited {
		*r = guessedRate{} // the rate of who has nothing to send says nothing
		return s
	}
	r.add(now, delivered, max(guessRounds*srtt, rateTime))
	if r.rate == 0 {
		return s
	}
	most := r.rate
	if minRTT < shortPath {
		most *= 1 + guessGrowth*max(1-loss/guessLoss, 0)
	}
	s.Rate = min(s.Rate, most)
	return s
}
