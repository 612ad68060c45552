package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chunkget/chunkget/fetch"
)

func TestShellQuote(t *testing.T) {
	for _, tt := range []struct {
		in   []string
		want string
	}{
		{[]string{"-n", "8", "udt://h:9000/a.iso"}, "-n 8 udt://h:9000/a.iso"},
		{[]string{"a b", "it's", "", "x&y", "~", "$HOME", "a\nb"}, `'a b' 'it'\''s' '' 'x&y' '~' '$HOME' 'a` + "\n" + `b'`},
		{[]string{"http://h/?a=1&b=2"}, "'http://h/?a=1&b=2'"},
	} {
		if got := shellQuote(tt.in); got != tt.want {
			t.Errorf("shellQuote(%q) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB",
		256 << 20: "256.0 MiB", 1536 << 20: "1.5 GiB", 1<<63 - 1: "8.0 EiB", 1000 << 30: "1000.0 GiB",
	} {
		if got := formatBytes(n); got != want {
			t.Errorf("formatBytes(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-1:                                    "--",
		0:                                     "0s",
		234567 * time.Microsecond:             "235ms",
		1234 * time.Millisecond:               "1.2s",
		59*time.Second + 600*time.Millisecond: "1m00s",
		12 * time.Second:                      "12s",
		61 * time.Second:                      "1m01s",
		3*time.Hour + 5*time.Minute:           "3h05m",
		100 * time.Hour:                       "100h00m",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%v) = %s, want %s", d, got, want)
		}
	}
	for _, r := range []float64{-1, 0, 1e300} {
		if got := formatRate(r); got != "0 B/s" {
			t.Errorf("formatRate(%g) = %s", r, got)
		}
	}
}

func TestMessagesArePrefixedAndClean(t *testing.T) {
	var out, errs strings.Builder
	u := newUI(&out, &errs)
	u.info("name %s", quote("a\x1b[2Jb"))
	u.fail("", &usageError{"bad\nthing", "do\x07 this"})
	want := "chunkget: name \"a\\x1b[2Jb\"\n" +
		"chunkget: error: bad\\nthing\n" +
		"chunkget: hint: do\\a this\n"
	if errs.String() != want || out.String() != "" {
		t.Errorf("stderr %q, want %q; stdout %q, want nothing", errs.String(), want, out.String())
	}
	errs.Reset()
	u.quiet = true
	u.info("not to be seen")
	u.fail("", &usageError{msg: "seen"})
	if errs.String() != "chunkget: error: seen\n" {
		t.Errorf("with --quiet: %q", errs.String())
	}
}

// A command to go on with is one that works, or says what it lacks.
func TestCommandToGoOnWith(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-n", "4", "http://h/a"}, "hint: to go on, run: chunkget -n 4 http://h/a"},
		{[]string{"--header", "Authorization: Bearer x", "http://h/a"},
			"hint: to go on, fill in what is hidden here (xxxxx, REDACTED) and run: chunkget --header 'Authorization: xxxxx' http://h/a"},
		{[]string{"http://h/a?token=x&b=c"},
			"hint: to go on, fill in what is hidden here (xxxxx, REDACTED) and run: chunkget 'http://h/a?token=REDACTED&b=c'"},
	} {
		var out, errs strings.Builder
		report(newUI(&out, &errs), "", &fetch.Error{Kind: fetch.KindInterrupted, Err: errors.New("x"), Resumable: true}, tt.args)
		if !strings.HasSuffix(errs.String(), "chunkget: "+tt.want+"\n") {
			t.Errorf("%q: %s want %s", tt.args, errs.String(), tt.want)
		}
	}
}

func TestBadText(t *testing.T) {
	for ranges, want := range map[int]string{1: "16.0 KiB in 1 range is wrong, missing, or too many", 2: "16.0 KiB in 2 ranges are wrong, missing, or too many"} {
		if got := badText(16<<10, ranges); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestColour(t *testing.T) {
	var errs bytes.Buffer
	u := newUI(new(bytes.Buffer), &errs)
	u.colour = true
	u.fail("", &usageError{"bad \x1b[2J", "do this"})
	u.info("plain")
	want := "chunkget: \x1b[1;31merror:\x1b[0m bad \\x1b[2J\nchunkget: \x1b[36mhint:\x1b[0m do this\nchunkget: plain\n"
	if errs.String() != want {
		t.Errorf("%q, want %q", errs.String(), want)
	}
}
