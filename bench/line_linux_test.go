package main

import (
	"runtime"
	"testing"
)

func TestLineTime(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("there is one processor")
	}
	d := lineTime()
	if d < 0 || d > lineBound {
		t.Errorf("%v", d)
	}
	t.Logf("a cache line takes %v", d)
}
