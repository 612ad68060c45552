package udt

import (
	"net/netip"
	"testing"
	"time"
)

// search lets p look for its size on a path that takes packets up to limit and
// returns what was tried.
func search(p *pathSize, now time.Duration, limit int) (tried []int) {
	for known := 0; ; {
		size := p.next(now, known)
		if size == 0 || len(tried) == 50 {
			return tried
		}
		tried = append(tried, size)
		if size > limit {
			p.tooLarge(now, size)
			continue
		}
		p.fits(size)
		known = max(known, size)
	}
}

func TestPathSizeSearch(t *testing.T) {
	const base = 1472
	for _, tt := range []struct {
		mtu         int
		least, most int // MTU found
		tries       int // at most
	}{
		{1500, 1500, 1500, 4},
		{1800, 1750, 1800, 6},
		{2002, 2002, 2002, 8},
		{4352, 4352, 4352, 8},
		{8896, 8450, 8896, 8},
		{8999, 8450, 8999, 8},
		{9000, 9000, 9000, 1},
		{65535, 9000, 9000, 1},
	} {
		p := newPathSize(netip.MustParseAddr("192.0.2.1"), base)
		tried := search(&p, time.Minute, tt.mtu-28)
		if got := p.good + 28; got < tt.least || got > tt.most || len(tried) > tt.tries {
			t.Errorf("MTU %d: found %d, tried %d", tt.mtu, got, tried)
		}
	}
}

func TestPathSizeChanges(t *testing.T) {
	p := newPathSize(netip.MustParseAddr("2001:db8::1"), 1452)
	now := time.Minute
	search(&p, now, 1<<16)
	if p.good != 9000-48 {
		t.Fatalf("found %d over IPv6", p.good)
	}
	if got := p.next(now, 0); got != p.good {
		t.Errorf("the next connection tries %d, want %d", got, p.good)
	}
	if got := p.next(now, p.good); got != 0 {
		t.Errorf("the same one goes on with %d", got)
	}
	p.tooLarge(now, p.good)
	if p.good != 1452 {
		t.Errorf("after the path has changed %d is good", p.good)
	}
	search(&p, now, 4352-48)
	if p.good != 4352-48 {
		t.Errorf("found %d on the changed path", p.good)
	}
	if got := p.next(now+sizeMemory-1, p.good); got != 0 {
		t.Errorf("tried %d again too soon", got)
	}
	if got := p.next(now+sizeMemory, p.good); got != 9000-48 {
		t.Errorf("tries %d later", got)
	}
	p.tooLarge(now, 1452)
	if p.good < p.base {
		t.Error("less than the handshake allows")
	}
}

func TestWeigh(t *testing.T) {
	for _, tt := range []struct{ size, base, want int }{
		{0, 1456, 1}, {1456, 1456, 1}, {1457, 1456, 1}, {1958, 1456, 2}, {2956, 1456, 2}, {4308, 1456, 3},
		{8956, 1456, 6}, {8936, 1436, 6}, {8956, 8956, 1},
	} {
		if got := weigh(tt.size, tt.base); got != tt.want {
			t.Errorf("%d bytes weigh %d of %d, want %d", tt.size, got, tt.base, tt.want)
		}
	}
}
