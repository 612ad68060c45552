package udt

import (
	"net"
	"testing"
)

// A socket is crowded once half of its receive buffer is taken.
func TestCrowded(t *testing.T) {
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	to := pc.LocalAddr()
	b, err := newBatchIO(pc, new(Config), OffloadBatch, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.kernel.Close()
	from, err := net.Dial("udp4", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	send := func(n int) {
		t.Helper()
		for range n {
			if _, err := from.Write(make([]byte, 1400)); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(5)
	if b.crowded() {
		t.Error("crowded with 7 of 128 KiB")
	}
	send(200)
	if !b.crowded() {
		t.Error("not crowded although packets were dropped")
	}
}
