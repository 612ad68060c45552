package udt

import "time"

// SenderStats is what the congestion control of a sender knows and does. It
// serves all connections between the same two endpoints (with the controller
// udt: each connection has one for itself), so rates, window and flight are those of
// all of them together. Rates and bytes are of payload.
type SenderStats struct {
	Controller string // as in ControllerNames; "" if it is not known
	State      string // what it is doing, one word; docs/congestion.md explains those of bbr

	PacingRate   float64       // at which it sends, bit/s, 0 = not paced
	DeliveryRate float64       // at which packets arrived in the latest two round trips, 100 ms at least; bit/s, 0 before that
	RTT          time.Duration // smoothed round trip, 0 before the first sample
	MinRTT       time.Duration // shortest round trip seen, 0 before the first sample
	Loss         float64       // share of packets found lost, 0 to 1, among the latest thousands
	Window       int64         // congestion window, bytes
	InFlight     int64         // sent, and neither delivered nor lost as far as known, bytes

	// Age is how long ago the peer said so, and 0 for our own sending.
	Age time.Duration
}

// Queue is the time that packets stand in queues: the smoothed round trip less
// the shortest, 0 if they are not known.
func (s *SenderStats) Queue() time.Duration {
	if s.RTT == 0 || s.MinRTT == 0 {
		return 0
	}
	return max(0, s.RTT-s.MinRTT)
}

// Receiving returns what is known of how the peer sends. Of a peer that does not
// tell, controller and rates are unknown; round trips are then our own, and the
// loss is that of packets which were missing when later ones had come.
func (s *Stats) Receiving() SenderStats {
	if s.Peer.Window > 0 {
		return s.Peer
	}
	r := SenderStats{RTT: s.Sending.RTT, MinRTT: s.Sending.MinRTT}
	if n := s.PktRecv + s.PktRcvLoss; n > 0 {
		r.Loss = float64(s.PktRcvLoss) / float64(n)
	}
	return r
}

// recentLoss is the share of packets lost among the latest. Its owner is the
// group, which guards it.
type recentLoss struct{ lost, arrived float64 }

// lossMemory is the number of packets after which older ones count half.
const lossMemory = 4096

func (l *recentLoss) add(lost, arrived int) {
	l.lost += float64(lost)
	l.arrived += float64(arrived)
	if l.lost+l.arrived > lossMemory {
		l.lost, l.arrived = l.lost/2, l.arrived/2
	}
}

func (l *recentLoss) share() float64 { return l.lost / max(1, l.lost+l.arrived) }

// recentRate is the latest rate of delivery over some time. Its owner is the group,
// which guards it.
type recentRate struct {
	rate  float64 // packets/s, 0 = unknown
	since time.Duration
	had   int64 // packets delivered by then
}

// rateTime is the least of those times.
const rateTime = 100 * time.Millisecond

// add reports whether there is a new rate.
func (r *recentRate) add(now time.Duration, delivered int64, over time.Duration) bool {
	if r.since == 0 {
		r.since, r.had = now, delivered
		return false
	}
	if elapsed := now - r.since; elapsed >= over {
		r.rate = float64(delivered-r.had) / elapsed.Seconds()
		r.since, r.had = now, delivered
		return true
	}
	return false
}

// stats describes the sending of the group in packets of the given payload.
func (g *group) stats(payload int) SenderStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	bits := float64(payload) * 8
	s := SenderStats{
		Controller: g.cc.Name(), State: g.cc.State(),
		DeliveryRate: g.recent.rate * bits, MinRTT: g.minRTT, Loss: g.losses.share(),
		Window: int64(g.cc.Window()) * int64(payload), InFlight: int64(g.inFlight) * int64(payload),
	}
	if g.minRTT > 0 {
		s.RTT = g.srtt
	}
	if period := g.cc.SendPeriod(); period > 0 {
		if rate := bits / period.Seconds(); rate <= MaxRate {
			s.PacingRate = rate
		}
	}
	return s
}
