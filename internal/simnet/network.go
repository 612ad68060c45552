package simnet

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Config configures a Network. The zero value is an ideal network.
type Config struct {
	// Seed determines every random decision of the network.
	Seed uint64

	// Link is the configuration of every direction that SetLink has not set.
	Link LinkConfig

	// ReceiveBuffer limits the payload bytes waiting in a socket; datagrams
	// beyond it are dropped and counted as Overrun. 0 means 4 MiB.
	ReceiveBuffer int

	// Batching makes datagrams arrive in groups, as adapters do that interrupt
	// rarely.
	Batching Batching
}

// Batching holds datagrams back. The zero value delivers each when it arrives.
type Batching struct {
	// Interval: what arrives within it comes at its end. 0 means at once.
	Interval time.Duration
	// Shuffle brings it in random order.
	Shuffle bool
	// Run is the most datagrams that ReadRun joins. Runs end at random before
	// that.
	Run int
}

const (
	defaultReceiveBuffer = 4 << 20
	firstEphemeralPort   = 49152
)

// Network is a simulated packet network. Create it with New, inside the
// synctest bubble if there is one, and Close it before the bubble ends.
type Network struct {
	seed          uint64
	receiveBuffer int
	batching      Batching
	epoch         time.Time // where intervals of batching begin
	wg            sync.WaitGroup
	done          chan struct{} // closed by Close
	wake          chan struct{} // one slot: the schedule has an earlier head

	mu          sync.Mutex // guards everything below, every link and every Conn
	rng         *rand.Rand // of batching
	closed      bool
	defaultLink LinkConfig
	links       map[direction]*link
	conns       map[netip.AddrPort]*Conn
	nextPort    map[netip.Addr]uint16
	schedule    schedule
	order       uint64    // tie-breaker of the schedule: order of sending
	free        []*packet // recycled packets
}

// direction names the traffic from one host to another.
type direction struct{ from, to netip.Addr }

// New starts a network.
func New(cfg Config) *Network {
	n := &Network{
		seed:          cfg.Seed,
		receiveBuffer: cfg.ReceiveBuffer,
		batching:      cfg.Batching,
		epoch:         time.Now(),
		rng:           rand.New(rand.NewPCG(cfg.Seed, 0)),
		done:          make(chan struct{}),
		wake:          make(chan struct{}, 1),
		defaultLink:   cfg.Link,
		links:         make(map[direction]*link),
		conns:         make(map[netip.AddrPort]*Conn),
		nextPort:      make(map[netip.Addr]uint16),
	}
	if n.receiveBuffer <= 0 {
		n.receiveBuffer = defaultReceiveBuffer
	}
	cfg.Link.validate()
	n.wg.Go(n.run)
	return n
}

// Close closes every socket, discards the packets in flight and waits for the
// network's goroutine.
func (n *Network) Close() error {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		close(n.done)
		for _, c := range n.conns {
			c.closeLocked()
		}
		n.schedule = nil
	}
	n.mu.Unlock()
	n.wg.Wait()
	return nil
}

// Listen opens a socket. The address must be a host's, not the unspecified
// one; port 0 assigns a free port. It panics if the address is invalid or in
// use or if the network is closed: a test that does so is wrong.
func (n *Network) Listen(addr netip.AddrPort) *Conn {
	ip := addr.Addr().Unmap()
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() {
		panic(fmt.Sprintf("simnet: listen on %v: not the address of a host", addr))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		panic("simnet: listen on a closed network")
	}
	local := netip.AddrPortFrom(ip, addr.Port())
	for local.Port() == 0 || (addr.Port() == 0 && n.conns[local] != nil) {
		p := max(n.nextPort[ip], firstEphemeralPort)
		n.nextPort[ip] = p + 1 // wraps to 0, which max lifts again
		local = netip.AddrPortFrom(ip, p)
	}
	if n.conns[local] != nil {
		panic(fmt.Sprintf("simnet: listen on %v: address in use", local))
	}
	c := newConn(n, local)
	n.conns[local] = c
	return c
}

// SetLink configures the direction from one host to another. It may be called
// at any time and applies to packets sent from then on: packets that are
// already queued or in flight arrive as scheduled. Loss 1 cuts the link.
func (n *Network) SetLink(from, to netip.Addr, cfg LinkConfig) {
	cfg.validate()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.linkLocked(direction{from.Unmap(), to.Unmap()}).setConfig(cfg)
}

