package udt

import "testing"

func TestRunLength(t *testing.T) {
	sizes := func(n ...int) (packets [][]byte) {
		for _, n := range n {
			packets = append(packets, make([]byte, n))
		}
		return packets
	}
	repeat := func(n, size int) (packets [][]byte) {
		for range n {
			packets = append(packets, make([]byte, size))
		}
		return packets
	}
	for _, tt := range []struct {
		name    string
		packets [][]byte
		want    int
	}{
		{"one", sizes(1472), 1},
		{"equal", sizes(1472, 1472, 1472), 3},
		{"the last is shorter", sizes(1472, 1472, 20), 3},
		{"nothing behind a shorter one", sizes(1472, 1471, 1471), 2},
		{"a longer one", sizes(20, 1472), 1},
		{"64 KiB with headers", repeat(100, 1472), 44},
		{"64 packets", repeat(100, 500), maxRunPackets},
		{"two jumbo packets", repeat(3, 32_000), 2},
		{"larger than half of 64 KiB", repeat(3, 40_000), 1},
		{"the largest datagram", repeat(3, 65_507), 1},
	} {
		if got := runLength(tt.packets); got != tt.want {
			t.Errorf("%s: %d packets, want %d", tt.name, got, tt.want)
		}
	}
}

func TestOffloadSwitch(t *testing.T) {
	for _, tt := range []struct {
		config   Offload
		variable string
		want     Offload
	}{
		{OffloadDefault, "", OffloadFull},
		{OffloadDefault, "batch", OffloadBatch},
		{OffloadDefault, "off", OffloadOff},
		{OffloadDefault, "no such word", OffloadFull},
		{OffloadFull, "off", OffloadFull},
		{OffloadOff, "batch", OffloadOff},
	} {
		t.Setenv(offloadVariable, tt.variable)
		if got := (&Config{Offload: tt.config}).offload(); got != tt.want {
			t.Errorf("Config says %d, the environment %q: got %d, want %d", tt.config, tt.variable, got, tt.want)
		}
	}
}
