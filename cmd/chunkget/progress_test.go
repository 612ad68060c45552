package main

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chunkget/chunkget/fetch"
)

// play shows a resumed download that ends with err.
func play(u *ui, err error) {
	d := newDisplay(newBoard(u, 1))
	const mib = 1 << 20
	d.observe(fetch.Event{Kind: fetch.EventStart, URL: "udt://h/f\x1b", Path: "f\x1b", Total: 100 * mib, Done: 60 * mib, Resumed: 60 * mib, ETA: -1})
	d.observe(fetch.Event{Kind: fetch.EventProgress, Total: 100 * mib, Done: 80 * mib, Resumed: 60 * mib,
		Rate: 10 * mib, ETA: 1900 * time.Millisecond, Active: 8})
	d.observe(fetch.Event{Kind: fetch.EventRetry, Try: 2, Delay: time.Second, Reason: "lost \x1b[2J"})
	d.observe(fetch.Event{Kind: fetch.EventPieceBad, Piece: 7, Try: 1, Reason: "hash differs"})
	d.observe(fetch.Event{Kind: fetch.EventNote, Reason: "journal was damaged"})
	if err == nil {
		r := &fetch.Result{Path: "f", Bytes: 100 * mib, BytesFetched: 40 * mib, BytesResumed: 60 * mib, PiecesBad: 1,
			Connections: 8, Elapsed: 4 * time.Second, Verified: true}
		d.observe(fetch.Event{Kind: fetch.EventDone, Total: r.Bytes, Done: r.Bytes, Resumed: r.BytesResumed, Result: r})
	}
	d.end(err)
	u.info("after")
}

func TestDisplayWithoutTerminal(t *testing.T) {
	var out, errs bytes.Buffer
	play(newUI(&out, &errs), nil)
	want := `chunkget: fetching "udt://h/f\x1b" to "f\x1b", 100.0 MiB, 60.0 MiB of it already here
chunkget: piece 7 is bad and will be fetched again: hash differs (try 1)
chunkget: note: journal was damaged
chunkget: saved "f": 100.0 MiB in 4s (10.0 MiB/s), 8 connections, 60.0 MiB resumed, 1 bad piece fetched again, verified, root ` +
		strings.Repeat("0", 64) + "\nchunkget: after\n"
	if errs.String() != want {
		t.Errorf("stderr:\n%s\nwant:\n%s", errs.String(), want)
	}
	if out.Len() > 0 {
		t.Errorf("stdout: %q", out.String())
	}
}

func TestDisplayOnTerminal(t *testing.T) {
	for name, err := range map[string]error{"done": nil, "failed": errors.New("x")} {
		t.Run(name, func(t *testing.T) {
			var errs bytes.Buffer
			u := newUI(new(bytes.Buffer), &errs)
			u.terminal = true
			play(u, err)
			got := errs.String()
			bar := regexp.MustCompile(` 80% .* 80\.0 MiB / 100\.0 MiB  10\.0 MiB/s  eta 2s  8 connections`)
			if err == nil {
				bar = regexp.MustCompile(`100% .* 100\.0 MiB / 100\.0 MiB `)
			}
			if !bar.MatchString(got) {
				t.Errorf("no bar like %s in %q", bar, got)
			}
			for _, want := range []string{"request failed and is made again in 1s: lost \\x1b[2J (try 2)\n", "piece 7 is bad", "journal was damaged"} {
				if !strings.Contains(got, want) {
					t.Errorf("no message %q in %q", want, got)
				}
			}
			// Escape sequences of mpb itself move the cursor up and erase lines.
			if rest := regexp.MustCompile("\x1b\\[[0-9]*[AJK]").ReplaceAllString(got, ""); strings.Contains(rest, "\x1b") {
				t.Errorf("foreign escape sequences in %q", got)
			}
			if !strings.HasSuffix(got, "chunkget: after\n") {
				t.Errorf("messages after the bar go astray: %q", got)
			}
		})
	}
}

func TestNoBarWithQuietOrJSON(t *testing.T) {
	for _, set := range []func(*ui){func(u *ui) { u.quiet = true }, func(u *ui) { u.json = true }} {
		var errs bytes.Buffer
		u := newUI(new(bytes.Buffer), &errs)
		u.terminal = true
		set(u)
		play(u, nil)
		if errs.Len() > 0 {
			t.Errorf("stderr: %q", errs.String())
		}
	}
}

func TestDisplayOfUnknownSize(t *testing.T) {
	var errs bytes.Buffer
	u := newUI(new(bytes.Buffer), &errs)
	u.terminal = true
	d := newDisplay(newBoard(u, 1))
	d.observe(fetch.Event{Kind: fetch.EventStart, URL: "u", Path: "f", Total: -1, ETA: -1})
	d.observe(fetch.Event{Kind: fetch.EventProgress, Total: -1, Done: 3 << 20, Rate: 1 << 20, ETA: -1, Active: 1})
	d.end(nil)
	if got := errs.String(); !strings.Contains(got, "size not known") || !strings.Contains(got, "3.0 MiB  1.0 MiB/s") {
		t.Errorf("got %q", got)
	}
}

func TestPercentIsRoundedDown(t *testing.T) {
	for _, tt := range []struct {
		done, total int64
		want        string
	}{
		{0, 100, "  0%"}, {1, 1000, "  0%"}, {999, 1000, " 99%"}, {1000, 1000, "100%"},
		{1<<62 - 1, 1 << 62, " 99%"}, {0, 0, "100%"},
	} {
		if got := percentText(fetch.Event{Done: tt.done, Total: tt.total}); got != tt.want {
			t.Errorf("%d of %d: %q, want %q", tt.done, tt.total, got, tt.want)
		}
	}
}
