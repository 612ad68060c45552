package udt

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

var (
	// ErrRejected means that the listener refused the connection: its backlog
	// is full, or it does not speak this version of UDT.
	ErrRejected = errors.New("connection rejected by the peer")

	// ErrPeerClosed is returned by writes after the peer has closed the connection.
	ErrPeerClosed = errors.New("connection closed by the peer")

	// ErrLinger is returned by Close if data was dropped because the peer did
	// not acknowledge it in time.
	ErrLinger = errors.New("unacknowledged data dropped on close")

	// errDeadline is what expired deadlines give: its Timeout method is true.
	errDeadline = os.ErrDeadlineExceeded
)

// A PeerTimeoutError ends a connection whose peer has fallen silent.
type PeerTimeoutError struct {
	Silence time.Duration // since the last packet from the peer
}

func (e *PeerTimeoutError) Error() string {
	return fmt.Sprintf("nothing heard from the peer for %v", e.Silence.Round(100*time.Millisecond))
}

// Timeout makes the error a timeout in the sense of net.Error.
func (e *PeerTimeoutError) Timeout() bool { return true }

// Temporary is part of net.Error.
func (e *PeerTimeoutError) Temporary() bool { return false }

// A PeerError is the code that a C++ peer sends when it could not use what it
// received; 4000 means that writing its file failed. The write that returns it
// is lost, the connection stays up.
type PeerError struct{ Code uint32 }

func (e *PeerError) Error() string { return fmt.Sprintf("peer reported error %d", e.Code) }

// opError wraps err as the net package does.
func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: networkName, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
