package serve

import (
	"container/list"
	"io"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// rateBurst is how many seconds' worth of requests may come at once.
	rateBurst = 10

	// maxRates bounds the addresses whose rates are remembered. Who has more of
	// them than that is not held by a limit per address anyway.
	maxRates = 16 << 10
)

// requestRates remembers how many requests each address may still make: the
// maxRates addresses that have asked last.
type requestRates struct {
	perSecond rate.Limit

	mu     sync.Mutex
	recent *list.List                   // of *addrRate, latest first; guarded by mu
	byAddr map[netip.Addr]*list.Element // of recent; guarded by mu
}

type addrRate struct {
	addr  netip.Addr
	limit *rate.Limiter
}

func newRequestRates(perSecond float64) *requestRates {
	return &requestRates{perSecond: rate.Limit(perSecond), recent: list.New(), byAddr: make(map[netip.Addr]*list.Element)}
}

// take counts a request of addr, or returns how long it has to wait for that.
func (r *requestRates) take(now time.Time, addr netip.Addr) (wait time.Duration) {
	res := r.of(addr).ReserveN(now, 1)
	if wait = res.DelayFrom(now); wait > 0 {
		res.CancelAt(now)
	}
	return wait
}

func (r *requestRates) of(addr netip.Addr) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.byAddr[addr]; e != nil {
		r.recent.MoveToFront(e)
		return e.Value.(*addrRate).limit
	}
	if r.recent.Len() >= maxRates {
		oldest := r.recent.Remove(r.recent.Back()).(*addrRate)
		delete(r.byAddr, oldest.addr)
	}
	a := &addrRate{addr, rate.NewLimiter(r.perSecond, max(1, int(float64(r.perSecond)*rateBurst)))}
	r.byAddr[addr] = r.recent.PushFront(a)
	return a.limit
}

// A requestLimiter is the http.Handler of a Server: it hands on the requests
// that are within the limits.
type requestLimiter struct {
	next    http.Handler
	rates   *requestRates // nil for no limit
	pace    pace          // of bodies, at its beginning
	limited atomic.Int64  // requests answered 429
}

// ServeHTTP implements http.Handler.
func (l *requestLimiter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.rates != nil {
		if wait := l.rates.take(time.Now(), clientOf(r.RemoteAddr)); wait > 0 {
			l.limited.Add(1)
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
			http.Error(w, "too many requests from your address", http.StatusTooManyRequests)
			return
		}
	}
	if r.Body != nil && r.Body != http.NoBody && l.pace.rate > 0 {
		b := &pacedBody{ReadCloser: r.Body, control: http.NewResponseController(w), pace: l.pace}
		b.arm(time.Now()) // also for what net/http reads of a body that no handler wants
		r.Body = b
	}
	l.next.ServeHTTP(w, r)
}

// A pacedBody is the body of a request that fails when it comes too slowly. It
// belongs to the goroutine of the request.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	pace    pace
}

// arm bounds what is read next. Where deadlines are not supported there is no
// limit.
func (b *pacedBody) arm(now time.Time) {
	left, _ := b.pace.left()
	b.control.SetReadDeadline(now.Add(left))
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	start := time.Now()
	b.arm(start)
	n, err := b.ReadCloser.Read(p)
	fast := b.pace.moved(time.Since(start), int64(n))
	switch {
	case err == io.EOF:
		// net/http goes on reading, to learn of the client's end. The response may
		// take its time.
		b.control.SetReadDeadline(time.Time{})
	case err == nil && !fast:
		err = errTooSlow
	}
	return n, err
}
