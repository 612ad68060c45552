package main

import (
	"errors"
	"log/slog"
	"net"

	"github.com/chunkget/chunkget/udt"
)

// closedMessage is the log record of a UDT connection's end. Its attributes are
// read by programs and keep their names.
const closedMessage = "udt connection closed"

// connLogger is a listener whose UDT connections log their counters when they
// are closed, at level debug.
type connLogger struct {
	net.Listener
	log *slog.Logger
}

func (l connLogger) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if u, ok := c.(*udt.Conn); ok {
		return &loggedConn{u, l.log}, err
	}
	return c, err
}

type loggedConn struct {
	*udt.Conn
	log *slog.Logger
}

// Close logs what the connection has counted when everything is acknowledged.
// Of several calls only the first one waits for that.
func (c *loggedConn) Close() error {
	err := c.Conn.Close()
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	s := c.Stats()
	c.log.Debug(closedMessage, "remote", c.RemoteAddr(), "elapsed", s.Elapsed,
		"packets_sent", s.PktSent, "retransmitted", s.PktRetrans, "lost", s.PktSndLoss, "loss_reports", s.PktRecvNAK,
		"bytes_sent", s.ByteSent, "packets_received", s.PktRecv, "bytes_received", s.ByteRecv,
		"rtt", s.RTT, "min_rtt", s.MinRTT, "controller", s.Sending.Controller)
	return err
}
