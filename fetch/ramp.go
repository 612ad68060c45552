package fetch

import (
	"math"
	"net/url"
	"time"
)

const (
	// Connections of a download that ramps up, from its first answer on. Those over
	// UDT share one model of the path, so the second only fills the round trip
	// between two requests of the first; over TCP each has to find the rate alone.
	rampFirstUDT = 2
	rampFirstTCP = 4

	// rampShortPath bounds the time to the first answer with which a download over
	// TCP ramps up unless told to. Slow start takes a number of round trips, and over
	// longer paths what begins later ends later: TestRampCostsNothing lost a fifth over
	// 100 ms.
	rampShortPath = 20 * time.Millisecond

	// rampGain is by how much the rate has to rise to count, as a part of it.
	rampGain = 0.05

	// rampPatience is how long a new connection may take to show in the rate: to
	// be made, asked and brought up to speed over the longest paths there are.
	rampPatience = 3 * time.Second

	// rampSamples is how many of the latest samples are looked at.
	rampSamples = 5
)

// ramp says how many requests for data may be in flight. It begins with a few and
// allows more, half as many again at a time, once to try and then as long as the
// total rate rises by more than its noise. When it has not for some time, that is
// enough connections: until the rate falls below half of its best, which is another
// path. No connection is closed, since taking one away costs more than it brings. Where
// a server limits each connection, the ramp costs about half a second, once.
//
// It is owned by the loop and pure: the time comes with each sample.
type ramp struct {
	limit, most int

	base    float64 // rate before the last addition in bytes per second, 0 before the first
	best    float64 // highest mean since the ramp has come to rest
	since   time.Time
	settled bool

	at      time.Time // of the last sample
	samples []float64 // rates since the last addition, bytes per second
}

// newRamp allows first requests, and most in the end.
func newRamp(now time.Time, first, most int) ramp {
	return ramp{limit: min(max(first, 1), most), most: most, at: now, since: now}
}

// A rampStep is a decision of the ramp: to allow more connections, or no more for now.
type rampStep struct {
	decision     Decision
	rate, before float64 // bytes per second; before is 0 with the first
	why          string
}

// sample takes the bytes that have come since the last sample, and returns what that
// leads to, nil if nothing changes.
func (r *ramp) sample(now time.Time, bytes int64) *rampStep {
	dt := now.Sub(r.at).Seconds()
	if r.limit >= r.most || dt <= 0 {
		return nil
	}
	r.at = now
	rate := float64(bytes) / dt
	if r.base == 0 {
		if rate > 0 {
			return r.add(now, rate, 0, "the file has begun to come")
		}
		return nil
	}
	r.samples = append(r.samples, rate)
	if n := len(r.samples); n > rampSamples {
		r.samples = r.samples[n-rampSamples:]
	}
	mean, least, noise := spread(r.samples)
	switch want := r.base * (1 + rampGain); {
	case r.settled:
		r.best = max(r.best, mean)
		if len(r.samples) == rampSamples && mean < r.best/2 {
			r.settled = false
			return r.add(now, mean, r.best, "the rate has fallen below half of its best: the path may be another one")
		}
	case len(r.samples) >= 2 && least > want, len(r.samples) == rampSamples && mean-2*noise > want:
		return r.add(now, mean, r.base, "the rate has risen since the last addition")
	case now.Sub(r.since) >= rampPatience:
		r.settled, r.best = true, mean
		return &rampStep{DecisionWithheld, mean, r.base, "the last addition has not raised the rate by more than its noise"}
	}
	return nil
}

// add allows more requests, at a rate.
func (r *ramp) add(now time.Time, rate, before float64, why string) *rampStep {
	r.limit = min(r.most, r.limit+max(r.limit/2, 1))
	r.base, r.since, r.samples = rate, now, nil
	return &rampStep{DecisionAdded, rate, before, why}
}

// sampleRamp lets the ramp decide, and tells what.
func (d *download) sampleRamp(now time.Time, bytes int64) {
	if s := d.ramp.sample(now, bytes); s != nil {
		d.decided(Event{Kind: EventRamp, Decision: s.decision, Connections: d.ramp.limit, RateNow: s.rate, RateBefore: s.before, Reason: s.why})
	}
}

// spread returns the mean of some values, the least of them, and the standard
// error of the mean.
func spread(values []float64) (mean, least, noise float64) {
	n := float64(len(values))
	least = math.Inf(1)
	for _, v := range values {
		mean += v / n
		least = min(least, v)
	}
	if n < 2 {
		return mean, least, math.Inf(1)
	}
	for _, v := range values {
		noise += (v - mean) * (v - mean)
	}
	return mean, least, math.Sqrt(noise / (n - 1) / n)
}

// rampFrom is how many requests may be in flight once there is an answer, the first
// attempt if it is used. Each source is tried.
func (d *download) rampFrom(first *attempt) int {
	if !d.opts.RampAlways && !overUDT(d.opts.URL) && (first == nil || first.resp.wait >= rampShortPath) {
		return len(d.slots)
	}
	return max(d.opts.FirstConnections(), len(live(d.sources)))
}

func overUDT(u *url.URL) bool { return u.Scheme == "udt" || u.Scheme == "udts" }

// FirstConnections is how many connections a download of these options begins with,
// over TCP where the path is short.
func (o *Options) FirstConnections() int {
	most := o.Connections
	if most == 0 {
		most = DefaultConnections
	}
	if !o.Ramp {
		return most
	}
	if overUDT(o.URL) {
		return min(rampFirstUDT, most)
	}
	return min(rampFirstTCP, most)
}
