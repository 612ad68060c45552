package fetch

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chunkget/chunkget/segment"
)

// A Mirror is a further address of the file.
type Mirror struct {
	URL *url.URL

	// Header holds further request headers for the origin of URL. Those of Options
	// are not sent there.
	Header http.Header
}

// MirrorResult is what became of one of several addresses of a file.
type MirrorResult struct {
	URL     string // see RedactURL
	Bytes   int64  // received from there
	Dropped error  // why nothing more was asked of it, nil if it was in use to the end
}

// A source is one address of the file. It has validators of its own: those of two
// servers say nothing about each other, and only the size and the hashes tell that
// they have the same file.
//
// url, client and named do not change. The rest is owned by the loop, and before there is
// one by the goroutine of Get.
type source struct {
	url    string // for people
	client *client
	named  bool    // by a server, not by the user
	remote *remote // what its first answer told, nil before that

	bytes     int64         // received from it
	lastBytes time.Time     // when it last sent any
	wait      time.Duration // for its first answer over an open connection, 0 when not known
	pace      float64       // of one connection in bytes per second, 0 when not known
	gone      error         // why nothing is asked of it any more, nil while it is in use
	lied      bool          // that is a piece that was wrong
	proved    bool          // a piece that it has sent alone was compared, and is right
	unproved  int           // pieces with bytes of it that have not passed their check
	late      bool          // a request to it was given up because another source is faster
}

// errDropped is the cause of the cancellation of requests to a source that is gone.
var errDropped = errors.New("the mirror is not used any more")

func newSource(o *Options, u *url.URL, header http.Header) *source {
	own := *o
	own.URL, own.Header = u, header
	return &source{url: o.name(u), client: newClient(&own)}
}

// newSources returns the addresses that the user has given.
func newSources(o *Options) []*source {
	sources := []*source{newSource(o, o.URL, o.Header)}
	for _, m := range o.Mirrors {
		sources = append(sources, newSource(o, m.URL, m.Header))
	}
	return sources
}

// live returns those that are in use.
func live(sources []*source) (in []*source) {
	for _, s := range sources {
		if s.gone == nil {
			in = append(in, s)
		}
	}
	return in
}

// drop makes s gone and returns the event that tells so.
func (s *source) drop(err error) Event {
	s.gone = err
	return Event{Kind: EventMirrorDropped, Total: -1, ETA: -1, Mirror: s.url, Code: CodeOf(err), Reason: err.Error(), Err: err}
}

// noneLeft is the error of a download whose sources are all gone, the last one for
// the reason err.
func noneLeft(sources []*source, err error) error {
	if len(sources) < 2 {
		return err
	}
	var all []string
	for _, s := range sources {
		if s.gone != nil {
			all = append(all, s.url+": "+s.gone.Error())
		}
	}
	last, ok := errors.AsType[*Error](err)
	if !ok {
		last = &Error{Kind: KindOther}
	}
	e := *last
	e.Code = CodeOf(err)
	e.Op, e.Err = "use mirrors", &mirrorsError{"none of them is left: " + strings.Join(all, "; "), err}
	return &e
}

// mirrorsError says what became of each source, and is what became of the last.
type mirrorsError struct {
	text string
	last error
}

func (e *mirrorsError) Error() string { return e.text }
func (e *mirrorsError) Unwrap() error { return e.last }

// several reports whether the file comes from more than one address, or did.
func (d *download) several() bool { return len(d.sources) > 1 }

// mirror names a source in events about it, if there are several.
func (d *download) mirror(s *source) string {
	if s == nil || !d.several() {
		return ""
	}
	return s.url
}

// meet holds the first answer of a source against what is known of the file. The
// goroutine of the attempt calls it.
func (d *download) meet(a *attempt, resp *response, asked segment.Range) error {
	r, err := newRemote(resp.Response, asked)
	if err == nil {
		err = r.differs(d.layout.Size, d.mode.compares())
	}
	if err != nil {
		return err
	}
	d.call(func(time.Time) {
		if a.src.remote == nil { // another request may have been faster
			a.src.remote = r
		}
		a.remote = a.src.remote
	})
	return nil
}

// differs returns why a source cannot take part in a file of size bytes, nil if it
// can. Pieces that are checked each need no validator.
func (r *remote) differs(size int64, checked bool) error {
	switch {
	case !r.ranges && size > 0:
		return errorf(KindRangeUnsupported, "check answer", "the server does not send parts of the file").withCode(CodeNoRanges)
	case r.size != size:
		return errorf(KindRemoteChanged, "check answer", "its file has %d bytes, not %d", r.size, size).withCode(CodeSizeChanged)
	case !checked && !r.combinable():
		return errorf(KindRangeUnsupported, "check answer", "the server sends nothing that would tell parts of two versions of the file apart").withCode(CodeNoValidator)
	}
	return nil
}

