package udt

import "time"

// NewFixed returns a controller that sends at a rate the operator owns, in
// bit/s on the wire: IP and UDP headers count, and so do packets that are sent
// again. The connections of a group share the rate, and together never exceed
// it.
//
// Loss does not slow it down and is not compensated: what is lost is sent again
// within the rate, so that a path that loses the share p delivers rate × (1 − p).
// Delay does not matter either, except that no more than 2 × rate × RTT is in
// flight. Repairs have a budget: when more than half of what is sent is lost, a
// rate far above the path's, the controller sends less until a quarter is, and
// then returns to the rate. It is for paths that nobody else uses or on which
// the rate has been reserved.
func NewFixed(rate float64) Congestion { return &fixed{rate: rate} }

const (
	fixedName = "fixed"

	fixedMinWindow = 16 // packets
	// fixedAhead, or the time of fixedBurst packets, is by how much what has been
	// sent may be ahead of the rate, as when several connections of a group begin
	// at once. Beyond it the time between packets grows.
	fixedAhead = 2 * maxDebt
	fixedBurst = 8

	// The budget for repairs is kept over periods of fixedPeriod with at least
	// fixedEnough packets.
	fixedPeriod   = time.Second
	fixedEnough   = 50
	fixedBudget   = 0.5  // share lost above which the rate is lowered
	fixedRecover  = 0.25 // share lost below which it rises again
	fixedLower    = 0.75
	fixedRaise    = 1.1
	fixedLeast    = 0.125 // of the rate, at least
	fixedNoSample = 100 * time.Millisecond
)

type fixed struct {
	rate   float64 // bit/s
	period time.Duration
	cut    float64       // share of the rate in use, 1 unless the budget is spent
	rtt    time.Duration // smoothed
	limit  int           // the peer's receive buffer, packets

	due   time.Duration // when what has been sent would have left at the rate
	ahead time.Duration // by how much that was ahead after the latest packet

	since         time.Duration // when the period of the budget began
	lost, arrived int           // packets in it
}

// Name implements Congestion.
func (f *fixed) Name() string { return fixedName }

// State implements Congestion.
func (f *fixed) State() string {
	if f.cut < 1 {
		return "over-budget"
	}
	return "paced"
}

func (f *fixed) Init(now time.Duration, p CongestionParams) {
	*f = fixed{rate: f.rate, cut: 1, rtt: p.MinRTT, limit: p.MaxWindow, due: now, since: now}
	f.period = time.Duration(float64(p.MSS) * 8 / f.rate * 1e9)
}

func (f *fixed) OnSend(now time.Duration, e SendEvent) {
	f.due = max(f.due, now-maxDebt) + time.Duration(e.New+e.Retransmitted)*f.period
	f.ahead = f.due - now
}

func (f *fixed) OnACK(now time.Duration, e ACKEvent) {
	f.rtt = e.RTT
	f.arrived += e.Newly
	if now-f.since < max(fixedPeriod, 2*f.rtt) || f.lost+f.arrived < fixedEnough {
		return
	}
	switch share := float64(f.lost) / float64(f.lost+f.arrived); {
	case share > fixedBudget:
		f.cut = max(f.cut*fixedLower, fixedLeast)
	case share < fixedRecover:
		f.cut = min(f.cut*fixedRaise, 1)
	}
	f.since, f.lost, f.arrived = now, 0, 0
}

func (f *fixed) OnLoss(_ time.Duration, e LossEvent) { f.lost += e.Lost }

// OnTimeout does nothing: what is in flight bounds what can be sent into a path
// that is dead.
func (f *fixed) OnTimeout(time.Duration) {}

func (f *fixed) Window() int {
	rtt := f.rtt
	if rtt == 0 {
		rtt = fixedNoSample
	}
	return min(max(int(2*rtt.Seconds()/f.period.Seconds()), fixedMinWindow), f.limit)
}

// SendPeriod returns the time between packets. It grows with what has been sent
// ahead of time, so that connections that pace themselves each with its own
// part do not exceed the rate together.
func (f *fixed) SendPeriod() time.Duration {
	p := float64(f.period) / f.cut
	if most := max(fixedAhead, fixedBurst*f.period); f.ahead > most {
		p *= float64(f.ahead) / float64(most)
	}
	return time.Duration(p)
}
