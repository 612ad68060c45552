package udt

import (
	"math/rand/v2"
	"testing"
	"time"
)

// However irregular the wake-ups, the long-run rate is exact as long as none
// is later than maxDebt.
func TestPacerRate(t *testing.T) {
	for _, period := range []time.Duration{time.Microsecond, 12 * time.Microsecond, 500 * time.Microsecond, 7 * time.Millisecond} {
		for _, jitter := range []time.Duration{1, 100 * time.Microsecond, maxDebt} {
			r := rand.New(rand.NewPCG(uint64(period), uint64(jitter)))
			var p pacer
			start := time.Second
			now, sent := start, 0
			end := start + 2000*max(period, 10*time.Microsecond)
			for now < end {
				n := p.budget(now, period, sendBurst)
				p.spend(n, period)
				sent += n
				if ahead := p.next - now; ahead > pacerSlack+period {
					t.Fatalf("period %v: the next packet leaves in %v", period, ahead)
				}
				if n < sendBurst {
					// Too early or too late, but not beyond the debt.
					now = max(now+1, p.next-pacerSlack) + time.Duration(r.Int64N(int64(jitter)))
				}
			}
			// The debt of the start, and the latest packet's period.
			most := int((now-start+maxDebt+pacerSlack)/period) + 1
			least := int((now - start - jitter) / period)
			if sent > most || sent < least {
				t.Errorf("period %v, jitter %v: %d packets in %v, want %d to %d", period, jitter, sent, now-start, least, most)
			}
		}
	}
}

// After an idle time of any length the burst is what maxDebt allows.
func TestPacerBurst(t *testing.T) {
	for _, tt := range []struct {
		period time.Duration
		want   int
	}{
		{10 * time.Microsecond, 206}, // 2 ms and the slack, and the packet that is due now
		{time.Millisecond, 3},
		{100 * time.Millisecond, 1},
		{0, 1000},
	} {
		for _, idle := range []time.Duration{maxDebt, maxDebt * 3 / 2, time.Second, time.Hour} {
			p := pacer{next: time.Second}
			if n := p.budget(time.Second+idle, tt.period, 1000); n != tt.want {
				t.Errorf("period %v after %v: %d packets, want %d", tt.period, idle, n, tt.want)
			}
		}
	}
	p := pacer{next: time.Second}
	if n := p.budget(time.Hour, time.Microsecond, 64); n != 64 {
		t.Errorf("%d packets, limit 64", n)
	}
}

// Nothing leaves before its time, but for what is not worth a timer.
func TestPacerWaits(t *testing.T) {
	p := pacer{next: time.Second}
	for _, tt := range []struct {
		now  time.Duration
		want int
	}{
		{time.Second - 10*time.Millisecond, 0},
		{time.Second - pacerSlack - 1, 0},
		{time.Second - pacerSlack, 1},
		{time.Second, 1},
		{time.Second + time.Millisecond, 2},
	} {
		if n := p.budget(tt.now, time.Millisecond, 64); n != tt.want {
			t.Errorf("at %v: %d packets, want %d", tt.now, n, tt.want)
		}
	}
}
