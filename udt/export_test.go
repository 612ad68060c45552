package udt

// Abandon closes the UDP socket of c as the death of the process would: the
// peer is told nothing.
func (c *Conn) Abandon() { c.ep.sock.conn.Close() }
