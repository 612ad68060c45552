package udt

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// ICMP's port unreachable, where the kernel passes it on, tells that a peer is
// gone before its silence does. It can be forged without knowing anything of
// the connection, so it only raises suspicion: the connection is given up when
// several probes were refused and nothing came from the peer.

// suspicion is the loop's record of refused packets.
type suspicion struct {
	refused int           // since something was heard
	since   time.Duration // the first of them
	probeAt time.Duration // when to send the next probe, 0 = not suspicious
}

const (
	suspectProbe   = 300 * time.Millisecond
	suspectRefused = 3 // and this many probes refused
	// dialRefused ICMP messages end an attempt to connect. One may be left over
	// from a server that has just been restarted.
	dialRefused = 2
)

// An UnreachableError says that the peer's host refuses its packets: nobody
// uses the UDP port.
type UnreachableError struct{ Addr netip.AddrPort }

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("UDP port of %v is closed: %v", e.Addr, syscall.ECONNREFUSED)
}

// Unwrap returns ECONNREFUSED.
func (e *UnreachableError) Unwrap() error { return syscall.ECONNREFUSED }

// onRefused takes an ICMP port unreachable for a packet of this connection.
func (c *Conn) onRefused(now time.Duration) {
	s := &c.suspect
	if c.state == stateConnecting {
		// In a rendezvous the other side may not have opened its port yet.
		if s.refused++; s.refused >= dialRefused && !c.hs.rendezvous {
			err := &UnreachableError{c.remote}
			c.terminate(err, err, err)
		}
		return
	}
	if s.refused == 0 {
		s.since = now
	}
	s.refused++
	if s.probeAt == 0 {
		s.probeAt = now + suspectProbe
	}
}

// probeSuspect asks again whether the peer is gone.
func (c *Conn) probeSuspect(now time.Duration) {
	s := &c.suspect
	if s.refused > suspectRefused && now-s.since >= suspectRefused*suspectProbe {
		err := &UnreachableError{c.remote}
		c.terminate(err, err, err)
		return
	}
	s.probeAt = now + suspectProbe
	c.sendControl(now, ctrlKeepalive, 0)
}

// notifyRefused passes an ICMP message to the connections with that peer.
func (e *Endpoint) notifyRefused(remote netip.AddrPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.conns {
		if c.remote == remote {
			c.refusals.Add(1)
			c.wakeLoop()
		}
	}
}
