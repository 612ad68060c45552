//go:build libudt

package libudt

// #include "shim.h"
import "C"

import (
	"net"
	"sync/atomic"
)

// Listener is a listening socket of the C++ library.
type Listener struct {
	socket C.int
	addr   *net.UDPAddr
	closed atomic.Bool
}

// Accept returns the newest pending connection.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		if l.closed.Load() {
			return nil, l.opError("accept", net.ErrClosed)
		}
		var e C.peer_error
		s := C.peer_accept(l.socket, &e)
		if s >= 0 {
			c, err := newConn(s)
			if err != nil {
				continue // broken before it was accepted
			}
			return c, nil
		}
		if l.closed.Load() {
			return nil, l.opError("accept", net.ErrClosed)
		}
		return nil, l.opError("accept", errorOf("accept", &e))
	}
}

// Close stops listening and wakes Accept.
func (l *Listener) Close() error {
	if !l.closed.CompareAndSwap(false, true) {
		return l.opError("close", net.ErrClosed)
	}
	var e C.peer_error
	if C.peer_close(l.socket, &e) < 0 {
		return l.opError("close", errorOf("close", &e))
	}
	return nil
}

// Addr returns the address listened on, with its real port.
func (l *Listener) Addr() net.Addr { return l.addr }

func (l *Listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "udt", Addr: l.addr, Err: err}
}
