package main

import (
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/connstats"
	"github.com/chunkget/chunkget/udt"
)

func TestConnLine(t *testing.T) {
	full := connstats.Row{ID: 3, Age: 4 * time.Second, Rate: 8 << 20, Stats: connstats.Stats{
		Transport: "udt", Remote: "192.0.2.1:9000", Bytes: 12 << 20, Known: true,
		Path: udt.SenderStats{Controller: "bbr", State: "cruise", RTT: 52300 * time.Microsecond, MinRTT: 50 * time.Millisecond, Loss: 0.0123},
	}}
	ended := full
	ended.Ended = true
	for _, tt := range []struct {
		row  connstats.Row
		last bool
		want string
	}{
		{full, false, "connection 3 over udt to 192.0.2.1:9000: 12.0 MiB, 1.0 MiB/s, rtt 52.3 ms (least 50.0 ms, queue 2.3 ms), loss 1.23 %, bbr cruise"},
		{full, true, "connection 3 over udt to 192.0.2.1:9000: 12.0 MiB in 4s, 3.0 MiB/s, rtt 52.3 ms (least 50.0 ms, queue 2.3 ms), loss 1.23 %, bbr cruise"},
		{ended, false, "connection 3 over udt to 192.0.2.1:9000: 12.0 MiB in 4s, 3.0 MiB/s, rtt 52.3 ms (least 50.0 ms, queue 2.3 ms), loss 1.23 %, bbr cruise"},
		{connstats.Row{ID: 1, Rate: 800, Stats: connstats.Stats{Transport: "tcp", Remote: "h:80", Bytes: 5}}, false, "connection 1 over tcp to h:80: 5 B, 100 B/s"},
	} {
		if got := connLine(&tt.row, tt.last); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}
