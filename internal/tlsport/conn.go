package tlsport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	// handshakeRecord is the type of the first TLS record of a client.
	handshakeRecord = 22

	// drainTime and drainBytes bound what is read of a client that has been
	// refused, so that the reason reaches it: TCP would reset a connection that is
	// closed with unread data.
	drainTime  = time.Second
	drainBytes = 64 << 10
)

// Conn is a connection of which the first byte says what it speaks. The first
// Read finds out; Write waits for that.
type Conn struct {
	net.Conn // below TLS
	opts     *Options

	begun   atomic.Bool   // somebody decides, or has decided
	decided chan struct{} // closed when the fields below have their values
	tls     *tls.Conn     // nil for plain text
	err     error         // why the connection is of no use
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !c.begun.Swap(true) {
		n := c.decide(p)
		close(c.decided)
		if n > 0 {
			return n, nil
		}
	}
	<-c.decided
	switch {
	case c.err != nil:
		return 0, c.err
	case c.tls != nil:
		return c.tls.Read(p)
	}
	return c.Conn.Read(p)
}

// decide reads what has come and returns how much of it is plain text in p.
func (c *Conn) decide(p []byte) int {
	n, err := c.Conn.Read(p)
	if n == 0 {
		if c.err = err; err == nil {
			c.err = io.ErrNoProgress
		}
		return 0
	}
	if p[0] != handshakeRecord {
		if c.opts.Require {
			c.refuse()
			return 0
		}
		return n
	}
	secure := tls.Server(&resumed{Conn: c.Conn, head: append([]byte(nil), p[:n]...)}, c.opts.Source.Config(time.Now()))
	if err := secure.Handshake(); err != nil {
		c.opts.Logger.Debug("tls handshake failed", "remote", c.RemoteAddr(), "err", err)
		c.drain()
		// An http.Server says nothing about errors of this kind to the client.
		c.err = &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: fmt.Errorf("tls handshake: %w", err)}
		return 0
	}
	c.tls = secure
	return 0
}

var errPlain = errors.New("plain text, and TLS is required")

// The reason phrase is for clients that show nothing else.
const (
	refusalText = "this server speaks TLS only: use https:// or udts://\n"
	refusal     = "HTTP/1.1 400 TLS required\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: "
)

func (c *Conn) refuse() {
	fmt.Fprintf(c.Conn, "%s%d\r\n\r\n%s", refusal, len(refusalText), refusalText)
	c.drain()
	c.err = &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: errPlain}
}

// drain lets the client have the last word.
func (c *Conn) drain() {
	if half, ok := c.Conn.(closeWriter); ok {
		half.CloseWrite()
	}
	c.Conn.SetReadDeadline(time.Now().Add(drainTime))
	io.CopyN(io.Discard, c.Conn, drainBytes)
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	<-c.decided
	switch {
	case c.err != nil:
		return 0, c.err
	case c.tls != nil:
		return c.tls.Write(p)
	}
	return c.Conn.Write(p)
}

// ReadFrom implements io.ReaderFrom. Plain text is left to the transport, which
// may leave it to the kernel.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	<-c.decided
	if rf, ok := c.Conn.(io.ReaderFrom); ok && c.tls == nil && c.err == nil {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

type closeWriter interface{ CloseWrite() error }

// CloseWrite ends what this side sends, where the transport can.
func (c *Conn) CloseWrite() error {
	<-c.decided
	if c.tls != nil {
		return c.tls.CloseWrite()
	}
	if half, ok := c.Conn.(closeWriter); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close implements net.Conn. It does not wait for a first byte that never came.
func (c *Conn) Close() error {
	if !c.begun.Swap(true) {
		c.err = net.ErrClosed
		close(c.decided)
	}
	select {
	case <-c.decided:
		if c.tls != nil {
			return c.tls.Close()
		}
	default: // a Read is about to find out, and ends with the connection
	}
	return c.Conn.Close()
}

// State returns what TLS has agreed on, nil for plain text or when nothing has
// been read yet.
func (c *Conn) State() *tls.ConnectionState {
	select {
	case <-c.decided:
	default:
		return nil
	}
	if c.tls == nil {
		return nil
	}
	s := c.tls.ConnectionState()
	return &s
}

// resumed is a connection of which the beginning has been read already.
type resumed struct {
	net.Conn
	head []byte
}

func (b *resumed) Read(p []byte) (int, error) {
	if len(b.head) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.head)
	if b.head = b.head[n:]; len(b.head) == 0 {
		b.head = nil
	}
	return n, nil
}
