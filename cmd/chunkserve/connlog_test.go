package main

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Each UDT connection logs its counters once, those over TCP nothing.
func TestConnLog(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 10_000)
	line := regexp.MustCompile(`level=DEBUG msg="udt connection closed" remote=\S+ elapsed=\S+ packets_sent=(\d+) retransmitted=\d+ lost=\d+ loss_reports=\d+ bytes_sent=(\d+) .*rtt=\S+ .*controller=bbr`)
	for _, tt := range []struct {
		level string
		want  int
	}{{"debug", 1}, {"info", 0}} {
		s := start(t, "--log-level", tt.level, folder(t, map[string]string{"a.bin": content}))
		for _, c := range clients(t) {
			if _, body := get(t, c, "http://"+s.host+"/a.bin"); string(body) != content {
				t.Fatalf("got %d bytes", len(body))
			}
			c.CloseIdleConnections()
		}
		if code := s.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		lines := line.FindAllStringSubmatch(s.stderr.String(), -1)
		if len(lines) != tt.want {
			t.Fatalf("level %s: %d connections logged, want %d: %s", tt.level, len(lines), tt.want, s.stderr)
		}
		// The content and a header, in packets of 1500 bytes or, once that is known to
		// arrive, of 9000.
		for _, m := range lines {
			packets, err1 := strconv.Atoi(m[1])
			bytes, err2 := strconv.Atoi(m[2])
			if err := errors.Join(err1, err2); err != nil || bytes < len(content) || packets < bytes/9000 {
				t.Errorf("too few packets or bytes, %v: %s", err, m[0])
			}
		}
	}
}
