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
// Feedback: two control packets of type 0x7FFF with a valid check value. A hello,
// extended type 0x4648, offers it with word 1 of the header 0 and takes an offer
// with word 1 = 1; its payload is one word, the version, 1. The client makes the
// offer, either side in a rendezvous, and repeats it some times until it is
// answered. Who has had a hello, or feedback, sends feedback in place of ACKs and
// loss reports: extended type 0x4642, numbered in word 1 from 1, at least every
// 2 ms while data comes, and within 1 ms after 32 data packets. What is older than
// the latest, or malformed, is ignored. The payload, in words:
//
//	0      sequence number: everything before it was received
//	1      free receive buffer, packets
//	2      sequence number of the packet that arrived last
//	3      when that was, µs on a clock of the receiver's, modulo 2^32
//	4      µs from then until this packet was sent
//	5      data packets received, without duplicates, modulo 2^32
//	6      duplicates received, modulo 2^32
//	7      sequence number that ends this report: nothing is said of it and later ones
//	8      packet arrival speed, packets/s, 0 = unknown
//	9      estimated capacity of the link, packets/s, 0 = unknown
//	10...  two words for each range missing between words 0 and 7: the first
//	       and the last number, ascending, 512 ranges at most
//
// Early data: a listener answers a connection request of type 1 that has a valid
// check value with a socket id other than the client's, the one that the
// connection will get, and with its own packet size and window. The client may
// then send data to that id behind its second request, before it is answered.
// It ignores resets until then, and takes the id in the answer for the right one.
//
// Status: a peer that has sent feedback may be told how we send, in a control
// packet of type 0x7FFF, extended type 0x4653, beside data, every 250 ms and every
// 32 data packets at most. It is for people to see; of it only the round trip is made
// use of, for how much the receiver offers to hold. What is malformed or older than the
// latest is ignored. Word 1 of the header numbers those
// of a connection from 1. What is said holds for all connections between the two
// endpoints, except for controller 4, of which each has its own. The payload, in
// words, of which a later version may add some:
//
//	0      the controller: 1 bbr, 2 ledbat, 3 fixed, 4 udt, 0 another one
//	1..3   its state, up to 12 characters a–z, 0–9 and -, filled up with zeros
//	4      pacing rate, in 1000 bit/s of payload, 0 = not paced
//	5      delivery rate of the latest round trips, likewise, 0 = unknown
//	6      shortest round trip, µs, 0 = unknown
//	7      smoothed round trip, µs, 0 = unknown
//	8      packets lost, in millionths of those sent lately
//	9      congestion window, packets
//	10     packets in flight
//
// Asking for a controller: who receives may ask who sends for a congestion
// controller, in a control packet of type 0x7FFF, extended type 0x4641. Word 1
// of the header is the number of the request. The payload is, in words: the code
// of the controller (1 bbr, 2 ledbat, 3 fixed, 4 udt, 0 what the sender would
// take by itself); the rate for fixed in bit/s, upper half first, else 0; the
// number of flows that the connections may weigh as together, in hundredths, 0
// for the sender's default; what the asker remembers of the path, the delivery
// rate in bit/s of payload, upper half first, and the round trip of the handshake
// in µs, or 0. The rate may be used, carefully, before any data has been sent;
// nobody sends it over a path whose round trip is not the one that is remembered.
//
// The request follows the handshake at once, may be made again with a higher
// number at any time, and is repeated until it is answered: extended type 0x4652
// with the same number, and in words 0 for accepted or a reason for a refusal (1
// unknown controller, 2 controller not allowed, 3 rate, 4 share, others are to
// come); the code, the rate and the share that are in force. Receivers of either
// ignore further words. Connections from one address share a controller, and of
// the requests on all of them the one with the highest number counts, modulo
// 2^32; numbers therefore begin with the time in ms. What was asked for ends with
// the last of these connections. Only who takes feedback asks. A peer that does
// not answer goes on as it likes.
//
// Packet size: between peers that have agreed on feedback, a sender may look for
// packets larger than the handshake says, up to IP packets of 9000 bytes (RFC 8899).
// All of it is in control packets of type 0x7FFF with a valid check value. Sizes
// are in bytes of UDP payload, the UDT header included.
//
//   - A probe, extended type 0x4D50, is numbered in word 1 and padded with zeros to
//     the size in question. It leaves with fragmentation forbidden, and its loss is
//     not a sign of congestion.
//   - The answer, extended type 0x4D41, repeats that number; its payload is one word,
//     the size at which the probe arrived. Who answers takes data packets up to that
//     size from then on, beside smaller ones and in any order, until the end of the
//     connection. A peer that does not want such packets does not answer.
//   - A piece, extended type 0x5043, carries a part of a data packet that has become
//     too large for the path. Word 1 is the sequence number of that packet. The
//     payload is one word, the number of the piece from 0 (8 bits), the number of
//     pieces, 1 to 64 (8), the payload of the data packet in bytes (16), and then the
//     bytes. Of n bytes in k pieces each carries ⌈n/k⌉, and the last one the rest.
//     When all have come, the data packet has. Pieces are understood by whoever has
//     answered a probe.
//
// Sequence numbers count packets, whatever their size. The window in feedback and
// its rates count packets of the size agreed on in the handshake, M bytes with IP and
// UDP headers. A sender counts each data packet against the window as what the
// largest packet it then made would take: s/M rounded up, or down if the remainder is
// less than M/8.
//
// # Limitations
//
// There is no encryption and no integrity check beyond the UDP checksum: run
// TLS on top where that matters. Streams only; no messages. There is no half
// close. A peer's address may not change during a connection. A C++ sender
// whose last packets were lost repeats them only when we are silent for 300 ms;
// towards such a peer we pause once for 400 ms.
package udt
