package udt

import "time"

// statusState is the loop's part in telling the peer how we send, and in
// hearing how it does.
type statusState struct {
	statusNo   uint32
	statusNext time.Duration // the group need not be asked before

	heardStatus   told // of a controller that this connection has for itself
	heardStatusNo uint32
}

// told is what a peer has said about its sending.
type told struct {
	stats SenderStats // Age is not kept
	at    time.Duration
	said  bool
}

func (t *told) now(now time.Duration) SenderStats {
	s := t.stats
	if t.said {
		s.Age = now - t.at
	}
	return s
}

const (
	// statusEvery and statusPackets are the time and the packets sent between two
	// status packets of a group, at least. What is no more than a request gets none.
	statusEvery   = 250 * time.Millisecond
	statusPackets = 32
)

// appendDueStatus adds a status packet to a burst if one is due. It rides with
// data only: a connection that sends nothing has no timer for it.
func (c *Conn) appendDueStatus(now time.Duration) {
	if !c.heardAny || now < c.statusNext {
		return
	}
	var due bool
	if due, c.statusNext = c.grp.statusDue(now); !due {
		return
	}
	c.statusNo++
	s := c.sendingStats()
	c.ctl = appendStatus(c.ctl[:0], c.statusNo, c.peerID, &s, c.payload)
	c.batch = append(c.batch, c.ctl)
}

// onStatus takes what the peer says about its sending.
func (c *Conn) onStatus(now time.Duration, no uint32, payload []byte) {
	if c.heardStatusNo != 0 && int32(no-c.heardStatusNo) <= 0 {
		return // overtaken by a later one
	}
	s, ok := parseStatus(payload, c.payload)
	if !ok {
		c.count.invalid++
		return
	}
	c.heardStatusNo = no
	if heard := (told{s, now, true}); s.Controller == nativeName {
		c.heardStatus = heard
	} else {
		c.heardStatus = told{} // the controller may have been changed
		c.grp.hear(heard)
	}
}

// peerStats returns what the peer has said, with its age.
func (c *Conn) peerStats(now time.Duration) SenderStats {
	shared := c.grp.peerStats(now)
	if own := c.heardStatus; own.said && (shared.Controller == "" || own.at > now-shared.Age) {
		return own.now(now)
	}
	return shared
}

// sendingStats tells how we send. Before data has come back the handshake's
// round trip is what is known.
func (c *Conn) sendingStats() SenderStats {
	s := c.grp.stats(c.payload)
	if s.MinRTT == 0 && c.rtt.sampled {
		s.RTT, s.MinRTT = c.rtt.srtt, c.rtt.min
	}
	return s
}

// statusDue reports whether a member is to say now how the group sends, and when
// to ask again.
func (g *group) statusDue(now time.Duration) (due bool, next time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now < g.statusNext || g.unsaid < statusPackets {
		return false, g.statusNext
	}
	g.unsaid, g.statusNext = 0, now+statusEvery
	return true, g.statusNext
}

// hear takes what the peer says of its controller, which serves all members.
func (g *group) hear(t told) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heard = t
}

func (g *group) peerStats(now time.Duration) SenderStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.heard.now(now)
}
