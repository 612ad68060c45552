package segment

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// model is a plan together with a plain record of who owns each byte.
type model struct {
	p     *Plan
	owner []SegmentID // 0 nobody's, written for done bytes
	size  int64
	align int64
}

const written = ^SegmentID(0)

func newModel(size, align int64) *model {
	return &model{p: New(size, align, Set{}), owner: make([]SegmentID, size), size: size, align: align}
}

// check returns what is wrong: a byte with two owners, with another owner than
// the record says, or in no place at all.
func (m *model) check() error {
	seen := make([]SegmentID, m.size)
	state := make([]int, m.size)
	mark := func(r Range, id SegmentID) error {
		if r.Start < 0 || r.End > m.size {
			return fmt.Errorf("%v is outside of the file", r)
		}
		for i := r.Start; i < r.End; i++ {
			if state[i] != 0 {
				return fmt.Errorf("byte %d has two owners", i)
			}
			state[i], seen[i] = 1, id
		}
		return nil
	}
	for r := range m.p.done.All() {
		if err := mark(r, written); err != nil {
			return err
		}
	}
	for r := range m.p.todo.All() {
		if err := mark(r, 0); err != nil {
			return err
		}
	}
	for _, s := range m.p.open {
		if !(s.Start <= s.Next && s.Next <= s.Claimed && s.Claimed <= s.End && s.Next < s.End) {
			return fmt.Errorf("segment %+v is inconsistent", *s)
		}
		if err := mark(Range{s.Next, s.End}, s.ID); err != nil {
			return err
		}
	}
	for i := range state {
		if state[i] == 0 {
			return fmt.Errorf("byte %d is lost", i)
		}
		if seen[i] != m.owner[i] {
			return fmt.Errorf("byte %d belongs to %d, want %d", i, seen[i], m.owner[i])
		}
	}
	return nil
}

func (m *model) set(r Range, id SegmentID) {
	for i := r.Start; i < r.End; i++ {
		m.owner[i] = id
	}
}

// step does one operation chosen by the three numbers.
func (m *model) step(op, a, b byte) error {
	var id SegmentID
	if n := len(m.p.open); n > 0 {
		id = m.p.open[int(a)%n].ID
	}
	w := Worker(b % 5)
	any := Range{int64(a) % (m.size + 1), min(m.size, int64(a)%(m.size+1)+int64(b))}
	switch op % 9 {
	case 0, 1:
		if s, ok := m.p.HandOut(w, int(a%6)); ok {
			if s.End%m.align != 0 && s.End != m.size && m.owner[s.End] == 0 && len(m.p.excluded) == 0 {
				return fmt.Errorf("segment %+v ends inside a piece without need", s)
			}
			m.set(Range{s.Start, s.End}, s.ID)
		}
	case 2:
		r, ok := m.p.Claim(id)
		if ok && (r.Empty() || r.Len() > m.align) {
			return fmt.Errorf("claimed %v", r)
		}
	case 3, 4:
		if s, ok := m.p.Segment(id); ok {
			n := s.Claimed - s.Next
			if op%9 == 4 {
				n = min(n, int64(b))
			}
			m.p.Advance(id, n)
			m.set(Range{s.Next, s.Next + n}, written)
		}
	case 5:
		if s, ok := m.p.Segment(id); ok {
			m.p.Release(id)
			m.set(Range{s.Next, s.End}, 0)
		}
	case 6:
		s, victim, ok := m.p.Steal(w, float64(b%4), int64(b%32), 0, func(s Segment) (float64, int64) { return float64(s.ID % 3), s.Next + int64(b%5) })
		if ok {
			v, alive := m.p.Segment(victim)
			if !alive || v.Worker == w || v.Claimed > s.Start {
				return fmt.Errorf("stole %+v from %+v", s, v)
			}
			if s.Start%m.align != 0 {
				return fmt.Errorf("stole %+v, which starts inside a piece", s)
			}
			m.set(Range{s.Start, s.End}, s.ID)
		}
	case 7:
		if b%2 == 0 {
			m.p.Exclude(w, any)
		} else {
			m.p.Include(any)
		}
	case 8:
		m.p.Invalidate(any)
		for i := any.Start; i < any.End; i++ {
			if m.owner[i] == written {
				m.owner[i] = 0
			}
		}
	}
	return m.check()
}

// finish lets one worker after the other fetch what is left and reports an
// error when the plan cannot be brought to its end.
func (m *model) finish() error {
	m.p.Include(Range{0, m.size})
	for _, s := range append([]*Segment(nil), m.p.open...) {
		m.p.Release(s.ID)
	}
	for range 2*m.size + 1 {
		s, ok := m.p.HandOut(1, 1)
		if !ok {
			break
		}
		for {
			r, ok := m.p.Claim(s.ID)
			if !ok {
				break
			}
			m.p.Advance(s.ID, r.Len())
		}
	}
	if !m.p.Complete() {
		return fmt.Errorf("incomplete: %d of %d bytes", m.p.Done(), m.size)
	}
	return nil
}

func FuzzPlanCoversOnce(f *testing.F) {
	f.Add(uint16(100), uint8(16), []byte{0, 1, 2, 2, 0, 0, 3, 0, 0, 6, 0, 3})
	f.Add(uint16(0), uint8(0), []byte{0, 0, 0})
	f.Add(uint16(1), uint8(1), []byte{0, 0, 0, 2, 0, 0, 3, 0, 0})
	f.Fuzz(func(t *testing.T, size uint16, align uint8, ops []byte) {
		m := newModel(int64(size%1024), int64(align%64)+1)
		for i := 0; i+2 < len(ops) && i < 3*300; i += 3 {
			if err := m.step(ops[i], ops[i+1], ops[i+2]); err != nil {
				t.Fatalf("operation %d (%d %d %d): %v", i/3, ops[i], ops[i+1], ops[i+2], err)
			}
		}
		if err := m.finish(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPlanCoversOnce is the fuzz property over fixed random sequences.
func TestPlanCoversOnce(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		m := newModel(rng.Int64N(400), rng.Int64N(40)+1)
		for i := range 200 {
			op, a, b := byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))
			if err := m.step(op, a, b); err != nil {
				t.Fatalf("seed %d, operation %d (%d %d %d): %v", seed, i, op%9, a, b, err)
			}
		}
		if err := m.finish(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
