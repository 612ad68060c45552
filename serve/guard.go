package serve

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// errTooSlow says that a client was cut off.
var errTooSlow = errors.New("the client takes its data too slowly")

// A guardedConn is a connection that was let in by a gate. Its Writes fail when
// the peer is too slow. To that end it owns the write deadline of the connection
// below, which is moved on as long as the peer makes progress; the one that its
// user sets is kept beside it.
type guardedConn struct {
	net.Conn
	gate *gate
	addr netip.Addr
	left sync.Once

	writing sync.Mutex // held by a Write
	pace    pace       // guarded by writing

	mu    sync.Mutex
	asked time.Time // the user's write deadline, zero for none; guarded by mu
	armed time.Time // that of the connection below; guarded by mu
}

// guard returns c, which entered g with addr, as a guardedConn. If the kernel can
// copy files to c, it can to what is returned.
func guard(c net.Conn, g *gate, addr netip.Addr) net.Conn {
	gc := &guardedConn{Conn: c, gate: g, addr: addr, pace: newPace(g.limits)}
	if files, ok := c.(io.ReaderFrom); ok {
		return &guardedFileConn{gc, files}
	}
	return gc
}

// Write implements net.Conn.
func (c *guardedConn) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for again := true; again; {
		again, err = c.try(func() (int64, error) {
			k, err := c.Conn.Write(p[n:])
			n += k
			return int64(k), err
		})
	}
	return n, err
}

// try runs one write and reports whether it is to go on: it ended at a deadline
// that was only there to look at the peer's progress. c.writing is held.
func (c *guardedConn) try(write func() (int64, error)) (again bool, err error) {
	start := time.Now()
	c.arm(start)
	n, err := write()
	now := time.Now()
	fast := c.pace.moved(now.Sub(start), n)
	switch timeout := errors.Is(err, os.ErrDeadlineExceeded); {
	case err != nil && (!timeout || c.expired(now)):
		return false, err
	case !fast:
		c.gate.slow.Add(1)
		abort(c.Conn)
		return false, errTooSlow
	default:
		return timeout, nil
	}
}

// arm sets the deadline of a write that begins now, unless one is set that will
// do: reaching it early costs no more than another look.
func (c *guardedConn) arm(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.asked
	if left, ok := c.pace.left(); ok {
		if t := now.Add(left); until.IsZero() || t.Before(until) {
			until = t
		}
	}
	if until.IsZero() && c.armed.IsZero() || c.armed.After(now) && !until.IsZero() && !c.armed.After(until) {
		return
	}
	c.armed = until
	c.Conn.SetWriteDeadline(until)
}

// expired reports whether the user's deadline has passed.
func (c *guardedConn) expired(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.asked.IsZero() && !now.Before(c.asked)
}

// SetWriteDeadline implements net.Conn.
func (c *guardedConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = t
	if t.IsZero() || !c.armed.IsZero() && c.armed.Before(t) {
		return nil // the deadline below, if any, leads to another look
	}
	c.armed = t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *guardedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// maxUnsent is about how many bytes a transport keeps for a peer after Write has
// returned.
const maxUnsent = 1 << 20

// Close implements net.Conn. A Close that waits for the peer, as that of UDT
// does, does so no longer than one takes that is fast enough.
func (c *guardedConn) Close() error {
	if left, ok := c.pace.fresh().left(); ok {
		bound := left + time.Duration(maxUnsent/c.pace.rate*float64(time.Second))
		timer := time.AfterFunc(bound, func() { abort(c.Conn) })
		defer timer.Stop()
	}
	err := c.Conn.Close()
	c.left.Do(func() { c.gate.leave(c.addr) })
	return err
}

// A guardedFileConn is a guardedConn that the kernel can copy files to.
type guardedFileConn struct {
	*guardedConn
	files io.ReaderFrom // the connection below
}

// CloseWrite lets net/http end its side first where it refuses a request that is
// still being sent, so that the answer is not lost to a reset.
func (c *guardedFileConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// ReadFrom implements io.ReaderFrom. Only of a file can be told after a timeout
// how much of it was sent; everything else is copied by Write.
func (c *guardedFileConn) ReadFrom(src io.Reader) (n int64, err error) {
	part, ok := src.(*io.LimitedReader)
	if ok {
		_, ok = part.R.(*os.File)
	}
	if !ok {
		return io.Copy(struct{ io.Writer }{c.guardedConn}, src)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	whole := part.N
	for again := true; again; {
		again, err = c.try(func() (int64, error) {
			k, err := c.files.ReadFrom(part)
			n += k
			return k, err
		})
		if again && whole-part.N != n {
			// Bytes were read and not sent, since the kernel could not do it.
			return n, errTooSlow
		}
	}
	return n, err
}
