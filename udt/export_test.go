package udt

import "net"

// Abandon closes the UDP socket of c as the death of the process would: the
// peer is told nothing.
func (c *Conn) Abandon() { c.ep.sock.close() }

// Kill ends c at once, whatever is unacknowledged.
func (c *Conn) Kill() { c.abort(net.ErrClosed) }

// RaceEnabled says that the race detector is on, which makes everything slow.
const RaceEnabled = raceEnabled
