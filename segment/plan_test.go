package segment

import (
	"slices"
	"testing"
	"time"
)

func collect(p *Plan, workers int) (got []Range) {
	for w := range workers {
		s, ok := p.HandOut(Worker(w), workers-w)
		if !ok {
			break
		}
		got = append(got, Range{s.Start, s.End})
	}
	return got
}

func TestHandOut(t *testing.T) {
	for _, tt := range []struct {
		name        string
		size, align int64
		done        []Range
		workers     int
		want        []Range
	}{
		{"empty file", 0, 16, nil, 4, nil},
		{"one byte", 1, 16, nil, 4, []Range{{0, 1}}},
		{"below one piece", 15, 16, nil, 4, []Range{{0, 15}}},
		{"even", 64, 16, nil, 4, []Range{{0, 16}, {16, 32}, {32, 48}, {48, 64}}},
		{"rounded up", 100, 16, nil, 2, []Range{{0, 64}, {64, 100}}},
		{"more workers than pieces", 40, 16, nil, 8, []Range{{0, 16}, {16, 32}, {32, 40}}},
		{"after the first request", 1000, 100, []Range{{0, 400}}, 3, []Range{{400, 600}, {600, 800}, {800, 1000}}},
		{"never across what is done", 100, 10, []Range{{20, 30}, {55, 60}}, 2, []Range{{0, 20}, {30, 55}}},
		{"from the middle of a piece", 100, 50, []Range{{0, 20}}, 2, []Range{{20, 100}}},
		{"all done", 100, 10, []Range{{0, 100}}, 2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var done Set
			for _, r := range tt.done {
				done.Add(r)
			}
			p := New(tt.size, tt.align, done)
			got := collect(p, tt.workers)
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Fatalf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestClaimAdvanceToTheEnd(t *testing.T) {
	p := New(50, 16, Set{})
	s, _ := p.HandOut(1, 1)
	var claims []Range
	for {
		r, ok := p.Claim(s.ID)
		if !ok {
			break
		}
		if _, again := p.Claim(s.ID); again {
			t.Fatal("claimed twice without an advance")
		}
		claims = append(claims, r)
		p.Advance(s.ID, r.Len())
	}
	want := []Range{{0, 16}, {16, 32}, {32, 48}, {48, 50}}
	for i := range want {
		if len(claims) != len(want) || claims[i] != want[i] {
			t.Fatalf("claims %v, want %v", claims, want)
		}
	}
	if !p.Complete() || len(p.open) != 0 {
		t.Errorf("complete = %v, open = %d", p.Complete(), len(p.open))
	}
}

func TestReleaseKeepsWhatIsWritten(t *testing.T) {
	p := New(64, 16, Set{})
	s, _ := p.HandOut(1, 1)
	p.Claim(s.ID)
	p.Advance(s.ID, 5)
	p.Release(s.ID)
	p.Release(s.ID)
	if p.Done() != 5 || p.Unassigned() != 59 {
		t.Fatalf("done %d, unassigned %d", p.Done(), p.Unassigned())
	}
	s, _ = p.HandOut(2, 1)
	if s.Start != 5 || s.End != 64 {
		t.Errorf("next segment is [%d,%d)", s.Start, s.End)
	}
	if r, _ := p.Claim(s.ID); r != (Range{5, 16}) {
		t.Errorf("claims %v, want the rest of the first piece", r)
	}
}

func TestStealTakesTheSlowest(t *testing.T) {
	p := New(800, 10, Set{})
	a, _ := p.HandOut(1, 2)
	b, _ := p.HandOut(2, 1)
	rates := map[SegmentID]float64{a.ID: 100, b.ID: 50}
	rate := func(s Segment) (float64, int64) { return rates[s.ID], s.Next }
	p.Claim(b.ID)

	s, victim, ok := p.Steal(3, 0, 10, 0, rate)
	if !ok || victim != b.ID || s.Start != 600 || s.End != 800 {
		t.Fatalf("stole %+v from %d (%v), want [600,800) from %d", s, victim, ok, b.ID)
	}
	if b, _ = p.Segment(b.ID); b.End != 600 {
		t.Errorf("the victim ends at %d, want 600", b.End)
	}
	// The new segment has no rate yet, so it is the first to be relieved.
	if _, victim, _ = p.Steal(4, 0, 10, 0, rate); victim != s.ID {
		t.Errorf("second theft from %d, want %d", victim, s.ID)
	}
}

// TestStealByRate: who is faster takes more, and who would save nothing, nothing.
func TestStealByRate(t *testing.T) {
	for _, tt := range []struct {
		mine, its float64
		start     int64 // of what is stolen, -1 for nothing
	}{
		{0, 1, 500}, {1, 0, 500}, {1, 1, 500}, {3, 1, 250}, {1, 3, 750}, {999, 1, 10}, {1, 999, -1}, {1, 89, -1}, {1, 20, 960},
	} {
		p := New(1000, 10, Set{})
		p.HandOut(1, 1)
		s, _, ok := p.Steal(2, tt.mine, 10, 2*time.Second, func(s Segment) (float64, int64) { return tt.its, s.Next })
		if start := tt.start; ok != (start >= 0) || ok && (s.Start != start || s.End != 1000) {
			t.Errorf("at %v against %v: stole %+v (%v), want it from %d on", tt.mine, tt.its, s, ok, start)
		}
	}
}

// TestStealAtTheEnd: the last piece is stolen while that ends the segment earlier by
// half of the least time, and what is written of the piece before it counts.
func TestStealAtTheEnd(t *testing.T) {
	for written, want := range map[int64]bool{0: true, 5: true, 6: true, 7: false, 9: false} {
		p := New(20, 10, Set{})
		a, _ := p.HandOut(1, 1)
		p.Claim(a.ID)
		s, _, ok := p.Steal(2, 0, 0, 8*time.Second, func(Segment) (float64, int64) { return 1, written })
		if ok != want || ok && (s.Start != 10 || s.End != 20) {
			t.Errorf("with %d of 20 written: stole %+v (%v)", written, s, ok)
		}
		if seg, _ := p.Segment(a.ID); seg.Next != 0 {
			t.Errorf("who steals has recorded %d bytes", seg.Next)
		}
	}
}

func TestStealRespectsLimits(t *testing.T) {
	rate := func(s Segment) (float64, int64) { return 1, s.Next }
	p := New(100, 10, Set{})
	a, _ := p.HandOut(1, 1)
	if _, _, ok := p.Steal(1, 0, 0, 0, rate); ok {
		t.Error("a worker stole from itself")
	}
	if _, _, ok := p.Steal(2, 0, 101, 0, rate); ok {
		t.Error("stole from a segment below the minimum")
	}
	if _, _, ok := p.Steal(2, 0, 0, 101*time.Second, rate); ok {
		t.Error("stole from a segment that is done soon")
	}
	if _, _, ok := p.Steal(2, 0, 0, time.Hour, func(s Segment) (float64, int64) { return 0, s.Next }); !ok {
		t.Error("left a segment alone that does not flow")
	}
	p = New(100, 10, Set{})
	a, _ = p.HandOut(1, 1)
	p.Exclude(2, Range{90, 95})
	if _, _, ok := p.Steal(2, 0, 0, 0, rate); ok {
		t.Error("an excluded worker stole")
	}
	p.Include(Range{0, 100})
	if _, _, ok := p.Steal(2, 0, 0, 0, rate); !ok {
		t.Error("nothing to steal after the exclusion was lifted")
	}
	for {
		r, ok := p.Claim(a.ID)
		if !ok {
			break
		}
		if _, _, ok := p.Steal(3, 0, 0, 0, rate); ok && r.End > 90 {
			t.Error("stole what was claimed")
		}
		p.Advance(a.ID, r.Len())
	}
}

func TestStealKeepsTheClaim(t *testing.T) {
	p := New(20, 10, Set{})
	a, _ := p.HandOut(1, 1)
	p.Claim(a.ID)
	p.Advance(a.ID, 10)
	p.Claim(a.ID)
	if s, _, ok := p.Steal(2, 0, 0, 0, func(s Segment) (float64, int64) { return 1, s.Next }); ok {
		t.Errorf("stole %+v, which was claimed", s)
	}
}

func TestExcludedWorkerGetsOtherBytes(t *testing.T) {
	p := New(100, 10, Set{})
	p.Exclude(1, Range{0, 20})
	if s, ok := p.HandOut(1, 1); !ok || s.Start != 20 {
		t.Errorf("excluded worker got %+v, %v", s, ok)
	}
	if s, ok := p.HandOut(2, 1); !ok || s.Start != 0 || s.End != 20 {
		t.Errorf("the other worker got %+v, %v", s, ok)
	}
}

func TestInvalidate(t *testing.T) {
	var done Set
	done.Add(Range{0, 40})
	done.Add(Range{60, 100})
	p := New(100, 10, done)
	p.Invalidate(Range{30, 70})
	if p.Done() != 60 || p.Unassigned() != 40 || !p.Has(Range{0, 30}) || p.Has(Range{60, 70}) {
		t.Errorf("done %v, todo %v", p.done.ranges, p.todo.ranges)
	}
	// What is open stays with its owner.
	s, _ := p.HandOut(1, 1)
	p.Claim(s.ID)
	p.Advance(s.ID, 5)
	p.Invalidate(Range{30, 40})
	if p.Done() != 60 || p.Unassigned() != 5 {
		t.Errorf("done %v, todo %v", p.done.ranges, p.todo.ranges)
	}
}

func TestHandOutRange(t *testing.T) {
	p := New(100, 10, Set{})
	if _, ok := p.HandOutRange(1, Range{90, 110}); ok {
		t.Error("handed out bytes beyond the file")
	}
	if _, ok := p.HandOutRange(1, Range{20, 40}); !ok {
		t.Error("free range refused")
	}
	if _, ok := p.HandOutRange(2, Range{30, 50}); ok {
		t.Error("range handed out twice")
	}
}

func TestAdvanceBeyondTheClaimPanics(t *testing.T) {
	p := New(100, 10, Set{})
	s, _ := p.HandOut(1, 1)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	p.Advance(s.ID, 1)
}

// A bound keeps requests within a window that moves on.
func TestBound(t *testing.T) {
	p := New(100, 10, Set{})
	all := func() (got []Range) {
		for s, ok := p.HandOut(0, 1); ok; s, ok = p.HandOut(0, 1) {
			got = append(got, Range{s.Start, s.End})
		}
		return got
	}
	p.Bound(40, 15)
	if got := all(); !slices.Equal(got, []Range{{0, 20}, {20, 40}}) {
		t.Errorf("handed out %v", got)
	}
	if p.Unassigned() != 60 {
		t.Errorf("%d bytes unassigned", p.Unassigned())
	}
	p.Bound(100, 100)
	if got := all(); !slices.Equal(got, []Range{{40, 100}}) {
		t.Errorf("handed out %v", got)
	}
}
