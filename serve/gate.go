package serve

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A gate counts the connections that are open and lets further ones in as far
// as the limits allow. Its tables have an entry for each open connection at most.
type gate struct {
	limits Limits
	log    *slog.Logger

	mu     sync.Mutex
	open   int                // guarded by mu
	byAddr map[netip.Addr]int // open, none is 0; guarded by mu
	warned time.Time          // the latest time that the log was told; guarded by mu

	refused atomic.Int64 // connections
	slow    atomic.Int64 // connections cut off because they were too slow
}

func newGate(l Limits, log *slog.Logger) *gate {
	return &gate{limits: l, log: log, byAddr: make(map[netip.Addr]int)}
}

// refusalNotice is the least time between two log records about refusals, of
// which a flood makes many.
const refusalNotice = time.Minute

// enter counts a connection of addr, or reports that there must be none.
func (g *gate) enter(now time.Time, addr netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.limits
	if l.Conns > 0 && g.open >= l.Conns || l.ConnsPerAddr > 0 && g.byAddr[addr] >= l.ConnsPerAddr {
		g.refused.Add(1)
		if g.warned.IsZero() || now.Sub(g.warned) >= refusalNotice {
			g.warned = now
			g.log.Warn("too many connections, refusing more", "addr", addr, "of_it", g.byAddr[addr], "open", g.open,
				"limit", l.Conns, "limit_per_addr", l.ConnsPerAddr, "refused_so_far", g.refused.Load())
		}
		return false
	}
	g.open++
	g.byAddr[addr]++
	return true
}

// leave takes back what enter has counted.
func (g *gate) leave(addr netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.byAddr[addr]--; g.byAddr[addr] == 0 {
		delete(g.byAddr, addr)
	}
}

// clientOf returns the address by which a client at address, IP and port, is
// told from others. All whose address is no such thing are one client.
func clientOf(address string) netip.Addr {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{}
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// Guard returns l with the limits of s on connections and on how slow a peer may
// be. It belongs directly around what accepts from the network, below TLS: there
// it refuses before a handshake costs anything, and what it counts as progress
// is what the peer really takes.
func (s *Server) Guard(l net.Listener) net.Listener { return &guardedListener{l, s.gate} }

type guardedListener struct {
	net.Listener
	gate *gate
}

// Accept implements net.Listener. It returns connections within the limits and
// closes the others.
func (l *guardedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := clientOf(c.RemoteAddr().String())
		if l.gate.enter(time.Now(), addr) {
			return guard(c, l.gate, addr), nil
		}
		abort(c)
		c.Close()
	}
}

// abort makes the Close of c drop what the peer has not taken yet.
func abort(c net.Conn) {
	switch c := c.(type) {
	case interface{ Abort() }: // UDT
		c.Abort()
	case interface{ SetLinger(sec int) error }: // TCP
		c.SetLinger(0)
	}
}
