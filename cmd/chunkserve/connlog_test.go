package main

import (
	"regexp"
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
		// 160,000 bytes take 110 packets, and the header of the response some more.
		for _, m := range lines {
			if len(m[1]) < 3 || len(m[2]) < 6 {
				t.Errorf("too few packets or bytes: %s", m[0])
			}
		}
	}
}
