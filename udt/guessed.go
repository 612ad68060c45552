package udt

import "time"

// A peer without feedback, such as the C++ library, tells of deliveries in lumps:
// what stands behind a hole is acknowledged when that is filled, a round trip or more
// after it arrived. The rate of one flight comes out several times too high then, and
// a controller that believes it sends several times what the path carries. So the rate
// of a flight counts no more than that over several round trips, in which a lump is a
// small part.
//
// Over short paths that time is many round trips long, and without what single flights
// show there would be no growth, and none to make up for losses. There a flight may
// have guessGrowth more, less of that the more is lost, and nothing from guessLoss on.
// Where nothing has been lost for guessWhole there are no lumps but those of the
// peer's tick: the time is guessTicks of them, and a flight may have guessFree more.
const (
	guessRounds = 4
	guessGrowth = 0.1
	guessLoss   = 0.12

	guessWhole = time.Second
	guessTicks = 2
	guessFree  = 0.25
)

// guessedRate is the rate over guessRounds round trips. Its owner is the group, which
// guards it.
type guessedRate struct {
	recentRate
	lostAt time.Duration // latest loss, 0 = none
}

// bound takes the latest count of deliveries and returns the sample as far as it is to
// be believed. loss is the share of packets lost of late.
func (r *guessedRate) bound(now time.Duration, delivered int64, srtt, minRTT time.Duration, loss float64, s RateSample) RateSample {
	if minRTT < shortPath {
		return r.boundShort(now, delivered, srtt, loss, s)
	}
	if s.AppLimited {
		r.recentRate = recentRate{} // the rate of who has nothing to send says nothing
		return s
	}
	r.add(now, delivered, max(guessRounds*srtt, rateTime))
	if r.rate > 0 {
		s.Rate = min(s.Rate, r.rate)
	}
	return s
}

// boundShort is the same over a short path. Who is faster than that has nothing to send
// again and again, so what is left out is the time without anything on its way.
func (r *guessedRate) boundShort(now time.Duration, delivered int64, srtt time.Duration, loss float64, s RateSample) RateSample {
	over, growth := rateTime, guessGrowth*max(1-loss/guessLoss, 0)
	if r.lostAt == 0 || now-r.lostAt > guessWhole {
		over, growth = guessTicks*syn, guessFree
	}
	r.add(now, delivered, max(guessRounds*srtt, over))
	most := r.rate
	if elapsed := now - r.since; most == 0 && elapsed >= syn {
		most = float64(delivered-r.had) / elapsed.Seconds()
	}
	if most > 0 {
		s.Rate = min(s.Rate, most*(1+growth))
	}
	return s
}

// skip leaves out a time in which nothing was on its way.
func (r *guessedRate) skip(idle time.Duration) {
	if r.since > 0 {
		r.since += idle
	}
}
