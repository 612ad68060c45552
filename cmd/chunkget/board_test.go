package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/fetch"
)

// Several files share a display: a line about all below one bar for each, which
// vanishes with its end; messages stay.
func TestBoardOfSeveralFiles(t *testing.T) {
	var errs bytes.Buffer
	u := newUI(new(bytes.Buffer), &errs)
	u.terminal = true
	b := newBoard(u, 3)
	var shown []*display
	for _, name := range []string{"a", "dir/b\x1b[2J", strings.Repeat("long", 20)} {
		d := newDisplay(b)
		b.begin()
		d.observe(fetch.Event{Kind: fetch.EventStart, URL: "udt://h/", Path: name, Total: 100 << 20, ETA: -1})
		d.observe(fetch.Event{Kind: fetch.EventProgress, Total: 100 << 20, Done: 10 << 20, Rate: 1 << 20, ETA: -1, Active: 2})
		shown = append(shown, d)
	}
	if got, want := b.text(), "0 of 3 files  30.0 MiB  3.0 MiB/s  6 connections"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	for i, d := range shown {
		var err error
		if i == 1 {
			err = errors.New("lost")
		}
		d.end(err)
		b.end(&fetch.Result{Bytes: 100 << 20}, err)
	}
	if got, want := b.text(), "2 of 3 files, 1 failed  200.0 MiB  0 B/s  0 connections"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	b.close()
	u.info("after")
	got := errs.String()
	if !strings.HasSuffix(got, "chunkget: after\n") || strings.Count(got, "fetching") != 3 || strings.Contains(got, "\x1b[2J") {
		t.Errorf("%q", got)
	}
}

func TestBarName(t *testing.T) {
	for in, want := range map[string]string{
		"x/file.bin":               "file.bin                 ",
		strings.Repeat("0123", 10): "012301230123…12301230123 ",
		"a\x1bb":                   `a\x1bb                   `,
	} {
		if got := barName(in); got != want {
			t.Errorf("barName(%q) = %q, want %q", in, got, want)
		}
	}
}
