package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/printable"
	"github.com/chunkget/chunkget/udtpool"
	"golang.org/x/term"
)

// Rules for all text of this command.
//
//   - Messages go to stderr, one line each, with the prefix "chunkget: ". They
//     begin with a small letter and end without a period.
//   - A failure is a line "error: ...", what the user can do about it a line
//     "hint: ..." after it.
//   - stdout carries only what was asked for: events with --json, the file with
//     -o -, what verify, inspect, doctor and demo find, help and version.
//   - Nothing that came from a server or the command line reaches the terminal
//     with control or invisible characters in it: names are quoted with quote,
//     and every line passes printable.Text.
//   - All that is printed and says anything of a server passes the veil, so that
//     no secret is in it that a server has repeated.
//   - Colour only makes "error:" and "hint:" easier to find, on a terminal that
//     is not dumb, and not with NO_COLOR set (https://no-color.org).
//   - Sizes are in KiB, MiB, GiB; rates in MiB/s; durations in s, m, h.

// ui owns stdout and stderr. Its methods may be called from several goroutines.
type ui struct {
	stdout   io.Writer
	veil     fetch.Veil
	terminal bool // stderr is a terminal
	colour   bool

	mu      sync.Mutex
	stderr  io.Writer // guarded by mu; a progress display takes it over while it runs
	quiet   bool      // set before the first download
	verbose bool
	json    bool
}

func newUI(stdout, stderr io.Writer) *ui {
	t := isTerminal(stderr)
	return &ui{
		stdout: &lineWriter{w: stdout}, stderr: stderr, terminal: t,
		colour: t && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// lineWriter lets several goroutines write whole lines.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

func (l *lineWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// divert sends messages to w until it is called again, and returns where they
// went before.
func (u *ui) divert(w io.Writer) (previous io.Writer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	previous, u.stderr = u.stderr, w
	return previous
}

// shown makes text safe to show.
func (u *ui) shown(text string) string { return printable.Text(u.veil.Text(text)) }

// events writes events that are about no URL, or about one that is not known yet.
func (u *ui) events() *eventWriter { return &eventWriter{w: u.stdout, veil: &u.veil} }

// eventsOf writes those of a transfer.
func (u *ui) eventsOf(target *url.URL, connections int) *eventWriter {
	w := u.events()
	w.url, w.connections = fetch.RedactURL(target), connections
	return w
}

// line prints one message.
func (u *ui) line(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	text := u.shown(fmt.Sprintf(format, args...))
	if u.colour {
		text = highlight(text)
	}
	fmt.Fprintf(u.stderr, "chunkget: %s\n", text)
}

// highlight colours the first word of a message that is an error or a hint (ECMA
// 48, SGR). The text must be clean.
func highlight(text string) string {
	for word, sgr := range map[string]string{"error:": "1;31", "hint:": "36"} {
		if rest, ok := strings.CutPrefix(text, word); ok {
			return "\x1b[" + sgr + "m" + word + "\x1b[0m" + rest
		}
	}
	return text
}

// info prints a message that --quiet and --json suppress.
func (u *ui) info(format string, args ...any) {
	if !u.quiet && !u.json {
		u.line(format, args...)
	}
}

// note tells, as text or as an event, what is out of the ordinary and no error.
func (u *ui) note(format string, args ...any) {
	if u.json {
		u.events().write(noteEvent{Event: "note", Reason: fmt.Sprintf(format, args...)})
		return
	}
	u.info("note: "+format, args...)
}

// detail prints a message that only -v or somebody at a terminal gets to see.
func (u *ui) detail(format string, args ...any) {
	if u.verbose || u.terminal {
		u.info(format, args...)
	}
}

// fail prints an error with its hint. which names the one of several URLs that it
// is about, or is empty.
func (u *ui) fail(which string, err error) {
	if which != "" {
		which += ": "
	}
	u.line("error: %s%v", which, err)
	if h := hintOf(err); h != "" {
		u.line("hint: %s", h)
	}
}

// hintOf returns what the user can do about err, or "". It names flags where
// package fetch can only name options.
func hintOf(err error) string {
	if e, ok := errors.AsType[*usageError](err); ok {
		return e.hint
	}
	switch {
	case kindOf(err) == fetch.KindRemoteChanged:
		return "to discard the partial data and fetch the new version, add --restart"
	case kindOf(err) == fetch.KindAuth:
		return authHint(err)
	case kindOf(err) == fetch.KindDisk && errors.Is(err, fs.ErrExist):
		return "to replace it, add --overwrite; to keep it, name another file with -o FILE"
	}
	if d, ok := errors.AsType[*udtpool.DialError](err); ok && !unresolved(err) {
		return fmt.Sprintf("check that a server runs at %s and that firewalls let UDP through to its port", d.Address)
	}
	if e, ok := errors.AsType[*fetch.Error](err); ok {
		return e.Hint
	}
	return ""
}

// unresolved reports whether err is about the name of a host, to which nothing was
// sent.
func unresolved(err error) bool {
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}

// authHint is hintOf for what is about identities.
func authHint(err error) string {
	e, ok := errors.AsType[*fetch.Error](err)
	switch {
	case ok && e.StatusCode == http.StatusUnauthorized && e.Hint == "":
		return "give a token with --token-file FILE, or a login in ~/.netrc"
	case ok:
		return e.Hint
	}
	return ""
}

// Write passes on the log records of -v.
func (u *ui) Write(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for line := range strings.Lines(string(b)) {
		fmt.Fprintf(u.stderr, "chunkget: debug: %s\n", u.shown(strings.TrimRight(line, "\n")))
	}
	return len(b), nil
}

// quote makes a remote string safe to print and shows where it ends.
func quote(s string) string { return strconv.Quote(s) }

// shellQuote writes args so that a POSIX shell reads them back.
func shellQuote(args []string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+"
	out := make([]string, len(args))
	for i, a := range args {
		if a != "" && strings.Trim(a, plain) == "" {
			out[i] = a
			continue
		}
		out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(out, " ")
}

// formatBytes writes n with a binary unit and three or four digits.
func formatBytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1023.95 && i < len(units)-1 {
		f /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

// formatRate writes a rate in bytes per second.
func formatRate(r float64) string {
	if !(r > 0 && r < 1<<62) {
		return "0 B/s"
	}
	return formatBytes(int64(r)) + "/s"
}

// formatDuration writes d with a precision that suits its length.
func formatDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "--"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	d = d.Round(time.Second)
	if d < time.Minute {
		return d.String()
	}
	if d < time.Hour {
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}
