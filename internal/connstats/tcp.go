package connstats

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// TCPConn is a TCP connection that counts its bytes and can tell how it is
// doing. It leaves sending files to the kernel where net.TCPConn does.
type TCPConn struct {
	*net.TCPConn
	d Direction

	read, written atomic.Int64

	mu   sync.Mutex
	last *Stats // guarded by mu; set by Close
}

// TCP returns c as one that can tell how it is doing.
func TCP(c *net.TCPConn, d Direction) *TCPConn { return &TCPConn{TCPConn: c, d: d} }

func (c *TCPConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func (c *TCPConn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (c *TCPConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	c.written.Add(n)
	return n, err
}

// WriteTo implements io.WriterTo.
func (c *TCPConn) WriteTo(w io.Writer) (int64, error) {
	n, err := c.TCPConn.WriteTo(w)
	c.read.Add(n)
	return n, err
}

// Close closes the connection. What it sent is then what was handed to the
// kernel, whether that has left or not.
func (c *TCPConn) Close() error {
	c.mu.Lock()
	if c.last == nil {
		s := c.look()
		s.Bytes, s.Ended = c.count(), true
		c.last = &s
	}
	c.mu.Unlock()
	return c.TCPConn.Close()
}

// Stats implements Conn.
func (c *TCPConn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil {
		return *c.last
	}
	return c.look()
}

func (c *TCPConn) look() Stats {
	s := Stats{Transport: "tcp", Remote: c.RemoteAddr().String(), Bytes: c.count()}
	readTCPInfo(c.TCPConn, c.d, &s)
	return s
}

func (c *TCPConn) count() int64 {
	if c.d == Sending {
		return c.written.Load()
	}
	return c.read.Load()
}
