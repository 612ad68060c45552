package udt

import "time"

// Stats is a snapshot of a connection's counters and estimates. The fields are
// those of the C++ library's performance monitor, with its names in comments
// where they differ. Totals count from the start of the connection; packets
// are data packets, control packets are never counted. Sending and Peer tell what
// the congestion controls of both sides know of the path.
type Stats struct {
	Elapsed time.Duration // since the connection was opened (msTimeStamp)

	PktSent    int64 // data packets sent, retransmissions included
	PktRecv    int64 // data packets received, duplicates included
	PktSndLoss int64 // packets found lost by a report or a timeout
	PktRcvLoss int64 // packets missing when a gap was seen
	PktRetrans int64 // data packets sent again
	PktSentACK int64 // full ACKs sent
	PktRecvACK int64 // full ACKs received that acknowledged something
	PktSentNAK int64 // loss reports sent
	PktRecvNAK int64 // valid loss reports received
	PktDropped int64 // packets that came while the receive queue or buffer was full
	PktInvalid int64 // packets that were malformed or out of range, and ignored

	ByteSent    int64 // payload of new data packets, bytes
	ByteRecv    int64 // payload received in order or stored, bytes
	ByteRetrans int64 // payload sent again, bytes

	SndDuration time.Duration // time with data outstanding (usSndDuration)
	Silence     time.Duration // since the last packet of the peer, of any kind

	SendPeriod       time.Duration // between packets (usPktSndPeriod)
	FlowWindow       int           // the peer's free buffer, packets
	CongestionWindow int           // packets
	FlightSize       int           // unacknowledged, packets
	RTT              time.Duration // smoothed (msRTT)
	RTTVar           time.Duration // mean deviation
	MinRTT           time.Duration // smallest sample, 0 before the first
	Bandwidth        float64       // the receiver's estimate of the link, Mbit/s of payload
	DeliveryRate     float64       // the receiver's arrival speed, Mbit/s of payload

	AvailSndBuf int // free send buffer, bytes
	AvailRcvBuf int // free receive buffer, bytes

	Payload     int // largest payload of a packet, bytes
	PayloadRecv int // likewise of the peer's, as far as one has arrived; 0 before the first full one

	Sending SenderStats // how we send
	Peer    SenderStats // how the peer sends, as far as it tells; the zero value if it does not

	Ask AskStatus // what became of the request for the peer's controller

	Ended bool // the connection has ended, and nothing will change any more
}

// counters are the totals in Stats that the loop counts.
type counters struct {
	pktSent, pktRecv, pktSndLoss, pktRcvLoss, pktRetrans int64
	spurious                                             int64 // retransmissions that were not needed
	sentACK, recvACK, sentNAK, recvNAK                   int64
	dropped, invalid                                     int64
	byteSent, byteRecv, byteRetrans                      int64
	busy                                                 time.Duration // with data outstanding, up to busySince
	busySince                                            time.Duration // 0: nothing is outstanding
}

// snapshot runs on the loop.
func (c *Conn) snapshot(now time.Duration) Stats {
	n := &c.count
	unacked, unsent := c.snd.waiting()
	mbps := func(packets float64) float64 { return packets * float64(c.payload) * 8 / 1e6 }
	busy := n.busy
	if n.busySince != 0 {
		busy += now - n.busySince
	}
	window, period := c.grp.allowance(c.inFlight, c.hungry)
	c.rcv.mu.Lock()
	held := c.rcv.heldLocked()
	arrived := c.fullSize
	if c.rcv.large > c.payload { // by a probe of that size
		arrived = max(arrived, c.rcv.large)
	}
	c.rcv.mu.Unlock()
	c.snd.mu.Lock()
	queued := int(c.snd.heldLocked())
	c.snd.mu.Unlock()
	return Stats{
		Elapsed: now - c.opened,
		PktSent: n.pktSent, PktRecv: n.pktRecv, PktSndLoss: n.pktSndLoss, PktRcvLoss: n.pktRcvLoss,
		PktRetrans: n.pktRetrans, PktSentACK: n.sentACK, PktRecvACK: n.recvACK,
		PktSentNAK: n.sentNAK, PktRecvNAK: n.recvNAK,
		PktDropped: n.dropped + c.in.dropped.Load(), PktInvalid: n.invalid,
		ByteSent: n.byteSent, ByteRecv: n.byteRecv, ByteRetrans: n.byteRetrans,
		SndDuration:      busy,
		Silence:          now - c.lastHeard,
		SendPeriod:       period,
		FlowWindow:       c.peerWindow,
		CongestionWindow: window,
		FlightSize:       int(unacked - unsent),
		RTT:              c.rtt.srtt,
		RTTVar:           c.rtt.rttvar,
		MinRTT:           c.rtt.min,
		Bandwidth:        mbps(c.peerCapacity),
		DeliveryRate:     mbps(c.peerSpeed),
		AvailSndBuf:      max(0, c.sendCapacity()-queued) * c.payload,
		AvailRcvBuf:      max(0, c.recvCapacity()-held) * c.payload,
		Payload:          c.size,
		PayloadRecv:      arrived,
		Sending:          c.sendingStats(),
		Peer:             c.peerStats(now),
		Ask:              c.answer,
	}
}
