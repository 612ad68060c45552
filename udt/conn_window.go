package udt

import "time"

// windowState is the loop's part in sizing the receive buffer. How much the
// peer may send follows what the reader takes, in the manner of Linux's dynamic
// right-sizing: twice what it has taken in a round trip, more while that
// grows, and beside it what waits behind holes. What has been offered is
// reserved in the endpoint's Memory, but for connections on which nothing has
// arrived for a while: those have offered startPackets at most, and reserve
// memory for them with the first one.
type windowState struct {
	target   int   // packets that the buffer should hold
	offered  int   // packets that it offers to hold, as far as there is memory
	reserved int64 // bytes of the Memory
	accept   int   // how far ahead of the reader packets are taken: what is reserved for
	edge     int64 // where the room ends that the peer has been offered, see recvBuffer.passed

	roundAt time.Duration // when the current round trip began
	roundX  int64         // and the measure of progress then
	taken   int64         // progress in one of the latest, fading

	answeredIn time.Duration // a round trip and the time between repeated requests, 0 = not known

	idleAt time.Duration // when to look whether anything still arrives, 0 = nothing is reserved
}

const (
	// startPackets is the window of a connection about which nothing is known:
	// some more than what a start that grows 32-fold sends in its second round
	// trip. It takes no more than startBytes.
	startPackets = 2560
	startBytes   = 16 << 20
	// leastWindow is what a connection may always hold, in packets.
	leastWindow = chunkPackets
	// spareChunks lie beyond what is offered: one because the reader is somewhere
	// in the first chunk, one for hiddenReserve.
	spareChunks = 2
	// recvOwnChunks and sendOwnChunks are what a connection may hold in any case.
	recvOwnChunks = leastWindow/chunkPackets + spareChunks
	sendOwnChunks = 2
	// minRound is the least time over which the reader is measured: on paths that
	// are shorter, processors take turns for longer than a round trip.
	minRound = 5 * time.Millisecond
	// unknownRound stands in for a round trip that has not been measured: a
	// server's that has not sent anything yet. It covers satellites.
	unknownRound = 600 * time.Millisecond
	// longestRound bounds what a sender may say that round trips take.
	longestRound = 3 * time.Second
	// windowExcess is the part of what was of no use that a round trip takes away.
	windowExcess = 4
	// windowSlack in packets is for what is measured late, and windowFade the part
	// of a window that a round trip without need for it takes away.
	windowSlack = 16
	windowFade  = 64
	// idleAfter is how long a connection without arrivals keeps its memory.
	idleAfter = time.Second
)

// startWindow is the number of packets that a new connection is offered.
func (c *Conn) startWindow() int { return min(startPackets, max(leastWindow, startBytes/c.payload)) }

// maxOffer is the largest window that the peer may see. Other peers than ours
// keep tables of the size that the handshake said.
func (c *Conn) maxOffer() int {
	if c.reports {
		return c.ep.cfg.maxRecvWindow(c.payload + mssOverhead)
	}
	return c.window
}

// ownMemory is what belongs to the connection while it is open, in bytes.
func (c *Conn) ownMemory() int64 {
	return recvOwnChunks*chunkCost(c.payload) + c.snd.ownMemory()
}

// initWindow offers what a new connection gets.
func (c *Conn) initWindow() {
	c.target = min(c.startWindow(), c.window)
	c.offer(c.target)
}

func (c *Conn) offer(n int) {
	c.offered = min(n, c.maxOffer())
	c.rcv.capacity.Store(int64(c.offered))
}

// reserve takes memory for a window of target packets, but at least for least.
func (c *Conn) reserve(least int) {
	unit := chunkCost(c.payload)
	need := func(packets int) int64 {
		return int64((packets+chunkPackets-1)/chunkPackets+spareChunks) * unit
	}
	m := c.ep.memory
	own := recvOwnChunks * unit
	share := int(m.share(c.reserved, own)/unit-spareChunks) * chunkPackets
	c.offer(min(c.target, share))
	c.reserved = m.resize(c.reserved, need(max(c.offered, least)), need(least), own)
	has := int(c.reserved/unit-spareChunks) * chunkPackets
	c.offer(min(c.offered, has))
	c.accept = has + hiddenReserve
	c.in.widen(c.accept * (c.payload + mssOverhead))
}

