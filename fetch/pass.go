package fetch

import "time"

// A pass is one reading of a local file from its beginning to its end, in which
// it is held against something. It tells an observer how far it has come; nil is
// a pass that nobody watches. Its methods are called from one goroutine at a time.
type pass struct {
	observe func(Event)
	event   Event // as far as it has come
	rate    rate
	told    time.Time // when the latest event was
	untold  int64     // bytes since then
}

// newPass begins a pass over the total bytes of the file at path.
func newPass(now time.Time, o *Options, path, against string, total int64) *pass {
	if o.Observe == nil {
		return nil
	}
	p := &pass{observe: o.Observe, told: now, event: Event{Kind: EventHash, Path: path, Against: against, Total: total}}
	p.rate.start(now)
	return p
}

// read counts n bytes more.
func (p *pass) read(now time.Time, n int64) {
	if p == nil {
		return
	}
	p.event.Done += n
	p.untold += n
	if now.Sub(p.told) >= tick {
		p.tell(now)
	}
}

// end says that the pass is complete.
func (p *pass) end(now time.Time) {
	if p == nil {
		return
	}
	p.event.Done = p.event.Total
	p.tell(now)
}

func (p *pass) tell(now time.Time) {
	p.rate.add(now, p.untold)
	p.told, p.untold = now, 0
	e := p.event
	e.Rate = p.rate.value()
	e.ETA = timeLeft(e.Total-e.Done, e.Rate)
	p.observe(e)
}

// timeLeft returns how long so many bytes take at a rate in bytes per second, -1
// if that is not known.
func timeLeft(bytes int64, rate float64) time.Duration {
	switch left := float64(bytes); {
	case left <= 0:
		return 0
	case rate > 0 && left/rate < (1000*time.Hour).Seconds():
		return time.Duration(left / rate * float64(time.Second))
	}
	return -1
}
