package wan

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestLinkValidate(t *testing.T) {
	good := Link{Rate: 10e6, RTT: 10 * time.Millisecond}
	for _, tt := range []struct {
		name   string
		change func(*Link)
		want   string // part of the error, "" for none
	}{
		{"as it is", func(l *Link) {}, ""},
		{"no delay", func(l *Link) { l.RTT = 0 }, ""},
		{"no rate", func(l *Link) { l.Rate = 0 }, "rate 0"},
		{"negative RTT", func(l *Link) { l.RTT = -1 }, "RTT"},
		{"long jitter", func(l *Link) { l.Jitter = time.Minute }, "jitter"},
		{"loss", func(l *Link) { l.Loss = 1.5 }, "not in 0..1"},
		{"loss not a number", func(l *Link) { l.Loss = math.NaN() }, "not in 0..1"},
		{"negative queue", func(l *Link) { l.Queue = -1 }, "queue"},
		{"small MTU", func(l *Link) { l.MTU = 100 }, "MTU"},
		{"large MTU", func(l *Link) { l.MTU = 10000 }, "MTU"},
	} {
		l := good
		tt.change(&l)
		switch err := l.Validate(); {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestLinkQueueBytes(t *testing.T) {
	for _, tt := range []struct {
		link Link
		want int
	}{
		{Link{Rate: 100e6, RTT: 100 * time.Millisecond}, 1_250_000},
		{Link{Rate: 100e6, RTT: 100 * time.Millisecond, Queue: 0.25}, 312_500},
		{Link{Rate: 1e6, RTT: time.Millisecond}, 4 * 1500},
	} {
		if got := tt.link.QueueBytes(); got != tt.want {
			t.Errorf("%v: %d bytes, want %d", tt.link, got, tt.want)
		}
	}
}

func TestLinkString(t *testing.T) {
	b, err := BurstLoss(0.02, 8)
	if err != nil {
		t.Fatal(err)
	}
	l := Link{Rate: 300e6, RTT: 40 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.001, Burst: b,
		Reorder: Reorder{Probability: 0.01, ExtraDelay: 2 * time.Millisecond}, Queue: 0.5}
	want := "300 Mbit/s, 40ms RTT + 1ms jitter, 0.1 % loss, 2 % loss in bursts of 8, 1 % held back by 2ms, queue 0.5 BDP"
	if got := l.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestBurstLoss(t *testing.T) {
	b, err := BurstLoss(0.02, 8)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.LossShare(); math.Abs(got-0.02) > 1e-12 || b.Leave != 0.125 {
		t.Errorf("%+v loses %v", b, got)
	}
	for _, tt := range []struct{ share, length float64 }{{-0.1, 8}, {1, 8}, {0.1, 0.5}, {0.9, 1}, {math.NaN(), 8}, {0.1, math.NaN()}} {
		if b, err := BurstLoss(tt.share, tt.length); err == nil {
			t.Errorf("share %v in bursts of %v: %+v, want an error", tt.share, tt.length, b)
		}
	}
}

func TestProfiles(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range Profiles() {
		if err := p.Link.Validate(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if seen[p.Name] || p.Name == "" || !strings.HasSuffix(p.Description, ".") {
			t.Errorf("%q: named twice, or without a sentence: %q", p.Name, p.Description)
		}
		seen[p.Name] = true
		if got, err := ProfileByName(p.Name); err != nil || got != p {
			t.Errorf("ProfileByName(%q) = %+v, %v", p.Name, got, err)
		}
	}
	for name, loss := range map[string]float64{"transatlantic": 0.001, "transpacific": 0.005, "satellite": 0.01, "wifi": 0.02, "congested": 0.01} {
		p, err := ProfileByName(name)
		if err != nil || math.Abs(p.Link.LossShare()-loss) > 1e-12 {
			t.Errorf("%s loses %v (%v), want %v", name, p.Link.LossShare(), err, loss)
		}
	}
	if _, err := ProfileByName("moon"); err == nil || !strings.Contains(err.Error(), "satellite") {
		t.Errorf("an unknown profile: %v, want the names there are", err)
	}
}
