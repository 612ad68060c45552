package main

import (
	"cmp"
	"fmt"
	"net/url"
	"time"
)

// A way is what a request travels over.
type way int

const (
	wayTCP way = iota
	wayUDT
)

func (w way) other() way { return 1 - w }

// homeOf is the way that a URL names, the home of its server's requests.
func homeOf(u *url.URL) way {
	if udtAddress(u) != "" {
		return wayUDT
	}
	return wayTCP
}

// upgradedTo is what URLs of TCP are fetched as over UDT, inPlaceOf what URLs of UDT
// are fetched as over TCP. Nothing encrypted becomes plain.
var (
	upgradedTo = map[string]string{"http": "udt", "https": "udts"}
	inPlaceOf  = map[string]string{"udt": "http", "udts": "https"}
)

// schemeOver is what u is fetched as over w.
func schemeOver(u *url.URL, w way) string {
	if w == homeOf(u) {
		return u.Scheme
	}
	return cmp.Or(upgradedTo[u.Scheme], inPlaceOf[u.Scheme])
}

const (
	// clearlyFaster is by how much a rate over TCP must exceed that over UDT to count.
	clearlyFaster = 1.1

	// Requests side by side are compared when those over either way have brought so many
	// bytes, or have taken so long while the others brought as much.
	leastMeasured = 8 << 20
	longMeasured  = 5 * time.Second

	// shortTrip is below which round trip what limits both ways is the processors of the
	// two machines, which requests side by side would share evenly. So there each way
	// has turns of its own.
	shortTrip = time.Millisecond

	// A turn begins to count when so many bytes have come, or after that time, and ends
	// when as many have come in no less than a time, or when it has lasted too long.
	turnStart = 8 << 20
	turnDelay = 100 * time.Millisecond
	turnBytes = 16 << 20
	leastTurn = 25 * time.Millisecond
	longTurn  = 500 * time.Millisecond
)

// A contest is between the two ways to a server. Once the other way than that of its
// URLs is ready, requests take both: half of them each, or all by turns where the round trip
// is short. What brings less is left, by the requests that are under way too.
//
// It is guarded by routes.mu, but for what does not change, and knows no clock.
type contest struct {
	home    way
	address string      // host:port over UDT; does not change, nor do home, overTCP and silent
	overTCP string      // host:port over TCP
	silent  func() bool // whether requests over UDT wait, and nothing comes; nil: never
	passage *passage    // over UDT, if home is TCP; does not change once that is ready

	ready   bool // the other way: connected, and not failed since
	absent  bool // there is none
	fallen  bool // UDT
	decided bool
	best    way        // if decided
	rates   [2]float64 // by which it was decided, of bytes per second; 0 if it was by nothing measured

	flown  [2]tally // by way
	inTurn bool
	turn   turn
	laps   [2]lap // turns that have ended
	files  map[string]*[2]int64
}

// A tally is what requests over one way have shown.
type tally struct {
	flying int // under way
	due    int // to be made instead of such as were told that they are stale
	bytes  int64
	time   time.Duration // that they took for them, one by one
}

// rate is what one request brings, in bytes per second.
func (t tally) rate() float64 { return float64(t.bytes) / max(t.time.Seconds(), 1e-9) }

// enough reports whether t says something beside the other.
func (t tally) enough() bool { return t.bytes >= leastMeasured || t.time >= longMeasured }

// A lap is a turn that is over.
type lap struct {
	run  bool
	rate float64
}

// A turn is the time in which one way has all requests.
type turn struct {
	way    way
	number int       // of all turns
	begun  time.Time // with the first request; zero before that
	early  int64     // bytes before it counted
	since  time.Time // when it began to count, zero before that
	bytes  int64     // since then
}

// open makes the other way one to be taken. short tells whether the round trip is.
func (c *contest) open(short bool) {
	c.ready, c.inTurn, c.turn = true, short, turn{way: c.home, number: c.turn.number + 1}
}

// pick returns what the next request takes.
func (c *contest) pick(short func() bool) way {
	switch {
	case !c.ready:
		return c.home
	case c.decided:
		return c.best
	case !c.inTurn && short():
		c.open(true)
	}
	if c.inTurn {
		return c.turn.way
	}
	w := wayUDT
	if c.flown[wayTCP].flying < c.flown[wayUDT].flying {
		w = wayTCP
	}
	c.flown[w].due = max(0, c.flown[w].due-1)
	return w
}

// begin begins a turn with the first request over its way. It returns the number of the
// turn, and false if there is nothing to begin.
func (c *contest) begin(now time.Time) (number int, ok bool) {
	if !c.ready || c.decided || !c.inTurn || !c.turn.begun.IsZero() || c.flown[c.turn.way].flying == 0 {
		return 0, false
	}
	c.turn.begun = now
	return c.turn.number, true
}

// takeOff notes that a request over w is made.
func (c *contest) takeOff(w way) { c.flown[w].flying++ }

// land notes that a request over w is over. A turn in which nothing is under way says
// nothing: it begins again with the next request.
func (c *contest) land(w way) {
	c.flown[w].flying--
	if c.inTurn && w == c.turn.way && c.flown[w].flying == 0 {
		c.turn = turn{way: w, number: c.turn.number + 1}
	}
}

