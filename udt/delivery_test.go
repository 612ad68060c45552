package udt

import (
	"testing"
	"time"
)

// A steady flow of ten packets each millisecond with a round trip of 20 ms is
// measured as 10,000 packets/s, whatever the sender's bursts.
func TestDeliveryRate(t *testing.T) {
	var m deliveryMeter
	type burst struct {
		no   uint32
		sent time.Duration
	}
	var flying []burst
	inFlight := 0
	var last RateSample
	for now := time.Millisecond; now < 200*time.Millisecond; now += time.Millisecond {
		for len(flying) > 0 && flying[0].sent+20*time.Millisecond <= now {
			inFlight -= 10
			last = m.arrived(10, now, flying[0].sent, flying[0].no, 15*time.Millisecond, 0)
			flying = flying[1:]
		}
		no := m.begin(now, inFlight, 0)
		m.commit()
		inFlight += 10
		flying = append(flying, burst{no, now})
	}
	if last.Rate < 9_500 || last.Rate > 10_500 || last.AppLimited {
		t.Errorf("measured %+v, want 10,000 packets/s", last)
	}
	if m.idle(inFlight); m.limitedTill == 0 {
		t.Error("idle is not noted")
	}
	no := m.begin(200*time.Millisecond, inFlight, 0)
	m.commit()
	if s := m.arrived(1, 220*time.Millisecond, 200*time.Millisecond, no, 0, 0); !s.AppLimited {
		t.Errorf("%+v is not limited by the application", s)
	}
}

// Acknowledgements that come all at once, because they were held up, do not
// make the path look faster than packets were sent.
func TestDeliveryRateOfCompressedACKs(t *testing.T) {
	var m deliveryMeter
	var first uint32
	for i := range 100 {
		no := m.begin(time.Duration(i+1)*time.Millisecond, i, 0)
		m.commit()
		if i == 0 {
			first = no
		}
	}
	m.arrived(1, 150*time.Millisecond, time.Millisecond, first, 0, 0)
	s := m.arrived(99, 151*time.Millisecond, 100*time.Millisecond, first+99, 0, 0)
	if s.Rate > 1100 {
		t.Errorf("%.0f packets/s, want no more than the 1000 that were sent", s.Rate)
	}
}

// A flight that seems to have taken less than usual counts as a usual one, but not
// where it cannot have been one.
func TestDeliveryRateOfUsualFlight(t *testing.T) {
	for _, tt := range []struct {
		name            string
		shortest, usual time.Duration
		want            float64
	}{
		{"as measured", 0, 0, 10_000},
		{"as usual", 0, 40 * time.Millisecond, 2500},
		{"longer than usual", 0, time.Millisecond, 10_000},
		{"impossible", 20 * time.Millisecond, 40 * time.Millisecond, 0},
	} {
		var m deliveryMeter
		no := m.begin(time.Second, 0, 0)
		m.commit()
		if s := m.arrived(100, time.Second+10*time.Millisecond, time.Second, no, tt.shortest, tt.usual); s.Rate != tt.want {
			t.Errorf("%s: %v packets/s, want %v", tt.name, s.Rate, tt.want)
		}
	}
}

// Records that are needed are kept: the ring grows while it is too small.
func TestBurstRecordsAreKept(t *testing.T) {
	var m deliveryMeter
	const bursts = 3000
	for i := range bursts {
		m.begin(time.Duration(i+1)*100*time.Microsecond, i, 0)
		m.commit()
	}
	now := bursts * 100 * time.Microsecond
	if s := m.arrived(1, now, 100*time.Microsecond, 0, 0, 0); s == (RateSample{}) {
		t.Error("the first burst is forgotten")
	}
	if n := len(m.ring); n > 2*bursts {
		t.Errorf("%d records for %d bursts", n, bursts)
	}
	// What is older than anything can be in flight may go.
	for i := range 10 * maxBursts {
		m.begin(now+time.Duration(i)*time.Millisecond, i, 0)
		m.commit()
	}
	if n := len(m.ring); n > maxBursts {
		t.Errorf("%d records", n)
	}
}

// Records are kept of what was sent lately, not of every look at what could be
// sent, and none once the last connection has gone.
func TestDeliveryRecordsAreBounded(t *testing.T) {
	var m deliveryMeter
	at := time.Second
	for range 1000 {
		m.begin(at, 0, 0)
		at += time.Millisecond
	}
	if len(m.ring) != minBursts {
		t.Errorf("%d records of a connection that has sent nothing", len(m.ring))
	}
	for range 10 * maxBursts {
		m.begin(at, 1, 10*time.Second)
		m.commit()
		at += time.Microsecond
	}
	if len(m.ring) != maxBursts {
		t.Errorf("%d records, want %d", len(m.ring), maxBursts)
	}
	g := group{members: 2, meter: m, even: new(evenness)}
	g.leave(at, 0, false)
	if len(g.meter.ring) == 0 {
		t.Error("one of two has left and taken the records with it")
	}
	g.leave(at, 0, false)
	if len(g.meter.ring) != 0 {
		t.Errorf("%d records of a peer without connections", len(g.meter.ring))
	}
	if s := g.meter.arrived(1, at, at, g.meter.next-1, 0, 0); s != (RateSample{}) {
		t.Errorf("%+v measured without records", s)
	}
	g.meter.begin(at, 0, 0)
}
