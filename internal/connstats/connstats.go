// Package connstats tells how connections are doing, whatever carries them: UDT,
// which counts and whose sender tells its receiver, or TCP, of which Linux tells
// in TCP_INFO. A Watch looks at connections regularly.
package connstats

import (
	"time"

	"github.com/chunkget/chunkget/udt"
)

// Direction is the one of the data that matters: a downloader receives, a server
// sends.
type Direction bool

const (
	Receiving Direction = false
	Sending   Direction = true
)

// Stats is a snapshot of a connection.
type Stats struct {
	Transport string // "udt" or "tcp"
	Remote    string // host:port
	Bytes     int64  // of the stream, received or sent, so far
	Ended     bool   // nothing will change any more

	// Path is what is known of the sender, on which side it may be. Zero values of
	// its fields are unknown, but for Loss and InFlight, for which Known tells.
	Path  udt.SenderStats
	Known bool
}

// A Conn tells about a connection at any time, also after its end.
type Conn interface{ Stats() Stats }

// UDT returns what tells about a UDT connection.
func UDT(c *udt.Conn, d Direction) Conn { return udtConn{c, d, c.RemoteAddr().String()} }

type udtConn struct {
	c      *udt.Conn
	d      Direction
	remote string
}

func (u udtConn) Stats() Stats {
	s := u.c.Stats()
	out := Stats{Transport: "udt", Remote: u.remote, Ended: s.Ended, Known: true}
	if u.d == Sending {
		out.Bytes, out.Path = s.ByteSent, s.Sending
	} else {
		out.Bytes, out.Path = s.ByteRecv, s.Receiving()
	}
	return out
}

// Row is what a Watch sees of a connection in one look.
type Row struct {
	ID int // from 1, in the order of Add
	Stats
	Age  time.Duration // since Add
	Rate float64       // bit/s since the look before
}
