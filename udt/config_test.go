package udt

import (
	"math"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	var c *Config
	cfg := c.get()
	if v4, v6 := cfg.mss(false), cfg.mss(true); v4 != 1500 || v6 != 1480 {
		t.Errorf("MSS %d and %d", v4, v6)
	}
	// Twice what 1 Gbit/s and 200 ms hold: 2 * 25 MB.
	if w := cfg.recvWindow(1500) * scriptFull; w < 50_000_000 || w > 51_000_000 {
		t.Errorf("receive window of %d bytes", w)
	}
	// Twice what 10 Gbit/s and 100 ms hold.
	for _, w := range []int{cfg.maxRecvWindow(1500) * scriptFull, cfg.sendWindow(1500) * scriptFull} {
		if w < 250_000_000 || w > 270_000_000 {
			t.Errorf("largest window of %d bytes", w)
		}
	}
	if l := DefaultMemory().Limit(); l < 64<<20 || cfg.memory() != DefaultMemory() {
		t.Errorf("%d bytes of memory by default", l)
	}
	if cfg.timeout() != 30*time.Second || cfg.linger() != 10*time.Second || cfg.keepAlive() != 3*time.Second || cfg.backlog() != 256 {
		t.Errorf("timeout %v, linger %v, keepalive %v, backlog %d", cfg.timeout(), cfg.linger(), cfg.keepAlive(), cfg.backlog())
	}
	if _, ok := cfg.congestion().(*bbr); !ok || cfg.logger() == nil {
		t.Error("no congestion control, or no logger")
	}
}

func TestConfigLimits(t *testing.T) {
	// On 32-bit platforms the largest buffer has fewer packets than maxWindow.
	const mostPackets = min(maxWindow, math.MaxInt/(maxMSS-mssOverhead))
	for _, tt := range []struct {
		cfg            Config
		mss            int
		recv, sendPkts int
		keepAlive      time.Duration
	}{
		{Config{MSS: 1, RecvBuffer: 1, SendBuffer: 1, KeepAlive: 1}, 76, 32, 32, time.Second},
		{Config{MSS: 1 << 20, RecvBuffer: math.MaxInt, SendBuffer: math.MaxInt, KeepAlive: time.Hour}, maxMSS, mostPackets, mostPackets, time.Hour},
		{Config{MSS: 1044, RecvBuffer: 100_000, SendBuffer: 200_000}, 1044, 100, 200, 3 * time.Second},
	} {
		mss := tt.cfg.mss(false)
		if mss != tt.mss || tt.cfg.mss(true) != tt.mss {
			t.Errorf("%+v: MSS %d, want %d", tt.cfg, mss, tt.mss)
		}
		if r, s := tt.cfg.recvWindow(mss), tt.cfg.sendWindow(mss); r != tt.recv || s != tt.sendPkts {
			t.Errorf("%+v: windows %d and %d, want %d and %d", tt.cfg, r, s, tt.recv, tt.sendPkts)
		}
		if k := tt.cfg.keepAlive(); k != tt.keepAlive {
			t.Errorf("%+v: keepalive %v, want %v", tt.cfg, k, tt.keepAlive)
		}
	}
}
