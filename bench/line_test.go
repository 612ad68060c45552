package main

import (
	"runtime"
	"strings"
	"testing"
)

func TestLineTime(t *testing.T) {
	if d := lineTime(); d < 0 || d > lineBound {
		t.Errorf("%v", d)
	} else {
		t.Logf("a cache line takes %v", d)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if d := lineTime(); d != 0 {
		t.Errorf("with one processor: %v", d)
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		line float64
		want string
	}{
		{0, ""},
		{30e-9, ""},
		{171.4e-9, ", processors 171 ns apart"},
	} {
		if got := distance(tt.line); got != tt.want {
			t.Errorf("%g s: %q, want %q", tt.line, got, tt.want)
		}
	}
}

// Transfers that differ because the host moved a processor are said to.
func TestFarProcessorsAreTold(t *testing.T) {
	rows := make([]Row, 4)
	for i := range rows {
		rows[i] = Row{Run: "1", Contender: "memory-udt", Connections: 1, Status: statusOK, Size: 1e9, Bytes: 1e9, Seconds: 1, Line: 30e-9}
	}
	unsteady := func() string { return summarize(rows)[0].Cells[0].Unsteady }
	rows[0].Line = 170e-9
	if got := unsteady(); got != "" {
		t.Errorf("all alike: %q", got)
	}
	rows[0].Seconds = 2
	if got := unsteady(); !strings.HasSuffix(got, "; for 1 of 4 the processors shared no cache") {
		t.Errorf("one takes twice as long: %q", got)
	}
	rows[1].Line = 0
	if got := unsteady(); !strings.HasSuffix(got, "; for 1 of 3 the processors shared no cache") {
		t.Errorf("of one it is not known: %q", got)
	}
	rows[0].Line = 0
	if got := unsteady(); got == "" || strings.Contains(got, "processors") {
		t.Errorf("where it is not known: %q", got)
	}
}
