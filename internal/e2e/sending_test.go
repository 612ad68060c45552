//go:build linux

package e2e

import (
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

var closedController = regexp.MustCompile(`msg="udt connection closed" .* bytes_sent=(\d{5,}) .*controller=(\S+)`)

// The server sends as the client asks, if it is allowed to.
func TestClientChoosesTheController(t *testing.T) {
	const size, rate = 4 << 20, 40e6
	dir := t.TempDir()
	small := randomFile(t, dir, "small.bin", size)
	// The rate needs 13 s for it, so that the signal comes while it does; the background
	// soon has the rest.
	large := randomFile(t, dir, "large.bin", 64<<20)
	for _, tt := range []struct {
		name   string
		server []string
		client []string
		toggle bool
		want   string // controller in the server's log
	}{
		{"default", nil, nil, false, "bbr"},
		{"background", nil, []string{"--background"}, false, "ledbat"},
		{"rate", []string{"--allow-rate", "40M"}, []string{"--rate", "40M"}, false, "fixed"},
		{"rate too high", []string{"--allow-rate", "39M"}, []string{"--rate", "40M"}, false, "bbr"},
		{"background server", []string{"--congestion", "ledbat"}, nil, false, "ledbat"},
		{"toggled", []string{"--allow-rate", "40M"}, []string{"--rate", "40M"}, true, "ledbat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &server{t: t, dir: dir, args: append([]string{"--state", t.TempDir(), "--log-level", "debug"}, tt.server...)}
			s.start("127.0.0.1:0")
			t.Cleanup(s.kill)
			out, original := t.TempDir(), small
			if tt.toggle {
				original = large
			}
			name := filepath.Base(original)
			c := get(t, out, append(tt.client, "-n", "4", "--transport", "udt", s.url("udt", name))...)
			if tt.toggle {
				if !c.until(func(e event) bool { return e.Event == "start" }) {
					t.Fatalf("no start: %s", &c.stderr)
				}
				if err := c.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
					t.Fatal(err)
				}
			}
			d := c.done()
			sameContent(t, original, filepath.Join(out, name))
			if least := size * 8 / rate; tt.want == "fixed" && d.Seconds < least {
				t.Errorf("%.2f s, at the rate it takes %.2f", d.Seconds, least)
			}
			note, noted := c.last("note")
			if refused := tt.name == "rate too high"; noted != (refused || tt.toggle) {
				t.Errorf("note %q", note.Reason)
			}
			if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			s.cmd.Wait()
			lines := closedController.FindAllStringSubmatch(s.log.String(), -1)
			if len(lines) == 0 {
				t.Fatalf("no connection was logged:\n%s", &s.log)
			}
			for _, m := range lines {
				if m[2] != tt.want {
					t.Errorf("the server sent %s bytes with %s, not with %s", m[1], m[2], tt.want)
				}
			}
		})
	}
}
