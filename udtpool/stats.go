package udtpool

import (
	"cmp"
	"net"
	"slices"
	"time"
)

// counters are totals since New. Guarded by Pool.mu.
type counters struct {
	dials        int64
	dialFailures int64
	reuses       int64
	retries      int64
	retired      int64
}

// Stats is a snapshot of a pool.
type Stats struct {
	Dials        int64 // attempts to open a connection
	DialFailures int64 // attempts that failed by themselves
	Reuses       int64 // requests that found an idle connection or waited for a busy one
	Retries      int64 // requests sent again over another connection
	Retired      int64 // connections taken out of the pool
	Dialing      int   // attempts under way
	Waiting      int   // requests waiting for a connection

	Conns []ConnStats // open connections, oldest first
}

// ConnStats describes one open connection.
type ConnStats struct {
	Host     string // scheme://host:port
	Opened   time.Time
	Requests int // requests given to it so far
	Idle     bool

	// Conn is what Config.Dial returned, a *udt.Conn by default, whose Stats
	// tell more. Closing it retires the connection.
	Conn net.Conn
}

// Stats returns a snapshot.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{
		Dials:        p.count.dials,
		DialFailures: p.count.dialFailures,
		Reuses:       p.count.reuses,
		Retries:      p.count.retries,
		Retired:      p.count.retired,
	}
	for _, h := range p.hosts {
		s.Dialing += h.dialing
		s.Waiting += len(h.waiters)
		for c := range h.conns {
			s.Conns = append(s.Conns, ConnStats{
				Host:     h.key.String(),
				Opened:   c.opened,
				Requests: c.requests,
				Idle:     !c.idleSince.IsZero(),
				Conn:     c.nc,
			})
		}
	}
	slices.SortFunc(s.Conns, func(a, b ConnStats) int {
		return cmp.Or(a.Opened.Compare(b.Opened), cmp.Compare(a.Host, b.Host))
	})
	return s
}
