package udt

import (
	"math"
	"testing"
	"time"
)

const ccStart = time.Hour // when the controllers of the tests start

// newDAIMD returns a controller in slow start.
func newDAIMD(maxWindow int) *daimd {
	d := NewNative().(*daimd)
	d.Init(ccStart, CongestionParams{MSS: 1500, MaxWindow: maxWindow})
	return d
}

// cruising returns a controller that has left slow start at the given speed in
// packets/s, with 100 packets sent.
func cruising(t *testing.T, speed, capacity float64) *daimd {
	t.Helper()
	d := newDAIMD(8192)
	d.OnACK(ccStart, ACKEvent{RTT: 90 * ms, Full: true, ArrivalSpeed: speed, Capacity: capacity})
	d.OnLoss(ccStart, LossEvent{First: 50, Lost: 1, Sent: 100})
	wantPeriod(t, d, 1e6/speed)
	return d
}

// wantPeriod compares the send period with µs, to a nanosecond.
func wantPeriod(t *testing.T, d *daimd, us float64) {
	t.Helper()
	if got := float64(d.SendPeriod()) / 1e3; math.Abs(got-us) > 2e-3 {
		t.Errorf("send period %.3f µs, want %.3f µs", got, us)
	}
}

// Slow start adds what is acknowledged, whatever kind of ACK says so.
func TestNativeSlowStart(t *testing.T) {
	d := newDAIMD(1000)
	wantPeriod(t, d, 1)
	want := 16
	for i, acked := range []int{0, 1, 5, 16, 100} {
		want += acked
		d.OnACK(ccStart+time.Duration(i), ACKEvent{Acked: acked, RTT: 100 * ms, Full: i%2 == 0})
		if got := d.Window(); got != want {
			t.Errorf("window %d after %d acknowledged, want %d", got, acked, want)
		}
	}
	wantPeriod(t, d, 1)
	d.OnTimeout(ccStart)
	if got := d.Window(); got != 16 || !d.slowStart {
		t.Errorf("window %d after a timeout, want slow start anew", got)
	}
}

// What ends slow start, and the rate that follows.
func TestNativeSlowStartExit(t *testing.T) {
	const rtt = 90 * ms // with the 10 ms of a tick: window w in flight is 10 w packets/s
	full := func(speed float64, acked int) ACKEvent {
		return ACKEvent{Acked: acked, RTT: rtt, MinRTT: 40 * ms, Latest: 70 * ms, Full: true, ArrivalSpeed: speed, Capacity: 1e5}
	}
	loss := LossEvent{First: 5, Lost: 1, Sent: 100}
	for _, tt := range []struct {
		name  string
		event func(d *daimd)
		want  float64 // µs, 1 = still in slow start
	}{
		{"window reaches the peer's", func(d *daimd) { d.OnACK(ccStart, full(5000, 84)) }, 1},
		{"window beyond the peer's", func(d *daimd) { d.OnACK(ccStart, full(5000, 85)) }, 200},
		{"first speed counts in full, the next by an eighth", func(d *daimd) {
			d.OnACK(ccStart, full(4000, 1))
			d.OnACK(ccStart, full(0, 1)) // no estimate
			d.OnACK(ccStart, full(8000, 90))
		}, 1e6 / 4500},
		{"rates of a light ACK", func(d *daimd) {
			e := full(1e6, 1)
			e.Full = false
			d.OnACK(ccStart, e)
			d.OnACK(ccStart, full(5000, 85))
		}, 200},
		{"queue not built up", func(d *daimd) { d.OnACK(ccStart, full(5000, 1)) }, 1},
		{"queue built up", func(d *daimd) {
			e := full(5000, 1)
			e.Latest++
			d.OnACK(ccStart, e)
		}, 200},
		{"loss", func(d *daimd) {
			d.OnACK(ccStart, full(5000, 1))
			d.OnLoss(ccStart, loss)
		}, 200},
		{"loss before any speed is known", func(d *daimd) {
			d.OnACK(ccStart, full(0, 1))
			d.OnLoss(ccStart, loss)
		}, 1},
		{"speed far too low: half of the window in a round trip", func(d *daimd) {
			d.OnACK(ccStart, full(20, 64))
			d.OnLoss(ccStart, loss)
		}, 2500},
		{"timeout", func(d *daimd) {
			d.OnACK(ccStart, full(5000, 1))
			d.OnTimeout(ccStart)
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDAIMD(100)
			tt.event(d)
			wantPeriod(t, d, tt.want)
			if d.slowStart != (tt.want == 1) {
				t.Errorf("slow start: %v", d.slowStart)
			}
			if d.Window() > 100 {
				t.Errorf("window %d, the peer's is 100", d.Window())
			}
		})
	}
}

