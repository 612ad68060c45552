package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/udtpool"
)

// A simulatedPath is what two ways to a server bring in virtual time.
type simulatedPath struct {
	rate   [2]float64 // of all requests over a way, in bytes per second
	each   [2]float64 // of each request, 0 without a limit
	shared bool       // requests over either way get the same part of what the way would bring alone

	mu     sync.Mutex
	flying [2]int
	flown  [2]int64
	most   [2]int // requests at a time
}

// A simulatedBody brings what its path lets it.
type simulatedBody struct {
	*simulatedPath
	way    way
	left   int64
	closed bool
}

// simulatedPiece is what is read before a request asks whether it is stale.
const simulatedPiece = 128 << 10

func (p *simulatedPath) open(w way, bytes int64) *simulatedBody {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying[w]++
	p.most[w] = max(p.most[w], p.flying[w])
	return &simulatedBody{simulatedPath: p, way: w, left: bytes}
}

func (b *simulatedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), b.left)
	b.mu.Lock()
	beside := b.flying[b.way]
	if b.shared {
		beside += b.flying[b.way.other()]
	}
	rate := b.rate[b.way] / float64(beside)
	if b.each[b.way] > 0 {
		rate = min(rate, b.each[b.way])
	}
	b.flown[b.way] += n
	b.mu.Unlock()
	time.Sleep(time.Duration(float64(n) / rate * float64(time.Second)))
	b.left -= n
	return int(n), nil
}

func (b *simulatedBody) Close() error {
	if !b.closed {
		b.mu.Lock()
		b.flying[b.way]--
		b.mu.Unlock()
		b.closed = true
	}
	return nil
}

// get downloads size bytes of u with n requests at a time, each for its part, as fetch
// does: what is left of a stale request is asked for anew, of another one it takes half.
func (p *simulatedPath) get(t *testing.T, r *routes, u *url.URL, size int64, n int) (took time.Duration) {
	begun := time.Now()
	var mu sync.Mutex
	left := make([]int64, n) // of each part
	for i := range left {
		left[i] = size / int64(n)
	}
	next := func(mine int) int { // the part to go on with, -1 if all is under way
		mu.Lock()
		defer mu.Unlock()
		if left[mine] > 0 {
			return mine
		}
		most := mine
		for i := range left {
			if left[i] > left[most] {
				most = i
			}
		}
		if left[most] < 16*simulatedPiece {
			return -1
		}
		left[mine] = left[most] / 2
		left[most] -= left[mine]
		return mine
	}
	claim := func(mine int) int64 {
		mu.Lock()
		defer mu.Unlock()
		c := min(left[mine], simulatedPiece)
		left[mine] -= c
		return c
	}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for next(i) >= 0 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				f := r.takeOff(req)
				resp, _ := f.landed(&http.Response{ContentLength: -1, Body: p.open(f.way, size)}, nil)
				for c := claim(i); c > 0; c = claim(i) {
					if _, err := io.CopyN(io.Discard, resp.Body, c); err != nil {
						t.Error(err)
						return
					}
					if b, ok := resp.Body.(interface{ Stale() bool }); ok && b.Stale() {
						break
					}
				}
				resp.Body.Close()
			}
		})
	}
	all.Wait()
	return time.Since(begun)
}

