package udt

import (
	"net/netip"
	"time"
)

// pathSize is what the members of a group know of the packets that the path
// takes, and which size to try next (RFC 8899, 5.3). The group guards it. Sizes
// are bytes of UDP payload: a UDT header and what follows.
//
//	base <= good < bad
type pathSize struct {
	base int // of a full packet as the handshake allows it: taken as given
	good int // the largest that has arrived
	bad  int // the smallest that has not, or the first that is of no interest
	most int // bad at the beginning
	ipv6 bool

	badAt time.Duration // when bad was found
}

const (
	// maxMTU is the largest IP packet that is looked for, the jumbo frame that
	// networks agree on. With segmentation by the kernel larger packets gain
	// nothing, and without it little.
	maxMTU = 9000
	// minRaisedMSS is the least packet size agreed on in the handshake that is
	// raised. A peer that asked for less has its reasons.
	minRaisedMSS = 1400
	// sizeMemory is after what time larger packets are tried again
	// (PMTU_RAISE_TIMER of RFC 8899).
	sizeMemory = 10 * time.Minute
	// minRaise is the growth, as a divisor, that makes a size worth changing to,
	// and worth looking for.
	minRaise = 4
	// sizeGrain is the uncertainty, as a divisor, at which the search ends.
	sizeGrain = 16
)

// usualMTUs are tried before the search halves what is left: jumbo frames, FDDI
// and IP over InfiniBand, and what RFC 1191 lists below those.
var usualMTUs = [...]int{maxMTU, 4352, 2002}

func newPathSize(remote netip.Addr, base int) pathSize {
	p := pathSize{base: base, good: base, ipv6: remote.Is6() && !remote.Is4In6()}
	p.most = max(base, p.ofMTU(maxMTU)) + 1
	p.bad = p.most
	return p
}

// ofMTU returns the packet that fills an IP packet.
func (p *pathSize) ofMTU(mtu int) int {
	if p.ipv6 {
		return mtu - 48
	}
	return mtu - ipUDPHeader
}

// next returns the size to try, 0 if the search is over. known is the largest
// size that the peer has shown to take on this connection: what others have
// found is tried first.
func (p *pathSize) next(now time.Duration, known int) int {
	if now-p.badAt >= sizeMemory {
		p.bad = p.most
	}
	if p.good > max(known, p.base) {
		return p.good
	}
	if left := p.bad - p.good; left <= max(1, p.good/sizeGrain) && p.bad < p.most || left <= 1 || p.bad <= p.base+p.base/minRaise {
		return 0
	}
	for _, mtu := range usualMTUs {
		if size := p.ofMTU(mtu); size > p.good && size < p.bad {
			return size
		}
	}
	return (p.good + p.bad) / 2
}

// fits notes that a packet of the given size has arrived.
func (p *pathSize) fits(size int) {
	if size < p.bad {
		p.good = max(p.good, size)
	}
}

// tooLarge notes that packets of the given size do not arrive.
func (p *pathSize) tooLarge(now time.Duration, size int) {
	if size <= p.base {
		return
	}
	p.bad, p.badAt = min(p.bad, size), now
	if p.good >= p.bad {
		p.good = p.base // the path has changed, and nothing above is certain
	}
}

func (g *group) nextSize(now time.Duration, known int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sizes.next(now, known)
}

func (g *group) sizeFits(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sizes.fits(size)
}

func (g *group) sizeTooLarge(now time.Duration, size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sizes.tooLarge(now, size)
}

func (g *group) goodSize() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sizes.good
}