// stale reports whether a request over w that is under way had better be made anew. If
// so it counts on that. A single request is over UDT.
func (c *contest) stale(w way) bool {
	if !c.ready {
		return false
	}
	if c.decided {
		return w != c.best
	}
	if c.inTurn {
		return w != c.turn.way
	}
	o := &c.flown[w.other()]
	others := o.flying + o.due
	if c.flown[w].flying < others+2 && (w != wayTCP || others > 0) {
		return false
	}
	o.due++
	return true
}

// count takes note of what a request for the file of a path has brought, and in which
// time. compared is true for those that take part.
func (c *contest) count(now time.Time, path string, w way, bytes int64, t time.Duration, compared bool) {
	f := c.files[path]
	if f == nil {
		f = new([2]int64)
		if c.files == nil {
			c.files = make(map[string]*[2]int64)
		}
		c.files[path] = f
	}
	f[w] += bytes
	if !compared {
		return
	}
	c.flown[w].bytes += bytes
	c.flown[w].time += t
	switch {
	case !c.ready || c.decided:
	case c.inTurn:
		c.countTurn(now, w, bytes)
	default:
		c.judge()
	}
}

// judge decides by requests that were made side by side.
func (c *contest) judge() {
	tcp, udt := c.flown[wayTCP], c.flown[wayUDT]
	if tcp.enough() && udt.enough() && max(tcp.bytes, udt.bytes) >= leastMeasured {
		c.decide(tcp.rate(), udt.rate())
	}
}

// countTurn notes what has come in a turn. What is left of requests that were made
// before it disturbs it, so it begins to count after that.
func (c *contest) countTurn(now time.Time, w way, bytes int64) {
	t := &c.turn
	switch {
	case t.begun.IsZero():
	case w != t.way:
		t.since = time.Time{}
	case t.since.IsZero():
		if t.early += bytes; t.early >= turnStart || now.Sub(t.begun) >= turnDelay {
			t.since, t.bytes = now, 0
		}
	default:
		if t.bytes += bytes; t.bytes >= turnBytes && now.Sub(t.since) >= leastTurn {
			c.endTurn(now)
		}
	}
}

// endTurn makes it the turn of the other way, or decides when both have had one.
func (c *contest) endTurn(now time.Time) {
	t := c.turn
	bytes, since := t.bytes, t.since
	if since.IsZero() {
		bytes, since = t.early, t.begun
	}
	c.laps[t.way] = lap{run: true, rate: float64(bytes) / max(now.Sub(since).Seconds(), 1e-9)}
	if c.laps[t.way.other()].run {
		c.decide(c.laps[wayTCP].rate, c.laps[wayUDT].rate)
		return
	}
	c.turn = turn{way: t.way.other(), number: t.number + 1}
}

// overdue ends a turn that has lasted too long.
func (c *contest) overdue(now time.Time, number int) {
	if c.ready && !c.decided && c.turn.number == number && !c.turn.begun.IsZero() {
		c.endTurn(now)
	}
}

// decide takes the better way, by rates in bytes per second. What is silent is left, too,
// but has shown no rate.
func (c *contest) decide(tcp, udt float64) {
	if tcp <= clearlyFaster*udt {
		c.settle(wayUDT)
	} else {
		c.settle(wayTCP)
		if c.silent != nil && c.silent() {
			return
		}
	}
	c.rates = [2]float64{tcp, udt}
}

// settle takes a way without a contest.
func (c *contest) settle(w way) { c.decided, c.best = true, w }

// fall ends the contest with TCP, since UDT gets through no more. How fast it was says
// nothing then, and even less how long its last requests took.
func (c *contest) fall() {
	c.settle(wayTCP)
	c.ready, c.fallen, c.rates = false, true, [2]float64{}
}

// measured reports whether w was chosen by what requests have brought.
func (c *contest) measured(w way) bool {
	return c.decided && c.best == w && c.rates != [2]float64{}
}

// comparison tells what was measured, the better rate first.
func (c *contest) comparison() string {
	how := "of a connection"
	if c.inTurn {
		how = "by turns"
	}
	return fmt.Sprintf("%s against %s %s", formatRate(c.rates[c.best]), formatRate(c.rates[c.best.other()]), how)
}

// file returns how much of a file came over which way.
func (c *contest) file(path string) (tcp, udt int64) {
	if f := c.files[path]; f != nil {
		return f[wayTCP], f[wayUDT]
	}
	return 0, 0
}

// told returns over which way most of a file came, and why if there is something to
// say. What was never tried is not spoken of.
func (c *contest) told(path string) (w way, why string) {
	tcp, udt := c.file(path)
	switch w = c.home; {
	case tcp > udt:
		w = wayTCP
	case udt > 0:
		w = wayUDT
	}
	switch {
	case c.home == wayTCP && w == wayUDT:
		why = "the server offers it (Alt-Svc)"
		if c.measured(w) {
			why += ", and TCP brings no more: " + c.comparison()
		}
	case c.home == wayTCP:
		switch {
		case c.measured(w):
			why = "it brings more than UDT, which the server offers: " + c.comparison()
		case udt == 0:
		case c.decided && c.best == wayTCP:
			why = "UDT, which the server offers, brings nothing any more"
		case !c.ready:
			why = "UDT, which the server offers, has failed"
		default:
			why = "UDT, which the server offers, came late"
		}
	case w == wayTCP:
		switch {
		case c.measured(w):
			why = "it brings more than UDT: " + c.comparison()
		case c.decided && c.best == w:
			why = "UDT brings nothing any more"
		default:
			why = "it was compared with UDT"
		}
	case c.measured(w):
		why = "TCP brings no more: " + c.comparison()
	}
	return w, why
}
