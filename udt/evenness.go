package udt

import (
	"sync"
	"time"
)

// evenness compares the groups of one endpoint that send as fast as they may
// over short paths. When those wait for processors, it is each other that they
// wait for, and nothing on their paths makes them equal.
type evenness struct {
	mu     sync.Mutex
	rates  map[*group]evenRate // guarded by mu
	sum    float64             // guarded by mu; of rates
	looked time.Duration       // guarded by mu; when old rates were last looked for
}

type evenRate struct {
	rate float64 // packets/s
	at   time.Duration
}

// evenFor is how long a rate counts. A group that has sent all it had says nothing
// any more, and its connections may stay. The others have a new rate several times
// in that time.
const evenFor = time.Second

// note sets the rate of a group, 0 takes it out. It returns the rate as a part of
// the mean of all, 0 if there are no others.
func (v *evenness) note(now time.Duration, g *group, rate float64) (relative float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.set(g, evenRate{rate, now})
	if now-v.looked >= evenFor {
		v.looked = now
		for g, r := range v.rates {
			if now-r.at >= evenFor {
				v.set(g, evenRate{})
			}
		}
	}
	if rate == 0 || len(v.rates) < 2 {
		return 0
	}
	return rate * float64(len(v.rates)) / v.sum
}

// set is called with mu held.
func (v *evenness) set(g *group, r evenRate) {
	v.sum += r.rate - v.rates[g].rate
	if r.rate != 0 {
		if v.rates == nil {
			v.rates = make(map[*group]evenRate)
		}
		v.rates[g] = r
		return
	}
	delete(v.rates, g)
	if len(v.rates) == 0 {
		v.sum = 0 // not what rounding has left
	}
}