// TestContest: of two ways the better is found by what requests bring, over short paths by
// turns, and is taken for the rest, which takes hardly longer than over that alone; it is
// said, and learnt for the next time.
func TestContest(t *testing.T) {
	const mb = 1e6
	for _, tt := range []struct {
		name   string
		home   string // scheme
		rtt    time.Duration
		path   *simulatedPath
		size   int64 // MiB, 256 if it is 0
		n      int   // requests at a time, 4 if it is 0
		scheme string
		why    string
		lesson lesson
		part   float64 // of the bytes, that the better way has brought at least
	}{
		{name: "processors, TCP is faster", home: "http", rtt: 100 * time.Microsecond, path: &simulatedPath{rate: [2]float64{600 * mb, 400 * mb}, shared: true},
			scheme: "http", why: "it brings more than UDT, which the server offers", lesson: lesson{slowUDT: true}, part: 0.85},
		{name: "the same from UDT", home: "udt", rtt: 100 * time.Microsecond, path: &simulatedPath{rate: [2]float64{600 * mb, 400 * mb}, shared: true},
			scheme: "http", why: "it brings more than UDT", lesson: lesson{slowUDT: true}, part: 0.85},
		{name: "one request at a time", home: "udt", rtt: 100 * time.Microsecond, path: &simulatedPath{rate: [2]float64{600 * mb, 400 * mb}, shared: true}, n: 1,
			scheme: "http", why: "it brings more than UDT", lesson: lesson{slowUDT: true}, part: 0.85},
		{name: "processors, UDT is faster", home: "http", rtt: 100 * time.Microsecond, path: &simulatedPath{rate: [2]float64{300 * mb, 400 * mb}, shared: true},
			scheme: "udt", why: "the server offers it (Alt-Svc), and TCP brings no more", lesson: lesson{slowTCP: true}, part: 0.85},
		{name: "a wire of the building", home: "udt", rtt: 300 * time.Microsecond, path: &simulatedPath{rate: [2]float64{118 * mb, 116 * mb}, shared: true},
			scheme: "udt", why: "TCP brings no more", lesson: lesson{slowTCP: true}, part: 0.85},
		{name: "a short path where TCP stands still", home: "udt", rtt: 300 * time.Microsecond, path: &simulatedPath{rate: [2]float64{1 * mb, 100 * mb}}, size: 1024,
			scheme: "udt", why: "TCP brings no more", lesson: lesson{slowTCP: true}, part: 0.95},
		{name: "too small a file", home: "http", rtt: 100 * time.Microsecond, path: &simulatedPath{rate: [2]float64{600 * mb, 400 * mb}, shared: true}, size: 16,
			scheme: "http", part: 1},

		{name: "a long path with losses", home: "http", rtt: 100 * time.Millisecond, path: &simulatedPath{rate: [2]float64{12 * mb, 12 * mb}, each: [2]float64{0.2 * mb, 0}},
			scheme: "udt", why: "the server offers it (Alt-Svc), and TCP brings no more", lesson: lesson{slowTCP: true}, part: 0.95},
		{name: "the same from UDT", home: "udt", rtt: 100 * time.Millisecond, path: &simulatedPath{rate: [2]float64{12 * mb, 12 * mb}, each: [2]float64{0.2 * mb, 0}},
			scheme: "udt", why: "TCP brings no more", lesson: lesson{slowTCP: true}, part: 0.95},
		{name: "a long path that holds UDP back", home: "udt", rtt: 30 * time.Millisecond, path: &simulatedPath{rate: [2]float64{50 * mb, 2 * mb}},
			scheme: "http", why: "it brings more than UDT", lesson: lesson{slowUDT: true}, part: 0.85},
		{name: "the same from TCP", home: "http", rtt: 30 * time.Millisecond, path: &simulatedPath{rate: [2]float64{50 * mb, 2 * mb}},
			scheme: "http", why: "it brings more than UDT, which the server offers", lesson: lesson{slowUDT: true}, part: 0.85},
		{name: "a long path without losses", home: "udt", rtt: 30 * time.Millisecond, path: &simulatedPath{rate: [2]float64{50 * mb, 50 * mb}, shared: true},
			scheme: "udt", why: "TCP brings no more", lesson: lesson{slowTCP: true}, part: 0.8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := testRoutes(t, transportAuto, func(*contest) time.Duration { return tt.rtt })
				u := &url.URL{Scheme: tt.home, Host: "h:9000", Path: "/x"}
				c := &contest{home: homeOf(u), address: "h:9000"}
				r.contests[origin(u)] = c
				time.AfterFunc(5*time.Millisecond, func() {
					r.mu.Lock()
					defer r.mu.Unlock()
					r.admit(c)
				})
				size, n := max(tt.size, 1)<<20, max(tt.n, 1)
				if tt.size == 0 {
					size = 256 << 20
				}
				if tt.n == 0 {
					n = 4
				}
				took := tt.path.get(t, r, u, size, n)
				scheme, why := r.carried(u)
				if said, _, _ := strings.Cut(why, ":"); scheme != tt.scheme || said != tt.why {
					t.Errorf("carried over %s: %q, want %s: %q", scheme, why, tt.scheme, tt.why)
				}
				to := r.course(u)
				if to.lesson != tt.lesson || to.address != "h:9000" {
					t.Errorf("course %+v, want %+v", to, tt.lesson)
				}
				best := wayTCP
				if tt.scheme == "udt" {
					best = wayUDT
				}
				if part := float64(tt.path.flown[best]) / float64(size); part < tt.part {
					t.Errorf("the better way has brought %.3f of it", part)
				}
				alone := time.Duration(float64(size) / tt.path.rate[best] * float64(time.Second))
				if took > alone*110/100 {
					t.Errorf("it took %v, over the better way alone it takes %v", took, alone)
				}
				t.Logf("%v, %d and %d bytes, at most %d and %d at a time", took, tt.path.flown[wayTCP], tt.path.flown[wayUDT], tt.path.most[wayTCP], tt.path.most[wayUDT])
			})
		})
	}
}

