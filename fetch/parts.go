package fetch

import "time"

const (
	// slowPath is the rate, in bytes per second over all connections and as it
	// comes over the wire, below which parts are asked for compressed. It rests on
	// the assumption, not on a measurement, that a core compresses text about
	// three times as fast with the default level of zstd, to less than a third, and
	// decompresses it faster than that.
	slowPath = 40e6

	// judgeBytes is how much of the first answer is compared with that rate
	// before other requests are made: for 26 ms at most.
	judgeBytes = 1 << 20

	// maxPart is the most that is asked for as one part, in bytes. After each the
	// next may be a range again.
	maxPart = 16 << 20

	// minYield is how many bytes a range must have left to be given up for parts,
	// which costs its connection and what is under way on it.
	minYield = 2 << 20

	// trialBytes of parts have to shrink by a tenth, and one of plainParts parts
	// in a row has to be compressed at all, or ranges do as well.
	trialBytes = 4 << 20
	plainParts = 4
)

// partsState says how bytes are asked for.
type partsState int

const (
	partsNever   partsState = iota // not offered, not wanted, or given up
	partsJudging                   // the path is being judged by the first answer
	partsFast                      // the path is fast; ranges are
	partsOn                        // compressed parts
)

// parts decides whether the next request is for a compressed part or for a range.
// It is owned by the loop.
type parts struct {
	state partsState
	since time.Time // of the state
	slow  float64   // see slowPath

	raw, wire int64 // bytes of compressed parts, decoded and on the wire
	plain     int   // parts in a row that were not compressed
	speed     rate  // of what comes over the wire
	sampled   int64 // bytes of that at the last sample
}

func (p *parts) enter(now time.Time, s partsState) { p.state, p.since = s, now }

// startParts begins to judge the path, if parts may be asked for: they must be
// offered by the server, be bound to the version by a strong tag, and what is
// decoded must be checked against the hash tree.
func (d *download) startParts(now time.Time) {
	p := &d.parts
	p.speed.start(now)
	if p.slow = d.opts.slowPath; p.slow == 0 {
		p.slow = slowPath
	}
	if !d.opts.DisableCompression && d.slots[0].src.remote.offersParts() && d.mode.compares() {
		p.enter(now, partsJudging)
	}
}

// offersParts reports whether r, if it is known, offers parts that are bound to the
// version of the file.
func (r *remote) offersParts() bool { return r != nil && r.part != nil && r.ranges && r.etag != "" }

// judgingUntil returns the end of the time in which the path is judged.
func (p *parts) judgingUntil() time.Time {
	return p.since.Add(time.Duration(judgeBytes / p.slow * float64(time.Second)))
}

// judgeParts decides, while nothing but the first request is under way, whether
// the path is slow.
func (d *download) judgeParts(now time.Time) {
	p := &d.parts
	if p.state != partsJudging || d.stopping {
		return
	}
	a := d.slots[0].attempt
	switch {
	case a != nil && a.written.Load() >= judgeBytes && now.Before(p.judgingUntil()):
		d.log.Debug("the path is too fast for compression to pay")
		p.enter(now, partsFast)
	case a == nil || !now.Before(p.judgingUntil()):
		d.useParts(now)
	}
}

// useParts makes the next requests ask for parts, and gives up ranges that would
// take long.
func (d *download) useParts(now time.Time) {
	d.log.Debug("asking for compressed parts", "rate", int64(d.parts.speed.value()))
	d.parts.enter(now, partsOn)
	for _, s := range d.slots {
		if a := s.attempt; a != nil && !a.part && a.asked.End-a.asked.Start-a.written.Load() >= minYield {
			a.yield = true
		}
	}
}

// sampleParts measures the wire and changes between parts and ranges, at every
// tick.
func (d *download) sampleParts(now time.Time) {
	p := &d.parts
	total := d.result.BytesWire
	for _, s := range d.slots {
		if a := s.attempt; a != nil {
			total += a.onWire()
		}
	}
	p.speed.add(now, total-p.sampled)
	p.sampled = total
	switch r := p.speed.value(); {
	case p.state == partsOn && now.Sub(p.since) >= time.Second && r > p.slow:
		d.log.Debug("the path is too fast for compression to pay", "rate", int64(r))
		p.enter(now, partsFast)
	case p.state == partsFast && now.Sub(p.since) >= 2*time.Second && r < p.slow/2:
		d.useParts(now)
	}
}

// onWire returns the bytes of the body of a that came over the wire.
func (a *attempt) onWire() int64 {
	if a.part {
		return a.wire.Load()
	}
	return a.written.Load()
}

// sharers returns among how many a segment's worth of what is unassigned is
// divided when n slots want one: with parts, so that none is too long.
func (d *download) sharers(n int) int {
	if d.parts.state != partsOn {
		return n
	}
	return max(n, int((d.plan.Unassigned()+maxPart-1)/maxPart))
}

// partEnded takes note of the end of an attempt.
func (d *download) partEnded(now time.Time, a *attempt, err error) {
	p := &d.parts
	d.result.BytesWire += a.onWire()
	if !a.part || p.state == partsNever {
		return
	}
	if !a.coded {
		if err == nil {
			if p.plain++; p.plain == plainParts {
				d.log.Debug("the server does not compress the parts")
				p.enter(now, partsNever)
			}
		}
		return
	}
	p.plain = 0
	p.raw += a.written.Load()
	p.wire += a.wire.Load()
	if p.raw >= trialBytes && p.wire > p.raw-p.raw/10 {
		d.giveUpParts(now, CodePartGrows, "they do not shrink")
	}
}

// giveUpParts makes all further requests ask for ranges.
func (d *download) giveUpParts(now time.Time, c Code, reason string) {
	if d.parts.state == partsNever {
		return
	}
	d.parts.enter(now, partsNever)
	d.note(c, "no more compressed parts are asked for: "+reason)
}
