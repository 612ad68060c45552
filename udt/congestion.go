package udt

import "time"

// Congestion decides how fast a group of connections to one peer sends. Its
// calls come one at a time, under the lock of the group; it needs no locks of
// its own and must not block.
//
// All times are monotonic and count from the start of the endpoint. Packets
// are data packets of CongestionParams.MSS bytes, counted over all connections of
// the group; larger ones, where the path takes them, count as several. The numbers in
// LossEvent are those of one connection, from 0 in the order of the first
// transmission.
type Congestion interface {
	// Name is the name under which the controller is asked for.
	Name() string
	// Init is called once, before anything is sent. A controller that takes
	// over from another finds in p what that one had learnt.
	Init(now time.Duration, p CongestionParams)
	// OnSend follows the transmission of new and repeated packets.
	OnSend(now time.Duration, e SendEvent)
	// OnACK follows an acknowledgement that was valid, after OnLoss for the
	// losses that it revealed.
	OnACK(now time.Duration, e ACKEvent)
	// OnLoss follows the discovery of lost packets.
	OnLoss(now time.Duration, e LossEvent)
	// OnTimeout follows a time of data in flight without acknowledgement progress.
	OnTimeout(now time.Duration)

	// Window is the largest number of packets in flight.
	Window() int
	// SendPeriod is the time between packets; 0 sends without pacing.
	SendPeriod() time.Duration
	// State is one word that tells users what the controller is doing.
	State() string
}

// CongestionParams is what is known before the first packet.
type CongestionParams struct {
	MSS       int // packet size in bytes that is counted in, IP and UDP headers included
	MaxWindow int // the peer's receive buffer, packets

	// Rate and MinRTT are what the path is known or believed to carry, in
	// packets/s, and its shortest round trip; 0 = unknown. Measured says that
	// they come from this group itself, not from a memory.
	Rate     float64
	MinRTT   time.Duration
	Measured bool

	// Share is the number of flows that the group may weigh as, in competition
	// with others, 1 or more.
	Share float64
}

// SendEvent describes packets that have just left.
type SendEvent struct {
	New           int   // sent for the first time
	Retransmitted int   // sent again
	Sent          int64 // packets of this connection numbered so far
	InFlight      int   // sent, and neither delivered nor lost as far as known
}

// ACKEvent describes an acknowledgement.
type ACKEvent struct {
	Acked    int           // packets newly acknowledged in order, 0 for a window update
	Next     int64         // everything before packet Next is acknowledged
	Sent     int64         // packets of this connection numbered so far
	InFlight int           // as in SendEvent, after this event
	RTT      time.Duration // smoothed
	MinRTT   time.Duration // smallest seen, 0 before the first sample
	Latest   time.Duration // sample that this ACK gave, 0 if none
	Turn     time.Duration // smoothed time from sending a packet to knowing of its delivery, 0 before the first
	Full     bool          // a full ACK, with the two rates below

	ArrivalSpeed float64 // the receiver's, packets/s, 0 if unknown
	Capacity     float64 // the receiver's estimate of the link, packets/s, 0 if unknown

	Newly       int           // packets newly known to be delivered
	Delivered   int64         // packets known to be delivered, in all
	DeliveredAt time.Duration // when the latest of them arrived, on a clock of ours
	SentAt      time.Duration // when the latest of them was sent, 0 if there are none
	Sample      RateSample
	Relative    float64 // delivery rate as a part of the mean of the endpoint's groups that send over short paths, 0 if there are no others
	Exact       bool    // from feedback, which names every packet; else guessed from ACKs and loss reports
}

// RateSample is a measurement of the delivery rate over the time of one flight
// (draft-ietf-ccwg-bbr, "delivery rate samples"). The zero value is none.
type RateSample struct {
	Rate       float64 // packets/s
	Prior      int64   // Delivered when the packet was sent that ends the flight
	AppLimited bool    // the sender had nothing to send for a part of it
}

// LossEvent describes the discovery of lost packets.
type LossEvent struct {
	First  int64         // first of them, -1 if all were retransmissions
	Lost   int           // packets that were not known to be lost
	Sent   int64         // packets of this connection numbered so far
	SentAt time.Duration // when the latest of them was sent
}
