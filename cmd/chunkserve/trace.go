package main

import (
	"net"

	"github.com/chunkget/chunkget/internal/connstats"
	"github.com/chunkget/chunkget/udt"
)

// tracedListener is a listener whose connections are recorded.
type tracedListener struct {
	net.Listener
	rec *connstats.Recorder
}

func (l tracedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	switch k := c.(type) {
	case *udt.Conn:
		l.rec.Add(connstats.UDT(k, connstats.Sending))
	case *net.TCPConn:
		counted := connstats.TCP(k, connstats.Sending)
		l.rec.Add(counted)
		return counted, nil
	}
	return c, nil
}

// startTrace begins to record into a file.
func startTrace(name string) (*connstats.Recorder, error) {
	rec, err := connstats.Record(name, versionText(), connstats.Sending)
	if err != nil {
		return nil, &hintedError{err, "name a file that can be written with --trace FILE"}
	}
	return rec, nil
}
