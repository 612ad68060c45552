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

	// While the connections find the rate of the path, it is looked at twice in each
	// round trip, and counts as rising by startupGain, as with the Startup of BBR: slow
	// start doubles it in a round trip, and so many connections are added to those there
	// are. What begins later has its slow start later, so over long paths waiting is what
	// costs. It is found after startupLooks in a row without a rise, two round trips,
	// which is how long a new connection has to be made and asked before it brings
	// anything.
	startupGain  = 0.25
	startupLooks = 4

	// startupLeast is the shortest time between two looks: over less, processors and
	// buffers are what makes rates differ.
	startupLeast = 50 * time.Millisecond

	// rampGain is by how much the rate has to rise or fall to count later, as a part of it.
	rampGain = 0.05

	// rampEvery is the shortest time between two samples then, and tick the longest; a
	// round trip, if that lies between them.
	rampEvery = 2 * startupLeast

	// rampFallen is after how many samples at least a fall is taken to last.
	rampFallen = 3

	// rampPatience is how long a new connection may take to show in the rate: to
	// be made, asked and brought up to speed over the longest paths there are.
	rampPatience = 3 * time.Second

	// rampSamples is how many of the latest samples are looked at.
	rampSamples = 5
)

// ramp says how many requests for data may be in flight. It begins with a few and
// allows more, half as many again at a time, once to try and then as long as the
// total rate rises: in the beginning from one round trip to the next, which allows twice
// as many, later by more than its noise. When it has not for some time, that is enough
// connections: until the rate falls below half of its best, which is another path. No
// connection is closed, since taking one away costs more than it brings.
//
// Where packets are lost, the rate that slow start has reached does not last, and no
// number of connections may bring it back. Once it has fallen by more than its noise,
// the next ones are measured against what is left, beginning with one more try; and
// again so after a rise.
//
// It is owned by the loop and pure: the time comes with each sample.
type ramp struct {
	limit, most int

	round   time.Duration // that a request needs to be answered, 0 if that is not known
	every   time.Duration // between samples
	startup bool          // the rate of the path is being found
	flat    int           // looks in a row that did not find it risen

	base    float64 // rate before the last addition in bytes per second, 0 before the first
	best    float64 // highest mean since the ramp has come to rest
	tried   bool    // the last addition was made because the rate had fallen
	since   time.Time
	settled bool

	at      time.Time // of the last sample
	bytes   int64     // that had come then
	samples []float64 // rates since the last addition, bytes per second
}

// newRamp allows first requests, and most in the end. round is the round trip, 0 if it is
// not known.
func newRamp(now time.Time, first, most int, round time.Duration) ramp {
	return ramp{limit: min(max(first, 1), most), most: most, every: max(round/2, startupLeast), startup: true, round: round, at: now, since: now}
}

// due returns when the next sample is to be taken, and whether there is one.
func (r *ramp) due() (time.Time, bool) { return r.at.Add(r.every), r.limit < r.most }

// A rampStep is a decision of the ramp: to allow more connections, or no more for now.
type rampStep struct {
	decision     Decision
	rate, before float64 // bytes per second; before is 0 with the first
	why          string
}

// sample takes the bytes that have come, and returns what that leads to, nil if nothing
// changes. busy says that as many requests are in flight as may be: of fewer, such as at
// the end of the file, a rate says nothing about the path.
func (r *ramp) sample(now time.Time, bytes int64, busy bool) *rampStep {
	if at, more := r.due(); !more || now.Before(at) {
		return nil
	}
	rate := float64(bytes-r.bytes) / now.Sub(r.at).Seconds()
	r.at, r.bytes = now, bytes
	switch {
	case r.base == 0:
		if rate > 0 {
			return r.add(now, rate, 0, "the file has begun to come")
		}
		return nil
	case r.startup:
		if rate > r.base*(1+startupGain) {
			return r.add(now, rate, r.base, "the rate has risen since the last addition")
		}
		if r.flat++; r.flat == startupLooks {
			r.startup, r.every = false, min(max(r.round, rampEvery), tick)
		}
		return nil
	}
	if !busy {
		r.samples = nil
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
	case !r.tried && len(r.samples) >= rampFallen && mean+2*noise < r.base*(1-rampGain):
		step := r.add(now, mean, r.base, "the rate has not lasted: more connections may raise what is left of it")
		r.tried = true
		return step
	case now.Sub(r.since) >= rampPatience:
		r.settled, r.best, r.every = true, mean, tick
		return &rampStep{DecisionWithheld, mean, r.base, "the last addition has not raised the rate by more than its noise"}
	}
	return nil
}

// add allows more requests, at a rate.
func (r *ramp) add(now time.Time, rate, before float64, why string) *rampStep {
	more := max(r.limit/2, 1)
	if r.startup && before > 0 {
		more = r.limit
	}
	r.limit = min(r.most, r.limit+more)
	r.base, r.since, r.samples, r.flat, r.tried = rate, now, nil, 0, false
	return &rampStep{DecisionAdded, rate, before, why}
}

// sampleRamp lets the ramp decide, and tells what.
func (d *download) sampleRamp(now time.Time) {
	if s := d.ramp.sample(now, d.fetched(), d.activeSlots() >= d.ramp.limit); s != nil {
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

// startRamp allows what there may be once there is an answer, the first attempt if it is
// used: each source is tried.
func (d *download) startRamp(now time.Time, first *attempt) {
	var round time.Duration
	if first != nil {
		round = first.resp.wait // and what the server needed, which others will wait for, too
	}
	d.ramp = newRamp(now, max(d.opts.FirstConnections(), len(live(d.sources))), len(d.slots), round)
}

func overUDT(u *url.URL) bool { return u.Scheme == "udt" || u.Scheme == "udts" }

// FirstConnections is how many connections a download of these options begins with.
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
