package main

// Sizes that the limit of a link rests on, in bytes.
const (
	// packetSize is the MTU of the link: an IP packet.
	packetSize = 1500

	// packetPayload is what a full packet of UDT carries over IPv4: the packet
	// without headers of IP (20), UDP (8) and UDT (16). It is the most that any
	// contender reaches: TCP with timestamps carries 1448, HTTP/3 less.
	packetPayload = packetSize - 20 - 8 - 16

	// setupRoundTrips is the handshake of TCP or QUIC, one, and the request up
	// to the first byte of its response, one more. UDT needs two for its
	// handshake and is measured against the same limit.
	setupRoundTrips = 2
)

// limitSeconds returns the shortest time in which size bytes can cross the link
// to a client that has just begun to connect, whatever the protocol:
//
//	seconds = 2·RTT + 8·size / (rate · (1456/1500) · (1 − loss))
//
// with size in bytes, RTT in seconds, rate in bit/s of IP packets, and loss the
// share of packets that the link loses. 1456/1500 is the payload share of a full
// packet, and 2·RTT the handshake and the request. A lost packet has to be sent
// again at least once for every time it is lost, so of the rate only (1 − loss)
// is left. Acknowledgements travel the other way and cost nothing. The share of
// a result is limitSeconds over the seconds it took.
//
// It returns 0 for a link without a rate, which has no limit.
func limitSeconds(l Link, size int64) float64 {
	if l.Rate <= 0 {
		return 0
	}
	return setupRoundTrips*l.RTT + 8*float64(size)/payloadRate(l)
}

// payloadRate returns the bit/s of file content that the link carries at most:
// rate · (1456/1500) · (1 − loss).
func payloadRate(l Link) float64 {
	const payloadShare = float64(packetPayload) / packetSize
	return l.Rate * payloadShare * (1 - l.Loss)
}

// surplus returns which share of what a sender needed to send it sent in
// addition, as the link saw it: retransmissions, needed or not, whatever headers
// it has beyond those of UDT, and what was on its way when a client closed a
// connection in order to fetch the rest over another one.
//
//	surplus = bytes offered to the link / (size · 1500/1456) − 1
//
// It can be measured for every protocol alike, also for encrypted ones. It is at
// least loss / (1 − loss), and about half a percent without any retransmission
// for TCP.
func surplus(d *Direction, size int64) (share float64, ok bool) {
	if d == nil || size <= 0 || d.Bytes == 0 {
		return 0, false
	}
	return float64(d.Bytes)*packetPayload/packetSize/float64(size) - 1, true
}
