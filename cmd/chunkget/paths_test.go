package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chunkget/chunkget/udt"
)

func TestPathMemory(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	file := filepath.Join(t.TempDir(), "chunkget", "paths.json")
	recall := func(at time.Time) *pathMemory {
		t.Helper()
		m, err := recallPaths(file, at)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	want := udt.Path{Rate: 95e6, MinRTT: 40500 * time.Microsecond}
	other := recall(now) // of a process that runs at the same time
	if err := recall(now).remember("h:9000", want, leastCompared, now); err != nil {
		t.Fatal(err)
	}
	if err := other.remember("g:9000", want, leastCompared, now); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"h:9000", "g:9000"} {
		if got := recall(now).path(address); got != want {
			t.Errorf("%s: %+v, want %+v", address, got, want)
		}
	}
	if got := recall(now.Add(pathLife)).path("h:9000"); got != (udt.Path{}) {
		t.Errorf("after a day: %+v", got)
	}
	if got := recall(now).path("i:9000"); got != (udt.Path{}) {
		t.Errorf("of another server: %+v", got)
	}
	m := recall(now)
	for i := range maxPaths + 10 {
		if err := m.remember(fmt.Sprintf("n%d:1", i), want, leastCompared, now.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if m = recall(now.Add(time.Second)); len(m.paths) != maxPaths || m.path("h:9000") != (udt.Path{}) {
		t.Errorf("%d entries", len(m.paths))
	}
	if left, err := filepath.Glob(file + ".*"); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}

	for _, broken := range []string{"", "{", "[]", `{"h:9000":{"rate":"x"}}`} {
		if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := recallPaths(file, now)
		if err == nil || m.path("h:9000") != (udt.Path{}) {
			t.Errorf("%q: %v, %+v", broken, err, m.paths)
		}
		if err := m.remember("h:9000", want, leastCompared, now); err != nil || recall(now).path("h:9000") != want {
			t.Errorf("%q was not replaced: %v", broken, err)
		}
	}
	if err := os.WriteFile(file, []byte(`{"h:9000":{"rate":1e30,"min_rtt_ms":1,"rate_at":"2026-01-02T03:04:05Z","at":"2026-01-02T03:04:05Z"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := recall(now).path("h:9000"); got != (udt.Path{}) {
		t.Errorf("a rate that cannot be: %+v", got)
	}
}

// TestPathAges: each thing that is remembered is forgotten in its own time, and rates of
// short downloads are not compared.
func TestPathAges(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	file := filepath.Join(t.TempDir(), "paths.json")
	at := func(after time.Duration) *pathMemory {
		t.Helper()
		m, err := recallPaths(file, begin.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	slow, fast := udt.Path{Rate: 1e6, MinRTT: time.Millisecond}, lesson{tcpRate: 2e6}
	if err := at(0).remember("h:1", slow, leastCompared, begin); err != nil {
		t.Fatal(err)
	}
	// A download each day over what was faster.
	later := 23 * time.Hour
	if err := at(later).learn("h:1", fast, begin.Add(later)); err != nil {
		t.Fatal(err)
	}
	if e := at(later).entry("h:1"); !e.fasterOverTCP() {
		t.Errorf("on the first day: %+v", e)
	}
	if e := at(25 * time.Hour).entry("h:1"); e.fasterOverTCP() || e.Rate != 0 || e.TCPRate != fast.tcpRate {
		t.Errorf("on the second day: %+v", e)
	}
	if err := at(25*time.Hour).remember("h:1", slow, leastRemembered, begin.Add(25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if e := at(25 * time.Hour).entry("h:1"); e.fasterOverTCP() || e.Rate != slow.Rate {
		t.Errorf("after a short download: %+v", e)
	}
	if err := at(25*time.Hour).learn("g:1", lesson{slowUDT: true, noUDP: true, noTCP: true}, begin.Add(25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if e := at(48 * time.Hour).entry("g:1"); e.SlowUDT.IsZero() || e.NoUDP.IsZero() || e.NoTCP.IsZero() {
		t.Errorf("of g: %+v", e)
	}
	if e := at(50 * time.Hour).entry("g:1"); e != (rememberedPath{}) {
		t.Errorf("of g a day later: %+v", e)
	}
	// What was measured last counts.
	for _, l := range []lesson{{slowUDT: true}, {slowTCP: true}, {slowUDT: true}} {
		if err := at(50*time.Hour).learn("f:1", l, begin.Add(50*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if e := at(50 * time.Hour).entry("f:1"); e.SlowUDT.IsZero() == l.slowUDT || e.SlowTCP.IsZero() == l.slowTCP || e.tcpIsBetter() != l.slowUDT {
			t.Errorf("of f after %+v: %+v", l, e)
		}
	}
	if e := at(74 * time.Hour).entry("f:1"); e != (rememberedPath{}) {
		t.Errorf("of f a day later: %+v", e)
	}
}
