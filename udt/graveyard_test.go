package udt

import (
	"net/netip"
	"testing"
	"time"
)

// A peer that goes on sending is answered, at most every 250 ms and for a minute.
func TestGraveyardRhythm(t *testing.T) {
	var g graveyard
	peer := netip.MustParseAddrPort("192.0.2.1:4000")
	const at = time.Hour
	g.bury(5, 99, peer, at)
	const ms = time.Millisecond
	for _, tt := range []struct {
		name  string
		id    socketID
		from  netip.AddrPort
		after time.Duration
		want  bool
	}{
		{"first packet", 5, peer, 0, true},
		{"next one", 5, peer, 1, false},
		{"a little later", 5, peer, 249 * ms, false},
		{"in time", 5, peer, 250 * ms, true},
		{"and again", 5, peer, 499 * ms, false},
		{"from elsewhere", 5, netip.AddrPortFrom(peer.Addr(), 4001), time.Second, false},
		{"for another", 6, peer, time.Second, false},
		{"from elsewhere has not counted", 5, peer, time.Second, true},
		{"at the end", 5, peer, graveLife - 1, true},
		{"too late", 5, peer, graveLife, false},
		{"and forgotten", 5, peer, graveLife - 1, false},
	} {
		to, ok := g.visit(tt.id, tt.from, at+tt.after)
		if ok != tt.want || ok && to != 99 {
			t.Errorf("%s: %d, %v, want %v", tt.name, to, ok, tt.want)
		}
	}
	if g.holds(5) {
		t.Error("an expired grave is kept")
	}
}

// The number is bounded; expired graves go first.
func TestGraveyardBound(t *testing.T) {
	var g graveyard
	peer := netip.MustParseAddrPort("192.0.2.1:4000")
	for i := range socketID(maxGraves / 2) {
		g.bury(i+1, 1, peer, time.Second)
	}
	for i := range socketID(3 * maxGraves) {
		id := 10_000 + i
		g.bury(id, 1, peer, time.Second+graveLife)
		if n := len(g.graves); n > maxGraves {
			t.Fatalf("%d graves", n)
		}
		if !g.holds(id) {
			t.Fatal("the latest one is missing")
		}
		if i == maxGraves/2 {
			if g.holds(1) || !g.holds(10_000) {
				t.Error("something else than what had expired made room")
			}
		}
	}
}
