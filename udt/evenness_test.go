package udt

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

func TestEvenness(t *testing.T) {
	var v evenness
	a, b, c := new(group), new(group), new(group)
	for i, step := range []struct {
		at   time.Duration
		g    *group
		rate float64
		want float64
	}{
		{0, a, 300, 0}, // alone
		{0, b, 100, 0.5},
		{0, a, 300, 1.5},
		{0, c, 200, 1},
		{0, b, 400, 4.0 / 3},
		{0, a, 0, 0}, // gone
		{0, c, 400, 1},
		{0, b, 0, 0},
		{0, c, 400, 0},
		{0, a, 400, 1},
		{evenFor / 2, a, 200, 2.0 / 3},
		{evenFor, b, 400, 4.0 / 3}, // c has been silent for too long
		{evenFor * 3 / 2, a, 400, 1},
		{2 * evenFor, a, 400, 0}, // and now b
		{2 * evenFor, c, 400, 1},
		{2 * evenFor, a, 0, 0},
		{2 * evenFor, c, 0, 0},
	} {
		if got := v.note(step.at, step.g, step.rate); got != step.want {
			t.Errorf("step %d: %v of the mean, want %v", i, got, step.want)
		}
	}
	if len(v.rates) != 0 || v.sum != 0 {
		t.Errorf("%v, %v are left", v.rates, v.sum)
	}
}

// A group that has nothing to send any more is not in the mean, although its
// connections stay.
func TestEvennessForgetsIdle(t *testing.T) {
	link := simnet.LinkConfig{Delay: 200 * time.Microsecond, Rate: 50e6, Queue: 128 << 10}
	inMeasuredLab(t, link, nil, func(l *lab) {
		client, server := l.connect()
		host := netip.MustParseAddr("10.0.0.3")
		l.net.SetLinks(host, serverHost, link)
		other := l.endpoint(netip.AddrPortFrom(host, 0), nil)
		busy, _ := l.sendForever(other)
		relative := func() float64 {
			busy.grp.mu.Lock()
			defer busy.grp.mu.Unlock()
			return busy.grp.relative
		}
		const size, rest = 4 << 20, 1 << 20
		go server.Write(make([]byte, size))
		if _, err := io.CopyN(io.Discard, client, size-rest); err != nil {
			t.Fatal(err)
		}
		if relative() == 0 {
			t.Error("two flows were not compared")
		}
		if _, err := io.CopyN(io.Discard, client, rest); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * evenFor)
		if r := relative(); r != 0 {
			t.Errorf("alone it has %v of the mean", r)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Hosts that have links of their own get what those carry, however unequal they
// are: evenness is for who waits for the same processors.
func TestUnequalLocalPaths(t *testing.T) {
	narrow := simnet.LinkConfig{Delay: 200 * time.Microsecond, Rate: 50e6, Queue: 128 << 10}
	wide := simnet.LinkConfig{Delay: 200 * time.Microsecond, Rate: 500e6, Queue: 256 << 10}
	inMeasuredLab(t, wide, nil, func(l *lab) {
		host := netip.MustParseAddr("10.0.0.3")
		l.net.SetLinks(host, serverHost, narrow)
		other := l.endpoint(netip.AddrPortFrom(host, 0), nil)
		_, first := l.sendForever(l.client)
		server, second := l.sendForever(other)
		time.Sleep(time.Second)
		a, b, again, sent := first(), second(), server.Stats().PktRetrans, server.Stats().PktSent
		time.Sleep(2 * time.Second)
		da, db := float64(first()-a)*8/2/1e6, float64(second()-b)*8/2/1e6
		lost := float64(server.Stats().PktRetrans-again) / float64(server.Stats().PktSent-sent)
		t.Logf("%.0f of 500 Mbit/s, %.1f of 50; %.1f %% sent again over the narrow one", da, db, 100*lost)
		if da < 0.85*500 || db < 0.85*50 || lost > 0.02 {
			t.Errorf("%.0f of 500 Mbit/s, %.1f of 50; %.1f %% sent again", da, db, 100*lost)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
}
