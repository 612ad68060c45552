package main

import (
	"testing"
	"time"
)

func TestExpected(t *testing.T) {
	l := Link{Rate: 300e6, RTT: 0.1, Loss: 0.001}
	limit := limitSeconds(l, 64<<20)
	if got, want := expected(l, 64<<20, 20*time.Second).Seconds(), 2*limit+0.6; got < want-1e-6 || got > want+1e-6 {
		t.Errorf("twice a limit of %.3f s: %v, want %v", limit, got, want)
	}
	if got := expected(l, 64<<20, 3*time.Second); got != 3600*time.Millisecond {
		t.Errorf("bound of 3 s: %v", got)
	}
}

// Every link has the time for one repetition, however slow those before it are.
func TestShareOfBudget(t *testing.T) {
	minutes := func(m ...time.Duration) []time.Duration {
		for i := range m {
			m[i] *= time.Minute
		}
		return m
	}
	for _, tt := range []struct {
		left, want time.Duration
		firsts     []time.Duration
	}{
		{60 * time.Minute, 11 * time.Minute, minutes(1, 20, 9)}, // 30 to spare, a third of them each
		{59 * time.Minute, 35 * time.Minute, minutes(20, 9)},
		{24 * time.Minute, 24 * time.Minute, minutes(9)},
		{10 * time.Minute, 20 * time.Minute, minutes(20, 9)}, // too little: the first repetition, nothing else
	} {
		if got := shareOfBudget(tt.left, tt.firsts); got != tt.want {
			t.Errorf("of %v for %v: %v, want %v", tt.left, tt.firsts, got, tt.want)
		}
	}
}

func TestProgress(t *testing.T) {
	p := progress{began: 10 * time.Second}
	p.plan(8, 5*time.Second)
	p.plan(2, 20*time.Second)
	if got := p.left(10 * time.Second); got != 80*time.Second {
		t.Errorf("before anything is measured: %v left, want what is expected", got)
	}
	for range 4 {
		p.next(5 * time.Second)
	}
	// Twice as slow as expected: 60 s are ahead by the plan.
	if got := p.left(50 * time.Second); got != 120*time.Second {
		t.Errorf("at half the pace: %v left, want 2m0s", got)
	}
	// What is left out changes what is ahead, not the pace.
	p.leaveOut(20 * time.Second)
	if got := p.left(50 * time.Second); got != 80*time.Second {
		t.Errorf("after one left out: %v left, want 1m20s", got)
	}
	if got := p.at(50 * time.Second); got != "5/10 50s" {
		t.Errorf("progress %q", got)
	}
	p.budget = 70 * time.Second
	if got := p.left(50 * time.Second); got != 20*time.Second {
		t.Errorf("20 s before the end of the budget: %v left", got)
	}
}