// makeRoomLocked looks for memory for packet i, which lies beyond what is
// reserved: the first one after a time without any, or one that was offered room
// before that time. c.rcv.mu is held.
func (c *Conn) makeRoomLocked(now time.Duration, i int64) {
	if c.reserved > 0 {
		if i-c.rcv.next >= c.edge-c.rcv.passed {
			return
		}
		c.target = max(c.target, min(int(i-c.rcv.read)+1, c.maxOffer()))
	} else {
		c.roundAt, c.roundX, c.taken = now, c.rcv.progressLocked(), 0
		c.idleAt = now + idleAfter
	}
	c.reserve(0)
}

// sizeWindowLocked sets the window: after each round trip, and within one when
// it is seen to be too small. c.rcv.mu is held.
func (c *Conn) sizeWindowLocked(now time.Duration) {
	if c.reserved == 0 {
		return
	}
	x, weight := c.rcv.progressLocked(), int64(weigh(c.fullSize, c.payload))
	taken, behind := weight*(x-c.roundX), weight*(c.rcv.top-c.rcv.next)
	round := c.round(now)
	elapsed := now - c.roundAt
	switch {
	case elapsed >= round:
		if elapsed > 2*round {
			taken = int64(float64(taken) * float64(round) / float64(elapsed))
		}
		if !c.rcv.awayLocked() {
			trips := 1.0
			if trip := c.roundTrip(now); trip > 0 {
				trips = float64(round) / float64(trip)
			}
			c.target = nextWindow(c.target, taken, c.taken, behind, trips, c.rcv.leftLocked(), c.maxOffer())
		}
		c.taken = max(taken, c.taken*3/4)
		c.roundAt, c.roundX = now, x
		c.rcv.lookLocked()
	case 2*taken+behind > int64(c.target) && c.target < c.maxOffer() && c.rcv.leftLocked() == 0:
		c.target = min(int(2*taken+behind)*5/4, c.maxOffer())
	default:
		return
	}
	c.reserve(int(c.edge-c.rcv.passed) + c.rcv.heldLocked())
}

// round is the time over which the reader is measured, a round trip or what is
// certainly not less than that.
func (c *Conn) round(now time.Duration) time.Duration {
	if trip := c.roundTrip(now); trip > 0 {
		return max(trip, minRound)
	}
	if c.answeredIn > 0 {
		return max(c.answeredIn, minRound)
	}
	return unknownRound
}

// roundTrip is the longer one of ours and that of which the sender tells, 0 if both are
// unknown. Who only reads has measured one when it asked, and none since a queue has
// grown: twice of what is taken in that time would be less than what is in flight.
func (c *Conn) roundTrip(now time.Duration) time.Duration {
	own := time.Duration(0)
	if c.rtt.sampled {
		own = c.rtt.srtt
	}
	return max(own, min(c.peerStats(now).RTT, longestRound))
}

// nextWindow returns the window that follows a number of round trips, trips, in which the reader
// took so many packets, after before in as many before, while behind stood behind
// holes. A sender that is still growing will want more than twice of what was taken
// in one: by the time it hears of the window, it has grown twice.
//
// What readers have always left in order, left, was of no use, and more of it would not
// make them faster.
func nextWindow(window int, taken, before, behind int64, trips float64, left, most int) int {
	if left > 0 {
		least := int(2*max(taken, before)+behind) + windowSlack
		return max(leastWindow, min(window, max(least, window-left/windowExcess), most))
	}
	want := float64(2*taken + windowSlack)
	if taken > before {
		growth := 2.0
		if before > 0 {
			growth = min(growth, float64(taken-before)/float64(before))
		}
		want += 2 * growth * want / trips
	}
	// Giving back slowly rides out a round trip without arrivals.
	window -= window / windowFade
	return max(leastWindow, min(max(int(want)+int(behind), window), most))
}

// onIdle gives memory back once nothing arrives any more. A peer that has been
// offered much more than a new connection is told.
func (c *Conn) onIdle(now time.Duration) {
	if c.idleAt = c.lastDataAt + idleAfter; now < c.idleAt {
		return
	}
	c.rcv.mu.Lock()
	empty := c.rcv.read == c.rcv.top
	promised := c.edge - c.rcv.passed
	c.rcv.mu.Unlock()
	if !empty {
		c.idleAt = now + idleAfter // the reader takes its time
		return
	}
	c.ep.memory.resize(c.reserved, 0, 0, recvOwnChunks*chunkCost(c.payload))
	c.reserved, c.accept, c.idleAt = 0, 0, 0
	c.initWindow()
	if c.reports && promised > int64(c.offered) {
		c.edge = 0
		c.sendFeedback(now)
	}
}
