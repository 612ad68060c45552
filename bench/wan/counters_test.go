package wan

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLatenessQuantile(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var l, half lateness
	var all []time.Duration
	for i := range 10_000 {
		d := time.Duration(1) << rng.IntN(34)
		d += time.Duration(rng.Int64N(int64(d)))
		all = append(all, d)
		if i%2 == 0 {
			l.add(d, time.Millisecond)
		} else {
			half.add(d, time.Millisecond)
		}
	}
	l.merge(&half)
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		if got := l.quantile(q); got < want || got > max(want+want/8+1, 9) {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	got := l.summary(time.Millisecond)
	late, _ := slices.BinarySearch(all, time.Millisecond+1)
	if got.Packets != 10_000 || got.Max != all[len(all)-1] || got.Late != int64(len(all)-late) || got.Threshold != time.Millisecond {
		t.Errorf("summary %+v", got)
	}
}

func TestLatenessBuckets(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 7, 8, 9, 15, 16, 17, 1000, 1023, 1024, time.Hour, 1<<63 - 1} {
		i := bucket(d)
		if end := bucketEnd(i); end <= d && end > 0 { // the last one ends beyond all durations
			t.Errorf("%d is in bucket %d, which ends at %d", d, i, end)
		}
		if i > 0 && bucketEnd(i-1) > d {
			t.Errorf("%d is in bucket %d, but the one before it ends at %d", d, i, bucketEnd(i-1))
		}
	}
	if got := new(lateness).quantile(0.99); got != 0 {
		t.Errorf("the quantile of nothing is %v", got)
	}
}

func TestKeptSchedule(t *testing.T) {
	counters := func(sent, missed, late int64) Counters {
		return Counters{
			ToServer: Direction{Sent: Count{Packets: sent}, Missed: missed},
			Lateness: Lateness{Packets: sent, Late: late, Threshold: time.Millisecond},
		}
	}
	for _, tt := range []struct {
		name string
		c    Counters
		want string // part of the reason, "" if it was kept
	}{
		{"nothing sent", Counters{}, ""},
		{"on time", counters(100_000, 0, 0), ""},
		{"just", counters(100_000, 10, 1000), ""},
		{"late", counters(100_000, 0, 1001), "1.0 % of the packets more than 1ms late"},
		{"missed", counters(100_000, 11, 0), "11 of 100011 packets"},
		{"failed", Counters{Failure: "broken pipe"}, "broken pipe"},
	} {
		ok, why := tt.c.KeptSchedule()
		if ok != (tt.want == "") || !strings.Contains(why, tt.want) {
			t.Errorf("%s: %v, %q; want %q", tt.name, ok, why, tt.want)
		}
	}
}

func TestHostSchedule(t *testing.T) {
	var s hostSchedule
	us := func(n int) time.Duration { return time.Duration(n) * time.Microsecond }
	for i, p := range []struct{ arrival, begin, took, late int }{
		{0, 10, 50, 10},
		{20, 60, 50, 10},         // due while the host was busy until 50, had it begun in time
		{30, 110, 50, 10},        // and until 100
		{1000, 1000, 50, 0},      // idle before
		{2000, 9000, 50, 7000},   // the emulator did not run, and this one waited for it
		{3000, 9050, 50, 6050},   // as well
		{10000, 10000, 5000, 0},  // no host takes that long for a packet
		{10100, 15000, 50, 4750}, // so the next one is late
		{20000, 20000, 250, 0},   // just
		{20000, 20250, 10, 0},
	} {
		late := s.begin(start.Add(us(p.arrival)), start.Add(us(p.begin)))
		s.end(us(p.took))
		if late != us(p.late) {
			t.Errorf("packet %d: %v late, want %v", i, late, us(p.late))
		}
	}
}