// SetLinks configures both directions between two hosts alike.
func (n *Network) SetLinks(a, b netip.Addr, cfg LinkConfig) {
	n.SetLink(a, b, cfg)
	n.SetLink(b, a, cfg)
}

// Counters returns what has happened so far to the packets from one host to
// another.
func (n *Network) Counters(from, to netip.Addr) Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.linkLocked(direction{from.Unmap(), to.Unmap()}).counters
}

func (n *Network) linkLocked(d direction) *link {
	l := n.links[d]
	if l == nil {
		l = newLink(n.seed, d, n.defaultLink)
		n.links[d] = l
	}
	return l
}

// send puts one datagram on its link. The caller keeps data.
func (n *Network) send(c *Conn, data []byte, to netip.AddrPort, now time.Time) {
	l := n.linkLocked(direction{c.local.Addr(), to.Addr()})
	p := n.newPacketLocked()
	p.from, p.to, p.link = c.local, to, l
	p.data = append(p.data[:0], data...)
	fate := l.admit(p, now)
	if !fate.deliver {
		n.recycleLocked(p)
		return
	}
	p.arrival = fate.arrival
	n.enqueueLocked(p)
	for range fate.copies {
		twin := n.newPacketLocked()
		twin.from, twin.to, twin.link, twin.arrival = p.from, p.to, p.link, p.arrival
		twin.data = append(twin.data[:0], p.data...)
		n.enqueueLocked(twin)
	}
}

func (n *Network) enqueueLocked(p *packet) {
	p.order = n.order
	n.order++
	if interval := n.batching.Interval; interval > 0 {
		if over := p.arrival.Sub(n.epoch) % interval; over > 0 {
			p.arrival = p.arrival.Add(interval - over)
		}
		if n.batching.Shuffle {
			p.order = n.rng.Uint64()
		}
	}
	heap.Push(&n.schedule, p)
	if n.schedule[0] == p {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// run delivers each packet at its arrival time.
func (n *Network) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next, ok := n.deliverDue(time.Now()); ok {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-n.wake:
		case <-n.done:
			return
		}
	}
}

// deliverDue hands over all packets that have arrived by now and returns when
// the next one will.
func (n *Network) deliverDue(now time.Time) (next time.Time, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.schedule) > 0 {
		p := n.schedule[0]
		if p.arrival.After(now) {
			return p.arrival, true
		}
		heap.Pop(&n.schedule)
		size := p.wireSize()
		counters := &p.link.counters
		switch c := n.conns[p.to]; {
		case c == nil:
			counters.Unreachable.add(size)
			n.recycleLocked(p)
		case !c.putLocked(p):
			counters.Overrun.add(size)
			n.recycleLocked(p)
		default:
			counters.Delivered.add(size)
		}
	}
	return time.Time{}, false
}

// packet is one datagram on its way. A packet belongs to the schedule, then to
// the inbox of a socket, then to Network.free.
type packet struct {
	from, to netip.AddrPort
	link     *link
	arrival  time.Time
	order    uint64
	data     []byte
}

// wireSize is the size of the packet on a link, in bytes.
func (p *packet) wireSize() int { return wireSize(p.to.Addr(), len(p.data)) }

func wireSize(to netip.Addr, payload int) int {
	if to.Is4() {
		return payload + 28
	}
	return payload + 48
}

// maxFree bounds the memory kept for reuse.
const maxFree = 1024

func (n *Network) newPacketLocked() *packet {
	if i := len(n.free) - 1; i >= 0 {
		p := n.free[i]
		n.free = n.free[:i]
		return p
	}
	return &packet{data: make([]byte, 0, 1500)}
}

func (n *Network) recycleLocked(p *packet) {
	if len(n.free) < maxFree {
		n.free = append(n.free, p)
	}
}

// schedule is a heap of packets by arrival, then by order of sending.
type schedule []*packet

func (s schedule) Len() int { return len(s) }
func (s schedule) Less(i, j int) bool {
	if s[i].arrival.Equal(s[j].arrival) {
		return s[i].order < s[j].order
	}
	return s[i].arrival.Before(s[j].arrival)
}
func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)   { *s = append(*s, x.(*packet)) }
func (s *schedule) Pop() any {
	old := *s
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return p
}
