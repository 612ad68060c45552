package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chunkget/chunkget/fetch"
)

// The check of a file has a bar of its own, which vanishes; then comes that of
// what is fetched. What takes no time has none.
func TestHashingBar(t *testing.T) {
	const mib = 1 << 20
	event := func(done int64) fetch.Event {
		return fetch.Event{Kind: fetch.EventHash, Path: "f", Against: "tree", Done: done, Total: 100 * mib, Rate: 10 * mib, ETA: 4 * time.Second}
	}
	for _, tt := range []struct {
		name   string
		set    func(*ui)
		events []fetch.Event
		bar    bool
	}{
		{"terminal", func(u *ui) { u.terminal = true }, []fetch.Event{event(30 * mib), event(60 * mib), event(100 * mib)}, true},
		{"broken off", func(u *ui) { u.terminal = true }, []fetch.Event{event(60 * mib)}, true},
		{"at once", func(u *ui) { u.terminal = true }, []fetch.Event{event(100 * mib)}, false},
		{"no terminal", func(u *ui) {}, []fetch.Event{event(60 * mib), event(100 * mib)}, false},
		{"quiet", func(u *ui) { u.terminal, u.quiet = true, true }, []fetch.Event{event(60 * mib), event(100 * mib)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var errs bytes.Buffer
			u := newUI(new(bytes.Buffer), &errs)
			tt.set(u)
			b := newBoard(u, 1)
			d := newDisplay(b)
			for _, e := range tt.events {
				d.observe(e)
			}
			d.end(nil)
			u.line("after")
			got := errs.String()
			if bar := regexp.MustCompile(` 60% .* 60\.0 MiB / 100\.0 MiB  10\.0 MiB/s  eta 4s  checking against tree`).MatchString(got); bar != tt.bar {
				t.Errorf("a bar: %v, want %v: %q", bar, tt.bar, got)
			}
			if !strings.HasSuffix(got, "chunkget: after\n") || !tt.bar && got != "chunkget: after\n" {
				t.Errorf("%q", got)
			}
		})
	}
}
