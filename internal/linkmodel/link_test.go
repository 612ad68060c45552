package linkmodel

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var start = time.Unix(1_000_000, 0)

// sending is what became of one packet.
type sending struct {
	overflow, lost, reordered bool
	arrival                   time.Duration // since the start
}

// send puts count packets of a size on a link, one per interval.
func send(cfg Config, count, size int, interval time.Duration) []sending {
	l := New(cfg, rand.New(rand.NewPCG(1, 2)))
	out := make([]sending, count)
	for i := range out {
		departure, ok := l.Serialise(size, start.Add(time.Duration(i)*interval))
		switch {
		case !ok:
			out[i].overflow = true
		case l.Lose():
			out[i].lost = true
		default:
			arrival, reordered := l.Propagate(departure, 0)
			out[i].arrival, out[i].reordered = arrival.Sub(start), reordered
		}
	}
	return out
}

func share(packets []sending, is func(sending) bool) float64 {
	n := 0
	for _, p := range packets {
		if is(p) {
			n++
		}
	}
	return float64(n) / float64(len(packets))
}

func TestRateAndDelay(t *testing.T) {
	// 1250 bytes at 10 Mbit/s take 1 ms.
	for i, p := range send(Config{Rate: 10e6, Delay: 20 * time.Millisecond}, 100, 1250, 0) {
		if want := time.Duration(i+1)*time.Millisecond + 20*time.Millisecond; p.arrival != want {
			t.Fatalf("packet %d of a burst arrives after %v, want %v", i, p.arrival, want)
		}
	}
	for i, p := range send(Config{Rate: 10e6, Delay: 20 * time.Millisecond}, 100, 1250, 3*time.Millisecond) {
		if want := time.Duration(3*i+21) * time.Millisecond; p.arrival != want {
			t.Fatalf("packet %d that finds the link idle arrives after %v, want %v", i, p.arrival, want)
		}
	}
}

func TestQueue(t *testing.T) {
	cfg := Config{Rate: 10e6, Queue: 10 * 1250}
	for i, p := range send(cfg, 25, 1250, 0) {
		if p.overflow != (i >= 10) {
			t.Errorf("packet %d of a burst into a queue of 10: overflow %v", i, p.overflow)
		}
	}
	overflow := func(p sending) bool { return p.overflow }
	if got := share(send(cfg, 20000, 1250, 500*time.Microsecond), overflow); math.Abs(got-0.5) > 0.005 {
		t.Errorf("%.3f of the packets overflow at twice the rate, want half", got)
	}
	if got := share(send(cfg, 20000, 1250, time.Millisecond), overflow); got != 0 {
		t.Errorf("%.3f of the packets overflow at the rate", got)
	}
	if got := share(send(Config{Rate: 10e6, Queue: 100}, 3, 1250, 2*time.Millisecond), overflow); got != 0 {
		t.Errorf("an idle link refuses a packet larger than its queue")
	}
}

func TestLoss(t *testing.T) {
	const packets = 1_000_000
	for _, tt := range []struct {
		name         string
		cfg          Config
		share, burst float64
	}{
		{"none", Config{}, 0, 0},
		{"independent", Config{Loss: 0.02}, 0.02, 1 / 0.98},
		{"bursts", Config{Burst: Burst{Enter: 0.01, Leave: 0.125}}, 0.01 / 0.135, 8},
		{"weak bursts", Config{Burst: Burst{Enter: 0.1, Leave: 0.1, Loss: 0.5}}, 0.25, 0},
		{"both", Config{Loss: 0.1, Burst: Burst{Enter: 0.1, Leave: 0.3}}, 1 - 0.9*0.75, 0},
		{"cut", Config{Loss: 1}, 1, packets},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := send(tt.cfg, packets, 100, 0)
			if got := share(out, func(p sending) bool { return p.lost }); math.Abs(got-tt.share) > 0.05*tt.share {
				t.Errorf("%.4f of the packets are lost, want %.4f", got, tt.share)
			}
			if b := tt.cfg.Burst; math.Abs(1-(1-tt.cfg.Loss)*(1-b.LossShare())-tt.share) > 1e-9 {
				t.Errorf("LossShare is %.4f, want the total to be %.4f", b.LossShare(), tt.share)
			}
			lost, bursts := 0, 0
			for i, p := range out {
				if p.lost {
					lost++
					if i == 0 || !out[i-1].lost {
						bursts++
					}
				}
			}
			if got := float64(lost) / float64(bursts); tt.burst > 0 && math.Abs(got-tt.burst) > 0.05*tt.burst {
				t.Errorf("bursts of %.2f packets, want %.2f", got, tt.burst)
			}
		})
	}
}

