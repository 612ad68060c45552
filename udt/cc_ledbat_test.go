package udt

import (
	"testing"
	"time"
)

func TestLEDBATTargetAndGain(t *testing.T) {
	for _, tt := range []struct {
		base   time.Duration
		peak   float64 // packets/s
		target time.Duration
		gain   float64
	}{
		{time.Millisecond, 0, 3 * ms, 1.0 / 16},
		{20 * ms, 1e5, 3 * ms, 1.0 / 6},
		{50 * ms, 1e5, 6250 * time.Microsecond, 1.0 / 3},
		{50 * ms, 100, 30 * ms, 1.0 / 3}, // three packets
		{120 * ms, 1e5, 15 * ms, 1},
		{600 * ms, 1e5, 60 * ms, 1},
		{600 * ms, 10, 60 * ms, 1},
	} {
		l := NewLEDBAT().(*ledbat)
		l.Init(ccStart, CongestionParams{MSS: 1500, MaxWindow: 1000})
		l.path.add(ccStart, tt.base, tt.peak)
		if got := l.target(); got != tt.target {
			t.Errorf("base %v, %g packets/s: target %v, want %v", tt.base, tt.peak, got, tt.target)
		}
		if got := l.gain(); got != tt.gain {
			t.Errorf("base %v: gain %v, want %v", tt.base, got, tt.gain)
		}
	}
}

// The base is forgotten after ten minutes, the peak after three.
func TestPathHistory(t *testing.T) {
	var h pathHistory
	h.add(time.Minute, 20*ms, 5000)
	for minute := 2; minute < 16; minute++ {
		h.add(time.Duration(minute)*time.Minute, 30*ms, 1000)
		base, peak := 20*ms, 5000.0
		if minute >= 11 {
			base = 30 * ms
		}
		if minute >= 4 {
			peak = 1000
		}
		if h.base() != base || h.peak() != peak {
			t.Errorf("minute %d: %v, %g packets/s, want %v, %g", minute, h.base(), h.peak(), base, peak)
		}
	}
}

// A transfer that becomes one of the background leaves the path at once, and
// comes back to what it had at most.
func TestLEDBATTakesOver(t *testing.T) {
	l := NewLEDBAT().(*ledbat)
	l.Init(ccStart, CongestionParams{MSS: 1500, MaxWindow: 1e4, Rate: 1e4, MinRTT: 50 * ms, Measured: true})
	if l.Window() != ledbatLeast || l.State() != "slowdown" {
		t.Errorf("window %d, %s", l.Window(), l.State())
	}
	now := ccStart
	for range 400 {
		now += 5 * ms
		l.OnACK(now, ACKEvent{Newly: max(1, l.Window()/10), InFlight: l.Window(), RTT: 50 * ms, Latest: 50 * ms})
	}
	if w := l.Window(); w < 450 || w > 600 {
		t.Errorf("window %d after 2 s without a queue, want about 500", w)
	}
}

// What is sent again gives no sample of the round trip. A slowdown that follows many
// losses sends nothing else for as long as it lasts, and ends all the same.
func TestLEDBATSlowdownWithoutSamples(t *testing.T) {
	l := NewLEDBAT().(*ledbat)
	l.Init(ccStart, CongestionParams{MSS: 1500, MaxWindow: 1e4, Rate: 1e4, MinRTT: 50 * ms, Measured: true})
	now := ccStart
	for l.State() == "slowdown" {
		if now += 50 * ms; now > ccStart+(ledbatRest+1)*50*ms {
			t.Fatalf("still in the slowdown after %d round trips", ledbatRest+1)
		}
		l.OnACK(now, ACKEvent{Newly: ledbatLeast, InFlight: 0, RTT: 50 * ms})
	}
}

// A start that overflows a queue shorter than the target leaves with the window
// that the path carries, whatever was lost.
func TestLEDBATStartOverflows(t *testing.T) {
	const rate, rtt = 1e4, 50 * ms // of deliveries, which is all that the path has
	l := NewLEDBAT().(*ledbat)
	l.Init(ccStart, CongestionParams{MSS: 1500, MaxWindow: 1e4})
	now, fits := ccStart, rate*rtt.Seconds()
	for l.State() == "start" {
		now += rtt
		arrived := min(float64(l.Window()), fits)
		if lost := l.Window() - int(arrived); lost > 0 {
			l.OnLoss(now, LossEvent{Lost: lost})
		}
		l.OnACK(now, ACKEvent{
			Newly: int(arrived), InFlight: l.Window() - int(arrived), RTT: rtt, Latest: rtt,
			Sample: RateSample{Rate: arrived / rtt.Seconds()},
		})
	}
	if w := float64(l.Window()); w < fits || w > 1.1*fits {
		t.Errorf("window %.0f after the start, the path has room for %.0f", w, fits)
	}
}

// A queue that the window cannot make by itself is somebody else's, also when the window
// is as large as it has ever been: a foreground has begun, and has the path at once.
func TestLEDBATQueueOfOthers(t *testing.T) {
	const rate, base = 1e4, 50 * ms
	for _, tt := range []struct {
		window float64
		queue  time.Duration
		want   ledbatState
	}{
		{570, 7 * ms, ledbatGrow},
		{570, 13 * ms, ledbatGrow}, // what the window makes is 7 ms
		{570, 20 * ms, ledbatYield},
		{510, 12 * ms, ledbatGrow}, // the target is 6 ms
		{510, 20 * ms, ledbatYield},
	} {
		l := NewLEDBAT().(*ledbat)
		l.Init(ccStart, CongestionParams{MSS: 1500, MaxWindow: 1e4})
		l.path.add(ccStart, base, rate)
		l.enter(ccStart, ledbatGrow)
		l.window, l.queue = tt.window, tt.queue
		l.decrease(ccStart, true, false)
		if l.state != tt.want {
			t.Errorf("window %.0f, queue %v: %v, want %v", tt.window, tt.queue, l.state, tt.want)
		}
	}
}
