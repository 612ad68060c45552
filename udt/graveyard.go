package udt

import (
	"net/netip"
	"time"
)

// graveyard remembers connections that were closed here for a while. UDT has
// no acknowledged end: a peer that missed the Shutdown goes on sending, and is
// told again.
type graveyard struct{ graves map[socketID]*grave }

type grave struct {
	peer     socketID
	remote   netip.AddrPort
	until    time.Duration
	answered time.Duration // latest answer
}

const (
	graveLife = time.Minute
	// graveRhythm bounds the answers of one grave.
	graveRhythm = 250 * time.Millisecond
	maxGraves   = 1024
)

func (g *graveyard) holds(id socketID) bool { return g.graves[id] != nil }

func (g *graveyard) bury(id, peer socketID, remote netip.AddrPort, now time.Duration) {
	if g.graves == nil {
		g.graves = make(map[socketID]*grave)
	}
	if len(g.graves) >= maxGraves {
		g.clear(now)
	}
	g.graves[id] = &grave{peer: peer, remote: remote, until: now + graveLife}
}

// clear makes room: everything expired goes, and one more if that is nothing.
func (g *graveyard) clear(now time.Duration) {
	for id, gr := range g.graves {
		if gr.until <= now {
			delete(g.graves, id)
		}
	}
	for id := range g.graves {
		if len(g.graves) < maxGraves {
			return
		}
		delete(g.graves, id)
	}
}

// visit reports whether a packet for id from the given address is to be
// answered with a Shutdown, and for which id of the peer.
func (g *graveyard) visit(id socketID, from netip.AddrPort, now time.Duration) (peer socketID, ok bool) {
	gr := g.graves[id]
	if gr == nil || gr.remote != from {
		return 0, false
	}
	if now >= gr.until {
		delete(g.graves, id)
		return 0, false
	}
	if gr.answered != 0 && now-gr.answered < graveRhythm {
		return 0, false
	}
	gr.answered = now
	return gr.peer, true
}
