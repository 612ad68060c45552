package udt

import "time"

// Congestion decides how fast a connection sends. Its calls come from one
// goroutine, the connection's loop; it needs no locks and starts none.
//
// Packets are numbered from 0 in the order of their first transmission. All
// times are monotonic and count from the start of the connection's endpoint.
type Congestion interface {
	// Init is called once, before anything is sent.
	Init(now time.Duration, p CongestionParams)
	// OnSend follows the transmission of new and repeated packets.
	OnSend(now time.Duration, e SendEvent)
	// OnACK follows an acknowledgement that was valid.
	OnACK(now time.Duration, e ACKEvent)
	// OnLoss follows a loss report that named packets not known to be lost.
	OnLoss(now time.Duration, e LossEvent)
	// OnTimeout follows a time of data in flight without acknowledgement progress.
	OnTimeout(now time.Duration)

	// Window is the largest number of unacknowledged packets.
	Window() int
	// SendPeriod is the time between packets; 0 sends without pacing.
	SendPeriod() time.Duration
}

// CongestionParams is what the handshake fixed.
type CongestionParams struct {
	MSS       int // packet size in bytes, IP and UDP headers included
	MaxWindow int // the peer's receive buffer, packets
}

// SendEvent describes packets that have just left.
type SendEvent struct {
	New           int   // sent for the first time
	Retransmitted int   // sent again
	Sent          int64 // packets numbered so far
	InFlight      int   // unacknowledged after this event
}

// ACKEvent describes an acknowledgement.
type ACKEvent struct {
	Acked    int           // packets newly acknowledged, 0 for a window update
	Next     int64         // everything before packet Next is acknowledged
	Sent     int64         // packets numbered so far
	InFlight int           // unacknowledged after this event
	RTT      time.Duration // smoothed
	MinRTT   time.Duration // smallest seen, 0 before the first sample
	Latest   time.Duration // sample that this ACK gave, 0 if none
	Full     bool          // a full ACK, with the two rates below

	ArrivalSpeed float64 // the receiver's, packets/s, 0 if unknown
	Capacity     float64 // the receiver's estimate of the link, packets/s, 0 if unknown
}

// LossEvent describes a loss report.
type LossEvent struct {
	First int64 // first packet that the report names
	Lost  int   // packets that were not known to be lost
	Sent  int64 // packets numbered so far
}
