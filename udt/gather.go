package udt

import (
	"sync/atomic"
	"time"
)

// gatherer lets packets come together before they are read. A packet that comes
// alone wakes the read goroutine, a loop and whoever reads the data, which costs
// several times what the packet itself does. What the kernel stamps and keeps
// meanwhile loses neither its time of arrival nor its order, and the report to
// the sender says how long the packet has waited here, so nothing that is measured
// changes. The pause is a small part of the round trip, and only a steady flow has
// one. A peer without feedback hears of its packets by the clock of UDT, whose tick
// counts as a part of the round trip then.
//
// The fields but nearest belong to the read goroutine.
type gatherer struct {
	nearest atomic.Int64 // shortest round trip of any connection so far, ns; 0 = none is known
	most    int          // datagrams that may come in a pause; set before use

	since time.Duration // when the socket was last seen empty
	count int           // datagrams since then
	bytes int
	fast  int // times in a row that it was, after a fast flow
}

const (
	// maxGather is what timers resolve where the process has nothing else to do,
	// and minGather not worth a pause.
	maxGather = time.Millisecond
	minGather = 200 * time.Microsecond
	// gatherPart is the part of the shortest round trip that a pause may take.
	gatherPart = 20
	// steadyFlow is the number of datagrams in a millisecond from which on a flow
	// is gathered.
	steadyFlow = 4
	// A flow that has been fast briefAfter times, of which briefLeast datagrams come in
	// it, is given a pause of briefGather over any path: who reads faster than the sender
	// sends would sleep and be woken for each of its bursts, which costs both of them
	// more than the burst. Feedback comes a little later, as over a path that is longer.
	briefGather = 100 * time.Microsecond
	briefLeast  = 32
	briefAfter  = 8
	// A pause may fill a part of the kernel's buffer only, for timers are late: a
	// quarter if each datagram takes gatheredSize bytes of it, twice what we asked
	// for, and no more than mostGathered. leastGathered is for a buffer that is not known.
	gatheredSize  = 4 << 10
	leastGathered = 32
	mostGathered  = 256
	// dataSize is the mean size from which on datagrams are taken for data, not for
	// reports, which a sender wants at once.
	dataSize = 512
)

// newGatherer makes one for a socket with a receive buffer of some bytes, 0 if that
// is not known.
func newGatherer(buffer int) gatherer {
	return gatherer{most: max(leastGathered, min(2*buffer/gatheredSize/4, mostGathered))}
}

// near tells of a round trip.
func (g *gatherer) near(rtt time.Duration) {
	for {
		old := g.nearest.Load()
		if rtt <= 0 || old != 0 && old <= int64(rtt) || g.nearest.CompareAndSwap(old, int64(rtt)) {
			return
		}
	}
}

// pause returns how long to wait before the socket is read again, after runs were
// read at now that left it empty, or not.
func (g *gatherer) pause(now time.Duration, runs []inbound, empty bool) time.Duration {
	for i := range runs {
		g.count += runs[i].datagrams()
		g.bytes += len(runs[i].data)
	}
	if !empty || len(runs) == 0 {
		return 0
	}
	rate := float64(g.count) / float64(max(now-g.since, 1)) // datagrams in a nanosecond
	data := g.bytes >= g.count*dataSize
	g.since, g.count, g.bytes = now, 0, 0
	nearest := time.Duration(g.nearest.Load())
	if !data || rate < steadyFlow/float64(time.Millisecond) || runs[0].stamp == 0 {
		g.fast = 0
		return 0
	}
	room := time.Duration(float64(g.most) / rate)
	if d := min(maxGather, nearest/gatherPart, room); d >= minGather {
		return d
	}
	if rate*float64(briefGather) < briefLeast || room < briefGather/2 {
		g.fast = 0
	} else if g.fast++; g.fast > briefAfter {
		return min(briefGather, room)
	}
	return 0
}

// rest waits for d. A timer of the runtime is up to a millisecond late, so it is the
// kernel's for a short time.
func rest(d time.Duration) {
	if d > briefGather {
		time.Sleep(d)
	} else if d > 0 {
		nap(d)
	}
}
