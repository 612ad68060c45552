package main

import (
	"math"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b), 1) }

func TestLimitSeconds(t *testing.T) {
	for _, tt := range []struct {
		name string
		link Link
		size int64
		want float64
	}{
		{"no link", Link{}, 1 << 20, 0},
		// 1,456,000 bytes are 1000 packets of 1500 bytes, 12 Mbit.
		{"whole packets", Link{Rate: 12e6}, 1_456_000, 1},
		{"two round trips", Link{Rate: 12e6, RTT: 0.1}, 1_456_000, 1.2},
		{"half is lost", Link{Rate: 12e6, RTT: 0.1, Loss: 0.5}, 1_456_000, 2.2},
		{"nothing to send", Link{Rate: 12e6, RTT: 0.1}, 0, 0.2},
		{"the queue costs nothing", Link{Rate: 12e6, Queue: 4}, 1_456_000, 1},
	} {
		if got := limitSeconds(tt.link, tt.size); !near(got, tt.want) {
			t.Errorf("%s: limit %v s, want %v s", tt.name, got, tt.want)
		}
	}
}

func TestSurplus(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    *Direction
		size int64
		want float64
		ok   bool
	}{
		{"no link", nil, 1, 0, false},
		{"nothing counted", &Direction{}, 1, 0, false},
		{"nothing in addition", &Direction{Bytes: 1_500_000}, 1_456_000, 0, true},
		{"a tenth twice", &Direction{Bytes: 1_650_000}, 1_456_000, 0.1, true},
	} {
		got, ok := surplus(tt.d, tt.size)
		if !near(got, tt.want) || ok != tt.ok {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3, 1}},
		{[]float64{4, 1}, Spread{2.5, 1, 4, 2}},
		{[]float64{9, 1, 2}, Spread{2, 1, 9, 3}},
		{[]float64{1, 100, 2, 3}, Spread{2.5, 1, 100, 4}},
	} {
		in := append([]float64(nil), tt.in...)
		if got := spread(in); got != tt.want {
			t.Errorf("spread of %v: %+v, want %+v", tt.in, got, tt.want)
		}
		for i := range in {
			if in[i] != tt.in[i] {
				t.Errorf("spread has sorted its argument: %v, was %v", in, tt.in)
				break
			}
		}
	}
}

func TestJain(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{
		{nil, 0},
		{[]float64{0, 0}, 0},
		{[]float64{5, 5}, 1},
		{[]float64{7, 0}, 0.5},
		{[]float64{1, 3}, 0.8},
		{[]float64{1, 0, 0, 0}, 0.25},
	} {
		if got := jain(tt.in); !near(got, tt.want) {
			t.Errorf("index of %v: %v, want %v", tt.in, got, tt.want)
		}
	}
}
