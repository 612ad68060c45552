// Package udt implements UDT 4, a reliable byte stream over UDP, in pure Go.
// It is wire-compatible with the C++ library 4.11 in both roles and in
// rendezvous, and fits where net does: a Listener is a net.Listener, a Conn a
// net.Conn.
//
//	l, err := udt.Listen("udt", ":9000")
//	c, err := udt.Dial("udt", "example.net:9000")
//
// Connections may share one UDP socket, an Endpoint, on either side.
//
// # Differences to the C++ library
//
// Data is readable as soon as it is in order, not when it is acknowledged.
// Losses are reported until they are repaired, and the timer that repeats lost
// packets follows acknowledgement progress, so that traffic in the other
// direction cannot hold it up. ACKs come every 2 ms instead of every 10 ms
// while data flows. A listener remembers nothing of a client before its cookie
// has come back. The end of a connection is announced three times, and again
// to a peer that goes on sending. Accept is first in, first out.
//
// # Extensions
//
// Between peers of this package some things are added. None changes the
// length of a packet or a field that another implementation reads.
//
// Check value: word 2 of the header, the timestamp, carries the CRC-32C
// (Castagnoli, reflected, as in RFC 3720) of words 0, 1 and 3, and in control
// packets of the payload as well; 0 becomes 1. A receiver that has seen one
// control packet of its peer with a valid value drops what comes without one.
// Handshakes are exempt.
//
// Reset: a control packet of type 0x7FFF, extended type 0x5253, with
// destination 0 and one word of payload, the socket id that a packet was sent
// to although no such connection exists. It answers packets with a valid check
// value only, at most 100 times a second. A receiver that has a connection to
// that id at the address that the reset came from ends it.
//
// Early data: a listener answers a connection request of type 1 that has a valid
// check value with a socket id other than the client's, the one that the
// connection will get, and with its own packet size and window. The client may
// then send data to that id behind its second request, before it is answered.
// It ignores resets until then, and takes the id in the answer for the right one.
//
// # Limitations
//
// There is no encryption and no integrity check beyond the UDP checksum: run
// TLS on top where that matters. Streams only; no messages. There is no half
// close. A peer's address may not change during a connection. A C++ sender
// whose last packets were lost repeats them only when we are silent for 300 ms;
// towards such a peer we pause once for 400 ms.
package udt
