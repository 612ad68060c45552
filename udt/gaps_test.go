package udt

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func (l *gapList) ranges() []seqRange {
	var rs []seqRange
	for _, g := range l.gaps {
		rs = append(rs, g.seqRange)
	}
	return rs
}

func TestGapListAgainstSet(t *testing.T) {
	for _, isn := range []seqNo{0, seqMask - 500, 1<<30 - 500} {
		r := rand.New(rand.NewPCG(uint64(isn), 2))
		var l gapList
		missing := make(map[seqNo]bool)
		top := isn
		for op := range 5000 {
			now := time.Duration(op+1) * time.Millisecond
			if r.Int32N(3) == 0 && len(missing) < 200 {
				rg := seqRange{top.add(int(r.Int32N(3))), 0}
				rg.end = rg.start.add(1 + int(r.Int32N(9)))
				l.open(rg, now, 0)
				for s := rg.start; s != rg.end; s = s.add(1) {
					missing[s] = true
				}
				top = rg.end.add(1)
			} else {
				s := top.add(-1 - int(r.Int32N(250)))
				was, ok := l.fill(s)
				if ok != missing[s] {
					t.Fatalf("isn %d, op %d: fill %d: %v, want %v", isn, op, s, ok, missing[s])
				}
				if ok && (s.less(was.start) || !s.less(was.end)) {
					t.Fatalf("isn %d, op %d: %d was in %v", isn, op, s, was)
				}
				delete(missing, s)
			}
			if err := checkRanges(l.ranges(), missing, false); err != nil {
				t.Fatalf("isn %d, op %d: %v", isn, op, err)
			}
			if l.empty() != (len(missing) == 0) {
				t.Fatalf("isn %d, op %d: empty: %v with %d missing", isn, op, l.empty(), len(missing))
			}
		}
	}
}

// A gap is reported after its delay, then after rto, then at intervals that
// grow by half up to 300 ms.
func TestGapReportRhythm(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name       string
		delay, rto time.Duration
		want       []time.Duration // reports, after the gap was seen
	}{
		{"fast path", 0, 40 * ms, []time.Duration{
			0, 40 * ms, 100 * ms, 190 * ms, 325 * ms, 527500 * time.Microsecond, 827500 * time.Microsecond, 1127500 * time.Microsecond,
		}},
		{"reordering path", 5 * ms, 200 * ms, []time.Duration{5 * ms, 205 * ms, 505 * ms, 805 * ms}},
		{"slow path", 0, 700 * ms, []time.Duration{0, 700 * ms, 1400 * ms, 2100 * ms}},
	} {
		var l gapList
		seen := time.Second
		l.open(seqRange{5, 7}, seen, tt.delay)
		var got []time.Duration
		for now := seen; len(got) < len(tt.want); now = l.nextDue {
			if early := l.appendDue(nil, now-1, tt.rto, 100); now > seen && len(early) > 0 {
				t.Fatalf("%s: a report before its time", tt.name)
			}
			words := l.appendDue(nil, now, tt.rto, 100)
			if len(words) == 0 && now == seen {
				continue // not at once
			}
			if want := []uint32{5 | controlBit, 6}; !slices.Equal(words, want) {
				t.Fatalf("%s: report %x, want %x", tt.name, words, want)
			}
			got = append(got, now-seen)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: reports after %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A report that does not fit into one packet is continued at once.
func TestGapReportIsSplit(t *testing.T) {
	var l gapList
	for i := range seqNo(10) {
		l.open(seqRange{10 * i, 10*i + 2}, time.Second, 0)
	}
	var all []uint32
	for n := range 4 {
		words := l.appendDue(nil, time.Second, time.Second, 7)
		if len(words) > 7 {
			t.Fatalf("%d words, at most 7 fit", len(words))
		}
		if again := l.nextDue <= time.Second; again != (n < 3) {
			t.Errorf("after packet %d: due again: %v", n, again)
		}
		all = append(all, words...)
	}
	if got := len(slices.Collect(lossReport(lossWords(all...)))); got != 10 {
		t.Errorf("%d gaps reported, want 10", got)
	}
}

// What remains of a gap keeps its schedule; nothing is due once all is filled.
func TestGapFill(t *testing.T) {
	var l gapList
	l.open(seqRange{seqMask - 1, 3}, time.Second, 0)
	l.appendDue(nil, time.Second, 50*time.Millisecond, 100)
	for _, s := range []seqNo{seqMask, seqMask - 1, 2, 0, 1} {
		was, ok := l.fill(s)
		if !ok || !was.reported() || was.since != time.Second {
			t.Errorf("fill %d: %+v, %v", s, was, ok)
		}
		for _, g := range l.gaps {
			if g.due != 1050*time.Millisecond || !g.reported() {
				t.Errorf("after %d: %+v", s, g)
			}
		}
	}
	if words := l.appendDue(nil, 2*time.Second, time.Second, 100); len(words) != 0 || l.nextDue != 0 {
		t.Errorf("nothing is missing: report %x, next due %v", words, l.nextDue)
	}
}

// BenchmarkGapList opens a gap at every fourth packet of a window, reports all of
// them and fills them in order, as retransmissions do.
func BenchmarkGapList(b *testing.B) {
	const window, every = 4 << 10, 4
	var l gapList
	isn := seqNo(seqMask - window/2)
	words := make([]uint32, 0, window/every)
	b.SetBytes(window * 1456)
	b.ReportAllocs()
	for b.Loop() {
		for i := 0; i < window; i += every {
			l.open(seqRange{isn.add(i), isn.add(i + 1)}, time.Second, 0)
		}
		if words = l.appendDue(words[:0], time.Second, 100*time.Millisecond, window); len(words) != window/every {
			b.Fatalf("reported %d of %d gaps", len(words), window/every)
		}
		for i := 0; i < window; i += every {
			if _, missing := l.fill(isn.add(i)); !missing {
				b.Fatalf("packet %d is not missing", i)
			}
		}
		l.nextDue = 0
	}
}
