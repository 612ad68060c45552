package udt

import "sync"

// evenness compares the groups of one endpoint that send as fast as they may
// over short paths. When those wait for processors, it is each other that they
// wait for, and nothing on their paths makes them equal.
type evenness struct {
	mu    sync.Mutex
	rates map[*group]float64 // guarded by mu; packets/s
	sum   float64            // guarded by mu; of rates
}

// note sets the rate of a group, 0 takes it out. It returns the rate as a part of
// the mean of all, 0 if there are no others.
func (v *evenness) note(g *group, rate float64) (relative float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sum += rate - v.rates[g]
	if rate == 0 {
		delete(v.rates, g)
		if len(v.rates) == 0 {
			v.sum = 0 // not what rounding has left
		}
		return 0
	}
	if v.rates == nil {
		v.rates = make(map[*group]float64)
	}
	v.rates[g] = rate
	if len(v.rates) < 2 {
		return 0
	}
	return rate * float64(len(v.rates)) / v.sum
}
