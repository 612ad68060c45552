package udt

import (
	"io"
	"runtime"
	"testing"
)

// Nothing is allocated for each packet, at either end: what remains is for
// timers, bursts that find a pool empty, and the test.
func TestNoAllocationPerPacket(t *testing.T) {
	const warm, size, perMB = 64 << 20, 128 << 20, 20 // a megabyte is 114 packets of 9000 bytes, 687 of 1500
	l, err := Listen("udt4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := (&Dialer{}).DialContext(t.Context(), "udt4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		b := make([]byte, 1<<20)
		var err error
		for n := 0; n < warm+size && err == nil; n += len(b) {
			_, err = s.Write(b)
		}
		sent <- err
	}()
	b := make([]byte, 1<<20)
	read := func(n int64) (mallocs uint64) {
		var m runtime.MemStats
		for ; n > 0; n -= int64(len(b)) {
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&m)
		return m.Mallocs
	}
	before := read(warm)
	each := float64(read(size)-before) / (size / 1e6)
	t.Logf("%.1f allocations per megabyte, both ends", each)
	if each > perMB && !raceEnabled {
		t.Errorf("%.1f allocations per megabyte", each)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
