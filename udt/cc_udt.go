package udt

import (
	"math"
	"math/rand/v2"
	"time"
)

// NewNative returns UDT's own congestion control, DAIMD: additive increase
// whose step follows the estimated spare capacity, and a decrease of the rate
// by 1/9 at the first loss of each flight.
//
// It follows the C++ library 4.11 with repairs of its start. The rates that end
// slow start are the first ones that the receiver reported, or half of what
// slow start sent, not averages that begin at 16 and 1 packets/s: there a
// single early loss throws the connection back to 16 packets/s. Slow start
// grows with each ACK, not once in 10 ms; it ends when a queue has built up,
// before that overflows; and a timeout makes it begin anew instead of ending it.
func NewNative() Congestion { return &daimd{} }

const (
	nativeName = "udt"

	// syn is UDT's clock tick: the interval of rate control and of ACKs.
	syn = 10 * time.Millisecond

	nativeInitialWindow = 16
	nativeMinIncrease   = 0.01 // packets per syn
	nativeDecrease      = 1.125
	nativeMaxDecreases  = 5 // within one flight
)

type daimd struct {
	params CongestionParams

	window    float64 // packets
	period    float64 // µs between packets
	slowStart bool

	lastTick time.Duration
	rtt      time.Duration
	speed    float64 // packets/s, the receiver's arrival speed; 0 = never heard
	capacity float64 // packets/s, 0 = never heard

	lossSinceTick bool
	nextFlight    int64   // first packet sent after the latest decrease: loss before it belongs to the same flight
	lastDecPeriod float64 // µs

	// Several reports within one flight decrease at most nativeMaxDecreases
	// times, at every decRandom-th report.
	reports    int
	avgReports float64
	decRandom  int
	decCount   int
	rand       *rand.Rand
}

// Name implements Congestion.
func (d *daimd) Name() string { return nativeName }

// State implements Congestion.
func (d *daimd) State() string {
	if d.slowStart {
		return "slow-start"
	}
	return "daimd"
}

func (d *daimd) Init(now time.Duration, p CongestionParams) {
	*d = daimd{
		params:        p,
		window:        nativeInitialWindow,
		period:        1,
		slowStart:     true,
		lastTick:      now,
		rtt:           initialRTT,
		lastDecPeriod: 1,
		decRandom:     1,
		rand:          rand.New(rand.NewPCG(uint64(p.MSS), uint64(p.MaxWindow))),
	}
}

func (d *daimd) OnSend(time.Duration, SendEvent) {}

func (d *daimd) OnACK(now time.Duration, e ACKEvent) {
	d.rtt = e.RTT
	if e.Full {
		d.speed = smoothRate(d.speed, e.ArrivalSpeed)
		d.capacity = smoothRate(d.capacity, e.Capacity)
	}
	if d.slowStart {
		d.window += float64(e.Acked)
		queued := e.MinRTT > 0 && e.Latest > e.MinRTT*3/2+syn
		if d.window <= float64(d.params.MaxWindow) && !queued {
			return
		}
		d.leaveSlowStart()
	}
	if now-d.lastTick < syn {
		return
	}
	d.lastTick = now
	d.window = d.speed*(d.rtt+syn).Seconds() + nativeInitialWindow
	if d.lossSinceTick {
		d.lossSinceTick = false
		return
	}
	d.period = d.period * 1e4 / (d.period*d.increase() + 1e4)
}

// increase returns the packets to add per syn: a power of ten near the spare
// capacity in bits/s, times 1.5e-6, over the packet size.
func (d *daimd) increase() float64 {
	spare := math.Trunc(d.capacity - 1e6/d.period)
	if ninth := math.Trunc(d.capacity / 9); d.period > d.lastDecPeriod && ninth < spare {
		spare = ninth
	}
	if spare <= 0 {
		return nativeMinIncrease
	}
	mss := float64(d.params.MSS)
	return max(nativeMinIncrease, math.Pow(10, math.Ceil(math.Log10(spare*mss*8)))*1.5e-6/mss)
}

// leaveSlowStart continues at the speed with which packets arrive. The first
// reports can be far too low, of a burst that was short, so half of the window
// in a round trip is the least.
func (d *daimd) leaveSlowStart() {
	d.slowStart = false
	d.speed = max(d.speed, d.window/2/(d.rtt+syn).Seconds())
	d.period = 1e6 / d.speed
}

func (d *daimd) OnLoss(_ time.Duration, e LossEvent) {
	if d.slowStart {
		if d.speed == 0 {
			return // too early to know any rate
		}
		d.leaveSlowStart()
		d.nextFlight = e.Sent
		return
	}
	if e.First < 0 {
		return // retransmissions; the C++ library does not hear of those either
	}
	d.lossSinceTick = true
	if e.First >= d.nextFlight {
		d.lastDecPeriod = d.period
		d.avgReports = math.Ceil(0.875*d.avgReports + 0.125*float64(d.reports))
		d.reports, d.decCount = 1, 1
		d.decRandom = max(1, int(math.Ceil(d.avgReports*d.rand.Float64())))
		d.decrease(e.Sent)
		return
	}
	if d.decCount >= nativeMaxDecreases {
		return
	}
	d.decCount++
	if d.reports++; d.reports%d.decRandom == 0 {
		d.decrease(e.Sent)
	}
}

func (d *daimd) decrease(sent int64) {
	d.period *= nativeDecrease
	d.nextFlight = sent
}

func (d *daimd) OnTimeout(time.Duration) {
	if d.slowStart {
		d.window = nativeInitialWindow
	}
}

func (d *daimd) Window() int { return int(min(d.window, float64(d.params.MaxWindow))) }

func (d *daimd) SendPeriod() time.Duration { return time.Duration(d.period * 1e3) }

// smoothRate averages a reported rate over eight reports. Zero means that the
// receiver has no estimate; the first one counts in full.
func smoothRate(avg, r float64) float64 {
	switch {
	case r <= 0:
		return avg
	case avg == 0:
		return r
	}
	return (7*avg + r) / 8
}
