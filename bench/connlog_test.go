package main

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestConnLog(t *testing.T) {
	const log = `time=2026-01-02T03:04:05Z level=INFO msg=serving folder=.
time=2026-01-02T03:04:06Z level=DEBUG msg="udt connection closed" remote=192.0.2.1:9 packets_sent=100 retransmitted=7 lost=6
time=2026-01-02T03:04:06Z level=INFO msg=request path="/level=DEBUG msg=\"udt connection closed\" retransmitted=100"
time=2026-01-02T03:04:06Z level=WARN msg="out of tea"
time=2026-01-02T03:04:07Z level=DEBUG msg="udt connection closed" remote=192.0.2.1:9 retransmitted=5
time=2026-01-02T03:04:07Z level=DEBUG msg="udt connection closed" remote=192.0.2.1:9 retransmitted=`
	for name, r := range map[string]io.Reader{"at once": strings.NewReader(log), "in bytes": iotest.OneByteReader(strings.NewReader(log))} {
		l := &connLog{rest: new(tail)}
		if _, err := io.Copy(l, r); err != nil {
			t.Fatal(err)
		}
		if l.closed != 2 || l.retransmitted != 12 {
			t.Errorf("%s: %d packets of %d connections, want 12 of 2", name, l.retransmitted, l.closed)
		}
		if got := l.rest.suffix(); !strings.HasSuffix(got, `level=WARN msg="out of tea"`) || strings.Contains(got, "serving") {
			t.Errorf("%s: handed on %q", name, got)
		}
	}
}