// TestContestInSilence: what stops coming over UDT, or gets through no more, is left, and is
// not taken for slow, whatever its requests took until then, and are told to have taken
// after that.
func TestContestInSilence(t *testing.T) {
	now := time.Unix(1, 0)
	never := func() bool { return false }
	// flyTurn has a request fly in the turn of w, if it is that.
	flyTurn := func(c *contest, w way) (number int) {
		if c.pick(never) != w {
			return 0
		}
		c.takeOff(w)
		number, _ = c.begin(now)
		return number
	}
	bringTurn := func(c *contest) {
		if flyTurn(c, wayTCP) != 0 {
			c.count(now, "/x", wayTCP, turnStart, 0, true)
			now = now.Add(2 * leastTurn)
			c.count(now, "/x", wayTCP, turnBytes, 0, true)
		}
	}
	for _, turns := range []bool{false, true} {
		for _, home := range []way{wayTCP, wayUDT} {
			for _, falls := range []bool{true, false} {
				silent := false
				c := &contest{home: home, silent: func() bool { return silent }}
				c.open(turns)
				var number int
				if turns {
					bringTurn(c)
					if number = flyTurn(c, wayUDT); number == 0 {
						t.Fatal("UDT has no turn")
					}
				} else {
					c.count(now, "/x", wayUDT, 4<<20, time.Second, true)
					c.count(now, "/x", wayTCP, leastMeasured, 2*time.Second, true)
				}
				if silent = true; falls {
					c.fall()
				}
				now = now.Add(longTurn)
				c.overdue(now, number)
				bringTurn(c)
				c.count(now, "/x", wayUDT, 0, time.Minute, true)
				if !c.decided || c.best != wayTCP || c.measured(wayTCP) || c.measured(wayUDT) || c.fallen != falls {
					t.Errorf("turns: %v, home %d, falls: %v: %+v", turns, home, falls, c)
				}
				if !falls && (c.pick(never) != wayTCP || !c.stale(wayUDT)) {
					t.Errorf("turns: %v, home %d: goes on over UDT", turns, home)
				}
			}
		}
	}
	// What was measured before it says nothing any more, either.
	c := &contest{home: wayTCP}
	c.open(false)
	c.decide(1e6, 2e6)
	if c.fall(); c.pick(never) != wayTCP || c.measured(wayTCP) || c.measured(wayUDT) {
		t.Errorf("%+v", c)
	}
}

// testRoutes returns routes that remember nothing and reach nobody.
func testRoutes(t *testing.T, mode string, rtt func(*contest) time.Duration) *routes {
	pool := udtpool.New(udtpool.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }})
	r := newRoutes(mode, pool, nil, rtt, new(trust), new(pathMemory), func(string, ...any) {})
	t.Cleanup(func() {
		r.close()
		pool.Close()
	})
	return r
}

// TestTripTimes: the shortest round trip over either way counts, where one is known.
func TestTripTimes(t *testing.T) {
	trips := &tripTimes{least: make(map[string]time.Duration)}
	for _, d := range []time.Duration{3, 2, 4} {
		trips.add("h:1", d*time.Millisecond)
	}
	for _, tt := range []struct {
		address    string
		udt, least time.Duration
	}{{"h:1", 0, 2}, {"h:1", 1, 1}, {"h:1", 5, 2}, {"h:2", 5, 5}, {"h:2", 0, 0}} {
		if got := trips.shortest(tt.address, tt.udt*time.Millisecond); got != tt.least*time.Millisecond {
			t.Errorf("%s with %d ms over UDT: %v, want %d ms", tt.address, tt.udt, got, tt.least)
		}
	}
}
