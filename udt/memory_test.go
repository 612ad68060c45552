package udt

import (
	"sync"
	"testing"
)

// Whoever comes finds something, and together they stay within the limit.
func TestMemoryShares(t *testing.T) {
	const limit, most, unit = 1 << 20, 1 << 20, 1 << 10
	m := NewMemory(limit)
	var held []int64
	for n := 1; n <= 20; n++ {
		held = append(held, 0)
		for range 50 {
			for i := range held {
				held[i] = m.resize(held[i], most, 0, 0)
			}
		}
		fair := int64(limit / (n + 1))
		for i, h := range held {
			if h < fair-unit || h > fair+unit {
				t.Errorf("%d of %d has %d bytes, want %d", i, n, h, fair)
			}
		}
	}
	if m.Used() > limit {
		t.Errorf("%d bytes used of %d", m.Used(), limit)
	}
	for i := range held {
		held[i] = m.resize(held[i], 0, 0, 0)
	}
	if m.Used() != 0 {
		t.Errorf("%d bytes stay in use", m.Used())
	}
}

// What belongs to a connection is there whatever the others have, and counts
// no more than half of the limit.
func TestMemoryOwn(t *testing.T) {
	const own = 300
	m := NewMemory(1000)
	m.join(own)
	if got := m.resize(0, 5000, 0, own); got != own+350 {
		t.Errorf("got %d bytes", got)
	}
	m.join(own)
	if got := m.resize(0, 5000, 0, own); got != own+75 {
		t.Errorf("the next got %d bytes", got)
	}
	if got := m.resize(0, 5000, 400, own); got != 400 {
		t.Errorf("got %d bytes, had promised 400", got)
	}
	if !m.grow(own-1, 1, own) || m.grow(own, 200, own) {
		t.Error("no memory up to what belongs to the connection, or too much beyond")
	}
	if used := m.Used(); used != 2*own+350+75+100 {
		t.Errorf("%d bytes used", used)
	}
}

func TestMemoryConcurrent(t *testing.T) {
	m := NewMemory(1 << 20)
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			held := int64(0)
			for i := range int64(10_000) {
				held = m.resize(held, i*97%(1<<18), 0, 1<<10)
				if m.grow(held, 64, 1<<10) {
					held += 64
				}
			}
			m.resize(held, 0, 0, 1<<10)
		})
	}
	users.Wait()
	if m.Used() != 0 {
		t.Errorf("%d bytes stay in use", m.Used())
	}
}