// The step depends on the spare capacity: 1.5e-6 of the power of ten next to it
// in bits/s, per byte of packet size.
func TestNativeIncrease(t *testing.T) {
	for _, tt := range []struct {
		name      string
		period    float64 // µs
		capacity  float64 // packets/s of 12 kbit
		decreased bool    // the period is longer than before the latest decrease
		want      float64 // packets per tick
	}{
		{"unknown capacity", 1000, 0, false, 0.01},
		{"no spare capacity", 1000, 1000, false, 0.01},
		{"too much already", 1000, 500, false, 0.01},
		{"120 kbit/s spare", 1000, 1010, false, 0.01},
		{"1.2 Mbit/s spare", 1000, 1100, false, 0.01},
		{"12 Mbit/s spare", 1000, 2000, false, 0.1},
		{"96 Mbit/s spare", 1000, 9000, false, 0.1},
		{"120 Mbit/s spare", 1000, 11_000, false, 1},
		{"1.2 Gbit/s spare", 1000, 101_000, false, 10},
		{"204 Mbit/s spare", 1000, 18_000, false, 1},
		{"a ninth of it after a decrease", 1000, 18_000, true, 0.1},
		{"a ninth is more than what is spare", 10, 100_500, true, 0.01},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDAIMD(8192)
			d.period, d.lastDecPeriod, d.capacity = tt.period, tt.period, tt.capacity
			if tt.decreased {
				d.lastDecPeriod *= 0.9
			}
			if got := d.increase(); math.Abs(got-tt.want) > 1e-12 {
				t.Errorf("%v packets, want %v", got, tt.want)
			}
		})
	}
}

// The rate grows once in 10 ms, but not in the tick after a loss. The window
// holds what the peer receives in a round trip and a tick, and 16 packets.
func TestNativeTick(t *testing.T) {
	d := cruising(t, 1000, 20_000)
	ack := func(after time.Duration) {
		d.OnACK(ccStart+after, ACKEvent{RTT: 90 * ms, Full: true, ArrivalSpeed: 1000, Capacity: 20_000})
	}
	ack(9 * ms)
	wantPeriod(t, d, 1000)
	ack(10 * ms)
	wantPeriod(t, d, 1e6/1010.) // 0.1 packets per 10 ms: a ninth of the capacity is 27 Mbit/s
	if got := d.Window(); got != 116 {
		t.Errorf("window %d, want 116", got)
	}
	ack(19 * ms)
	wantPeriod(t, d, 1e6/1010.)
	ack(20 * ms)
	wantPeriod(t, d, 1e6/1020.)
	d.OnLoss(ccStart+21*ms, LossEvent{First: 101, Lost: 1, Sent: 200})
	wantPeriod(t, d, 1.125e6/1020.)
	ack(30 * ms)
	wantPeriod(t, d, 1.125e6/1020.)
	ack(40 * ms)
	wantPeriod(t, d, 1e6/(1020/1.125+10))
}

// The first report in a flight takes a ninth off the rate. Further ones may do
// so again, five times in all; what was lost before the rate was lowered is no
// reason to lower it again after that.
func TestNativeDecrease(t *testing.T) {
	d := cruising(t, 1000, 2000)
	period := 1000.
	for _, tt := range []struct {
		name        string
		first, sent int64
		decreases   int
	}{
		{"sent before slow start ended", 99, 150, 1},
		{"new flight", 150, 200, 1},
		{"same flight, second report", 160, 210, 1},
		{"third", 170, 220, 1},
		{"fourth", 180, 230, 1},
		{"fifth", 190, 240, 1},
		{"sixth", 195, 250, 0},
		{"seventh", 239, 250, 0},
		{"next flight", 240, 260, 1},
	} {
		d.OnLoss(ccStart, LossEvent{First: tt.first, Lost: 1, Sent: tt.sent})
		period *= math.Pow(1.125, float64(tt.decreases))
		wantPeriod(t, d, period)
	}
}

// A path that loses much in each flight does not stop the sender: on average
// only a part of the reports lowers the rate.
func TestNativeDecreasesPerFlight(t *testing.T) {
	d := cruising(t, 1000, 2000)
	const flights, reports = 200, 20
	total := 0
	for f := range int64(flights) {
		before := d.period
		for r := range int64(reports) {
			d.OnLoss(ccStart, LossEvent{First: 1000*(f+1) + r, Lost: 1, Sent: 1000*(f+1) + 500})
		}
		n := int(math.Round(math.Log(d.period/before) / math.Log(nativeDecrease)))
		if n < 1 || n > nativeMaxDecreases {
			t.Fatalf("flight %d: %d decreases", f, n)
		}
		total += n
		d.period = 1000
	}
	if total < flights*3/2 || total > flights*7/2 {
		t.Errorf("%d decreases in %d flights of %d reports", total, flights, reports)
	}
}

func TestSmoothRate(t *testing.T) {
	for _, tt := range []struct{ avg, r, want float64 }{
		{0, 0, 0}, {0, 800, 800}, {800, 0, 800}, {800, 1600, 900}, {800, -5, 800}, {1600, 800, 1500},
	} {
		if got := smoothRate(tt.avg, tt.r); got != tt.want {
			t.Errorf("%v and %v: %v, want %v", tt.avg, tt.r, got, tt.want)
		}
	}
}
