package simnet

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/chunkget/chunkget/internal/linkmodel"
)

// Conn is a simulated UDP socket. It has the methods of *net.UDPConn that need
// no operating system, and reports errors the way that type does: *net.OpError
// around net.ErrClosed or os.ErrDeadlineExceeded.
type Conn struct {
	n     *Network
	local netip.AddrPort

	// Everything below is guarded by n.mu.

	readable      sync.Cond // a datagram, an error or a new deadline
	closed        bool
	inbox         linkmodel.FIFO[*packet]
	inboxBytes    int // payload
	receiveBuffer int
	readDeadline  time.Time
	readTimer     *time.Timer // wakes readers at readDeadline
	writeDeadline time.Time
}

func newConn(n *Network, local netip.AddrPort) *Conn {
	c := &Conn{n: n, local: local, receiveBuffer: n.receiveBuffer}
	c.readable.L = &n.mu
	return c
}

// AddrPort returns the address of the socket.
func (c *Conn) AddrPort() netip.AddrPort { return c.local }

// LocalAddr returns the address of the socket, a *net.UDPAddr.
func (c *Conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

// ReadFrom reads one datagram; what does not fit into b is lost. The address
// is a *net.UDPAddr.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without allocating an address.
func (c *Conn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if err := c.awaitLocked(); err != nil {
		return 0, netip.AddrPort{}, err
	}
	n, from := c.readLocked(b)
	return n, from, nil
}

// ReadRun reads datagrams of one sender that wait one behind the other, as a
// kernel that coalesces does: all have the size segment, but the last may be
// shorter. It never joins datagrams unless Batching.Run asks for it.
func (c *Conn) ReadRun(b []byte) (n, segment int, from netip.AddrPort, err error) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if err := c.awaitLocked(); err != nil {
		return 0, 0, netip.AddrPort{}, err
	}
	n, from = c.readLocked(b)
	segment = n
	for left := c.n.rng.IntN(max(1, c.n.batching.Run)); left > 0 && n > 0 && n%segment == 0 && c.inbox.Len() > 0; left-- {
		next := c.inbox.Front()
		if next.from != from || len(next.data) == 0 || len(next.data) > min(segment, len(b)-n) {
			break
		}
		k, _ := c.readLocked(b[n:])
		n += k
	}
	return n, segment, from, nil
}

// awaitLocked waits until there is a datagram to read.
func (c *Conn) awaitLocked() error {
	for {
		switch {
		case c.closed:
			return c.opError("read", nil, net.ErrClosed)
		case expired(c.readDeadline):
			return c.opError("read", nil, os.ErrDeadlineExceeded)
		case c.inbox.Len() > 0:
			return nil
		}
		c.readable.Wait()
	}
}

func (c *Conn) readLocked(b []byte) (int, netip.AddrPort) {
	p := c.popLocked()
	n, from := copy(b, p.data), p.from
	c.n.recycleLocked(p)
	return n, from
}

// WriteTo sends one datagram to a *net.UDPAddr. It never blocks.
func (c *Conn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok || to == nil {
		return 0, c.opError("write", addr, &net.AddrError{Err: "not a UDP address", Addr: addrString(addr)})
	}
	return c.WriteToUDPAddrPort(b, to.AddrPort())
}

// maxPayload is the largest payload of a UDP datagram over IPv4.
const maxPayload = 65507

// WriteToUDPAddrPort is WriteTo without a net.Addr.
func (c *Conn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	fail := func(err error) (int, error) {
		return 0, c.opError("write", net.UDPAddrFromAddrPort(to), err)
	}
	if !to.IsValid() || to.Addr().Is4() != c.local.Addr().Is4() {
		return fail(&net.AddrError{Err: "no route from " + c.local.Addr().String(), Addr: to.String()})
	}
	if len(b) > maxPayload {
		return fail(&net.AddrError{Err: "message too long", Addr: to.String()})
	}
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	switch {
	case c.closed:
		return fail(net.ErrClosed)
	case expired(c.writeDeadline):
		return fail(os.ErrDeadlineExceeded)
	}
	c.n.send(c, b, to, time.Now())
	return len(b), nil
}

// Close closes the socket; blocked reads return net.ErrClosed.
func (c *Conn) Close() error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.closed {
		return c.opError("close", nil, net.ErrClosed)
	}
	c.closeLocked()
	return nil
}

func (c *Conn) closeLocked() {
	c.closed = true
	for c.inbox.Len() > 0 {
		c.n.recycleLocked(c.popLocked())
	}
	delete(c.n.conns, c.local)
	if c.readTimer != nil {
		c.readTimer.Stop()
	}
	c.readable.Broadcast()
}

// SetDeadline sets the read and the write deadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, true, true)
}

// SetReadDeadline sets the time after which reads, blocked ones included, fail
// with os.ErrDeadlineExceeded; the zero time means never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadlines(t, true, false)
}

// SetWriteDeadline sets the time after which writes fail with
// os.ErrDeadlineExceeded; the zero time means never.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadlines(t, false, true)
}

func (c *Conn) setDeadlines(t time.Time, read, write bool) error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.closed {
		return c.opError("set", nil, net.ErrClosed)
	}
	if write {
		c.writeDeadline = t
	}
	if !read {
		return nil
	}
	c.readDeadline = t
	if c.readTimer != nil {
		c.readTimer.Stop()
	}
	if !t.IsZero() {
		c.readTimer = time.AfterFunc(time.Until(t), func() {
			c.n.mu.Lock()
			defer c.n.mu.Unlock()
			c.readable.Broadcast()
		})
	}
	c.readable.Broadcast()
	return nil
}

// SetReadBuffer limits the payload bytes waiting in the socket.
func (c *Conn) SetReadBuffer(bytes int) error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.closed {
		return c.opError("set", nil, net.ErrClosed)
	}
	c.receiveBuffer = bytes
	return nil
}

// SetWriteBuffer does nothing: writes never wait.
func (c *Conn) SetWriteBuffer(int) error { return nil }

// putLocked appends a packet to the inbox unless that is full. An empty inbox
// takes any packet.
func (c *Conn) putLocked(p *packet) bool {
	if c.inboxBytes > 0 && c.inboxBytes+len(p.data) > c.receiveBuffer {
		return false
	}
	c.inbox.Push(p)
	c.inboxBytes += len(p.data)
	c.readable.Signal()
	return true
}

func (c *Conn) popLocked() *packet {
	p := c.inbox.Pop()
	c.inboxBytes -= len(p.data)
	return p
}

func (c *Conn) opError(op string, to net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Addr: to, Err: err}
}

func expired(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

func addrString(a net.Addr) string {
	if a == nil {
		return "<nil>"
	}
	return a.String()
}