// lose takes note that nothing more can be had from src. Its connections go to the
// others; when it was the last, the download ends.
func (d *download) lose(now time.Time, src *source, err error) {
	if src.gone != nil || d.stopping {
		return
	}
	if len(live(d.sources)) == 1 {
		d.stopLast(err)
		return
	}
	d.emit(src.drop(err))
	for _, s := range d.slots {
		if s.src != src {
			continue
		}
		if a := s.attempt; a != nil && a.src == src {
			a.condemned = true
			a.cancel(errDropped)
		}
		s.src, s.failures, s.notUntil, s.best = d.leastUsed(), 0, now, 0
	}
}

// stopLast ends the download because the sources that are left are of no use.
func (d *download) stopLast(err error) {
	for _, s := range live(d.sources) {
		s.gone = err
	}
	d.stop(noneLeft(d.sources, err))
}

// liar returns the source that has sent all of piece i, which is wrong, if there are
// others to go on with; nil if there are none, or if several have sent parts of it:
// the next try is likely to be of one alone.
func (d *download) liar(i int) *source {
	o := d.delivered[i]
	if len(o.sources) != 1 || o.sources[0].gone == nil && len(live(d.sources)) < 2 {
		return nil
	}
	return o.sources[0]
}

// loseLiar drops a source that has sent a wrong piece, with all that it has sent and
// that is not proved.
func (d *download) loseLiar(now time.Time, src *source, err error) {
	src.lied = true
	d.lose(now, src, err)
	d.disown(src)
}

// leastUsed returns the source in use that has the fewest slots, of several the
// fastest.
func (d *download) leastUsed() (least *source) {
	count := map[*source]int{}
	for _, s := range d.slots {
		count[s.src]++
	}
	for _, s := range live(d.sources) {
		if least == nil || count[s] < count[least] || count[s] == count[least] && s.pace > least.pace {
			least = s
		}
	}
	return least
}

// measured takes note of how fast an attempt was that has ended.
func (s *source) measured(bytes int64, t time.Duration) {
	if bytes < 256<<10 || t <= 0 {
		return // mostly the wait for the answer
	}
	rate := float64(bytes) / t.Seconds()
	if s.pace > 0 {
		rate = (s.pace + rate) / 2
	}
	s.pace = rate
}

// gain is the least time left of a request to s with which another is worth its cost.
func (s *source) gain() time.Duration {
	if s.wait == 0 {
		return maxGain
	}
	return min(max(gainRounds*s.wait, minGain), maxGain)
}

// shareFor returns by what the unassigned bytes are divided for a segment of s,
// when n slots want one. Who is slower than the others gets less; who has not
// shown how fast it is, no more than a first request is for.
func (d *download) shareFor(s *slot, n int) int {
	n = d.sharers(n)
	if !d.several() {
		return n
	}
	if d.onProbation(s.src) {
		return max(n, int((d.plan.Unassigned()+d.layout.PieceSize-1)/d.layout.PieceSize))
	}
	if s.src.pace == 0 {
		return max(n, int((d.plan.Unassigned()+firstBytes-1)/firstBytes))
	}
	sum, known := 0.0, 0
	for _, o := range d.slots {
		if p := o.src.pace; p > 0 {
			sum += p
			known++
		}
	}
	return max(1, int(float64(n)*sum/float64(known)/s.src.pace))
}

// keepWhole makes the bytes of an incomplete piece at the end of an attempt missing
// again, where another source might complete it: nobody could be told to have sent it
// if it were wrong.
func (d *download) keepWhole(a *attempt) {
	i := int(a.off / d.layout.PieceSize)
	if !d.several() || !d.mode.compares() || i >= len(d.pieces) || d.pieces[i].state != pieceMissing || a.off == d.pieceRange(i).Start {
		return
	}
	d.plan.Invalidate(d.pieceRange(i))
	d.forgetOrigin(i)
}

// disown makes bytes of pieces that src has sent, and that nothing has proved,
// missing again. What waits for a verifier is checked in a moment anyway.
func (d *download) disown(src *source) {
	for i, o := range d.delivered {
		if p := &d.pieces[i]; o.from(src) && (p.state == pieceMissing || p.state == pieceOnFile) {
			p.state = pieceMissing
			d.plan.Invalidate(d.pieceRange(i))
			d.forgetOrigin(i)
		}
	}
}

// mirrorResults is what became of each source, nil if there was one only.
func (d *download) mirrorResults() (results []MirrorResult) {
	if !d.several() {
		return nil
	}
	for _, s := range d.sources {
		results = append(results, MirrorResult{s.url, s.bytes, s.gone})
	}
	return results
}
