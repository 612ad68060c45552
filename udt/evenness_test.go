package udt

import (
	"net/netip"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

func TestEvenness(t *testing.T) {
	var v evenness
	a, b, c := new(group), new(group), new(group)
	for i, step := range []struct {
		g    *group
		rate float64
		want float64
	}{
		{a, 300, 0}, // alone
		{b, 100, 0.5},
		{a, 300, 1.5},
		{c, 200, 1},
		{b, 400, 4.0 / 3},
		{a, 0, 0}, // gone
		{c, 400, 1},
		{b, 0, 0},
		{c, 400, 0},
		{c, 0, 0},
	} {
		if got := v.note(step.g, step.rate); got != step.want {
			t.Errorf("step %d: %v of the mean, want %v", i, got, step.want)
		}
	}
	if len(v.rates) != 0 || v.sum != 0 {
		t.Errorf("%v, %v are left", v.rates, v.sum)
	}
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
