package udt

import (
	"testing"
	"time"
)

func TestRTTEstimator(t *testing.T) {
	const ms = time.Millisecond
	var e rttEstimator
	e.init()
	if e.srtt != 100*ms || e.rttvar != 50*ms || e.min != 0 || e.sampled {
		t.Errorf("initially %+v", e)
	}
	for _, step := range []struct {
		sample                    time.Duration
		srtt, rttvar, min, latest time.Duration
	}{
		{0, 100 * ms, 50 * ms, 0, 0}, // no sample
		{-ms, 100 * ms, 50 * ms, 0, 0},
		{40 * ms, 40 * ms, 20 * ms, 40 * ms, 40 * ms}, // the first one counts in full
		{80 * ms, 45 * ms, 25 * ms, 40 * ms, 80 * ms}, // var (3*20+40)/4, rtt (7*40+80)/8
		{37 * ms, 44 * ms, 20750 * time.Microsecond, 37 * ms, 37 * ms},
	} {
		e.update(step.sample)
		if e.srtt != step.srtt || e.rttvar != step.rttvar || e.min != step.min || e.latest != step.latest {
			t.Errorf("after %v: %+v, want %+v", step.sample, e, step)
		}
	}
	for range 200 {
		e.update(10 * ms)
	}
	if d := e.srtt - 10*ms; d.Abs() > time.Microsecond || e.rttvar > time.Microsecond || e.min != 10*ms {
		t.Errorf("after many samples of 10 ms: %+v", e)
	}
}

func TestRTTTimeouts(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct{ srtt, rttvar, spread, nak, rto time.Duration }{
		{1 * ms, 1 * ms, 5 * ms, 20 * ms, 32 * ms},
		{40 * ms, 5 * ms, 60 * ms, 60 * ms, 72 * ms},
		{100 * ms, 50 * ms, 300 * ms, 300 * ms, 312 * ms},
	} {
		e := rttEstimator{srtt: tt.srtt, rttvar: tt.rttvar}
		if e.spread() != tt.spread || e.nakInterval() != tt.nak || e.rto() != tt.rto {
			t.Errorf("%v ± %v: spread %v, NAK after %v, timeout after %v", tt.srtt, tt.rttvar, e.spread(), e.nakInterval(), e.rto())
		}
	}
}

func TestWireMicros(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want uint32
	}{{0, 1}, {time.Nanosecond, 1}, {100 * time.Millisecond, 100_000}, {time.Hour, seqMask}} {
		if got := wireMicros(tt.d); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.d, got, tt.want)
		}
	}
}