func TestLostPacketUsesTheRate(t *testing.T) {
	l := New(Config{Rate: 10e6, Loss: 1}, rand.New(rand.NewPCG(1, 2)))
	l.Serialise(1250, start)
	l.Lose()
	if departure, _ := l.Serialise(1250, start); departure.Sub(start) != 2*time.Millisecond {
		t.Errorf("the packet after a lost one leaves after %v, want 2ms", departure.Sub(start))
	}
}

func TestJitterKeepsOrder(t *testing.T) {
	cfg := Config{Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond}
	least, most, last := time.Hour, time.Duration(0), time.Duration(0)
	for i, p := range send(cfg, 10_000, 100, time.Millisecond) {
		if p.arrival < last || p.reordered {
			t.Fatalf("packet %d arrives after %v, the one before it after %v", i, p.arrival, last)
		}
		last = p.arrival
		delay := p.arrival - time.Duration(i)*time.Millisecond
		least, most = min(least, delay), max(most, delay)
	}
	if least < 10*time.Millisecond || most >= 30*time.Millisecond || most-least < 15*time.Millisecond {
		t.Errorf("delays from %v to %v, want them spread over 10ms to 30ms", least, most)
	}
}

func TestReorder(t *testing.T) {
	cfg := Config{Delay: 10 * time.Millisecond, Reorder: Reorder{Probability: 0.1, ExtraDelay: 3500 * time.Microsecond}}
	out := send(cfg, 20_000, 100, time.Millisecond)
	if got := share(out, func(p sending) bool { return p.reordered }); math.Abs(got-0.1) > 0.01 {
		t.Errorf("%.3f of the packets are held back, want 0.1", got)
	}
	for i, p := range out {
		want := time.Duration(i)*time.Millisecond + cfg.Delay
		if p.reordered {
			want += cfg.Reorder.ExtraDelay
		}
		if p.arrival != want {
			t.Fatalf("packet %d arrives after %v, want %v", i, p.arrival, want)
		}
	}
}

func TestSetConfigKeepsTheQueue(t *testing.T) {
	l := New(Config{Rate: 10e6}, rand.New(rand.NewPCG(1, 2)))
	l.Serialise(1250, start)
	l.SetConfig(Config{Rate: 20e6})
	if departure, _ := l.Serialise(1250, start); departure.Sub(start) != 1500*time.Microsecond {
		t.Errorf("the second packet leaves after %v, want 1ms at the old and 0.5ms at the new rate", departure.Sub(start))
	}
}

func TestValidate(t *testing.T) {
	if err := (Config{Delay: 1, Jitter: 1, Rate: 1, Queue: 1, Loss: 1, Burst: Burst{1, 1, 1}, Reorder: Reorder{1, 1}}).Validate(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Loss: 1.1}, "not in 0..1"},
		{Config{Loss: math.NaN()}, "not in 0..1"},
		{Config{Burst: Burst{Enter: -0.1}}, "not in 0..1"},
		{Config{Reorder: Reorder{Probability: 2}}, "not in 0..1"},
		{Config{Delay: -1}, "negative"},
		{Config{Rate: -1}, "negative"},
		{Config{Queue: -1}, "negative"},
	} {
		if err := tt.cfg.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want one with %q", tt.cfg, err, tt.want)
		}
	}
}

func TestFIFO(t *testing.T) {
	var q FIFO[int]
	next, want := 0, 0
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		if rng.IntN(2) == 0 {
			q.Push(next)
			next++
		} else if q.Len() > 0 {
			if front := q.Front(); front != want {
				t.Fatalf("the front is %d, want %d", front, want)
			}
			if got := q.Pop(); got != want {
				t.Fatalf("popped %d, want %d", got, want)
			}
			want++
		}
		if q.Len() != next-want {
			t.Fatalf("%d items, want %d", q.Len(), next-want)
		}
	}
}
