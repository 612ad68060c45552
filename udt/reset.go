package udt

import (
	"encoding/binary"
	"errors"
)

// A reset tells a peer of our own kind that its packet was for a connection
// that does not exist here: the process has been restarted. It is a
// user-defined control packet with destination 0:
//
//	word 0   control bit | type 0x7FFF | extended type resetType
//	word 4   the socket id that the packet was for
//
// It is sent only in answer to a packet with a valid check value, so never to
// a C++ peer, and is not longer than that packet. Who believes it has checked
// that the id is the one that it sends to, which is as hard to guess as what a
// Shutdown needs.
const resetType = 0x5253

// ErrReset means that the peer does not know the connection: it has been
// restarted.
var ErrReset = errors.New("connection reset: the peer does not know it any more")

// maxResetsPerSecond bounds what a flood of stray packets can make us send.
const maxResetsPerSecond = 100

// appendReset appends a reset for packets that were sent to id.
func appendReset(b []byte, id socketID) []byte {
	return appendUser(b, resetType, 0, 0, uint32(id))
}

// parseReset returns the id that a reset names.
func parseReset(p []byte) (id socketID, ok bool) {
	if len(p) != headerSize+4 || extendedType(p) != resetType || !checked(p) {
		return 0, false
	}
	return socketID(binary.BigEndian.Uint32(p[headerSize:])), true
}

// sendReset answers a stray packet.
func (e *Endpoint) sendReset(r inbound, dst socketID) {
	if len(r.data) < headerSize+4 || !checked(r.data[:min(r.segment, len(r.data))]) {
		return
	}
	if second := r.at / 1e9; second != e.resetSecond {
		e.resetSecond, e.resets = second, 0
	}
	if e.resets++; e.resets <= maxResetsPerSecond {
		e.writeOne(appendReset(nil, dst), e.sock.route(r.from, r.local))
	}
}

// onReset hands a reset to the connections with that peer: only their loops
// know the ids that they send to.
func (e *Endpoint) onReset(r inbound) {
	if _, ok := parseReset(r.data); !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.conns {
		if c.remote == r.from {
			e.deliver(c, r)
		}
	}
}

// onReset ends the connection if the reset is about it.
func (c *Conn) onReset(p []byte) {
	if id, ok := parseReset(p); ok && id == c.peerID && c.state != stateConnecting && !c.hs.unconfirmed {
		c.terminate(ErrReset, ErrReset, ErrReset)
	}
}
