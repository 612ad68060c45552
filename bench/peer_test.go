package main

import (
	"testing"
	"time"
)

// What a process does before its main function does not count, and a clock that was
// set meanwhile does not make a transfer longer.
func TestBegan(t *testing.T) {
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name, said string
		want       time.Duration
		ok         bool
	}{
		{"later", `{"began":"2026-01-02T03:04:05.1Z"}` + "\n", 100 * time.Millisecond, true},
		{"another zone", `{"began":"2026-01-02T04:04:05.1+01:00"}` + "\n", 100 * time.Millisecond, true},
		{"earlier", `{"began":"2026-01-02T03:04:04Z"}` + "\n", 0, true},
		{"nothing", "", 0, false},
		{"something else", "ready\n", 0, false},
	} {
		got, err := began([]byte(tt.said), started)
		if d := got.Sub(started); d != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: %v later, %v", tt.name, d, err)
		}
	}
}
