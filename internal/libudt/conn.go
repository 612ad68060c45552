//go:build libudt

package libudt

// #include "shim.h"
import "C"

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
	"unsafe"
)

// Conn is a connection of the C++ library. Its methods may be called
// concurrently.
type Conn struct {
	socket        C.int
	local, remote *net.UDPAddr
	closed        atomic.Bool
	readDeadline  deadline
	writeDeadline deadline
}

// maxCall bounds the bytes of one call into the library.
const maxCall = 1 << 20

func newConn(s C.int) (*Conn, error) {
	local, remote, err := names(s, true)
	if err != nil {
		var e C.peer_error
		C.peer_close(s, &e)
		return nil, err
	}
	return &Conn{socket: s, local: local, remote: remote}, nil
}

// Read reads data. It returns io.EOF when the peer has shut the connection
// down, or vanished, and everything acknowledged to it has been read.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		if err := c.check(&c.readDeadline); err != nil {
			return 0, c.opError("read", err)
		}
		var e C.peer_error
		n := C.peer_recv(c.socket, unsafe.Pointer(&b[0]), C.int(min(len(b), maxCall)), &e)
		switch {
		case n > 0:
			return int(n), nil
		case n == 0 || e.code == CodeCallTimeout:
			// An empty data packet, or time to look at the deadline.
		case c.closed.Load():
			return 0, c.opError("read", net.ErrClosed)
		case e.code == CodeConnectionLost || e.code == CodeInvalidSocket:
			return 0, io.EOF
		default:
			return 0, c.opError("read", errorOf("recv", &e))
		}
	}
}

// Write puts data into the send buffer, waiting for room.
func (c *Conn) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		if err := c.check(&c.writeDeadline); err != nil {
			return done, c.opError("write", err)
		}
		var e C.peer_error
		n := C.peer_send(c.socket, unsafe.Pointer(&b[done]), C.int(min(len(b)-done, maxCall)), &e)
		switch {
		case n >= 0:
			done += int(n)
		case e.code == CodeCallTimeout:
		case c.closed.Load():
			return done, c.opError("write", net.ErrClosed)
		default:
			return done, c.opError("write", errorOf("send", &e))
		}
	}
	return done, nil
}

// Close waits until the peer has acknowledged all data, at most for
// Config.Linger, and closes the connection. Blocked calls return at once.
func (c *Conn) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return c.opError("close", net.ErrClosed)
	}
	var e C.peer_error
	// A socket that the library has cleaned up after the peer's shutdown is
	// closed already.
	if C.peer_close(c.socket, &e) < 0 && e.code != CodeInvalidSocket {
		return c.opError("close", errorOf("close", &e))
	}
	return nil
}

// LocalAddr returns the local address; its IP is what the peer's handshake
// told.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets the time after which reads fail, blocked ones within
// PollInterval.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readDeadline, t) }

// SetWriteDeadline sets the time after which writes fail, blocked ones within
// PollInterval.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeDeadline, t) }

func (c *Conn) setDeadline(d *deadline, t time.Time) error {
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	d.set(t)
	return nil
}

func (c *Conn) check(d *deadline) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	if d.expired() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "udt", Source: c.local, Addr: c.remote, Err: err}
}

// deadline is a point in time; nil means none.
type deadline struct{ t atomic.Pointer[time.Time] }

func (d *deadline) set(t time.Time) {
	if t.IsZero() {
		d.t.Store(nil)
		return
	}
	d.t.Store(&t)
}

func (d *deadline) expired() bool {
	t := d.t.Load()
	return t != nil && !time.Now().Before(*t)
}
