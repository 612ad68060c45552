package udt_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/chunkget/chunkget/udt"
)

// TestNetConn holds Conn to what the net package promises of a net.Conn.
func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		l, err := udt.Listen("udt4", "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		defer l.Close()
		if c1, err = udt.Dial("udt4", l.Addr().String()); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}
