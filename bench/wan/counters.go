package wan

import (
	"fmt"
	"math/bits"
	"time"
)

// Count is a number of packets and their size in bytes, IP headers included.
type Count struct{ Packets, Bytes int64 }

func (c *Count) add(size int) {
	c.Packets++
	c.Bytes += int64(size)
}

// Counters tell what happened on the link since it was opened or its counters
// were reset.
type Counters struct {
	Link               Link // that was emulated
	ToServer, ToClient Direction
	Lateness           Lateness // of both directions

	// Failure says why the emulator could not be asked, "" if it could. The
	// other fields are then older.
	Failure string
}

// Direction counts the packets of one direction. Every packet sent ends in
// exactly one of Delivered, Lost, Overflow and Refused, or is still in flight.
type Direction struct {
	Sent      Count // taken from the sending host
	Delivered Count // handed to the receiving host
	Lost      Count // random and burst loss
	Overflow  Count // did not fit into the queue
	Refused   Count // not taken by the kernel of the receiving host
	Reordered Count // held back so that later ones could overtake

	// Missed packets were dropped by the kernel of the sending host, because
	// the emulator did not take them in time. They are not part of Sent.
	Missed int64
}

// Lateness tells how far behind its schedule the emulator delivered packets.
//
// The kernel processes a packet for the receiving host while the emulator hands
// it over, and the next one waits, as it would in the ring of a network card. Such
// waiting, up to 250 µs for each packet, belongs to the host and is no lateness.
type Lateness struct {
	Packets int64         // delivered
	Max     time.Duration // of one packet
	P99     time.Duration // that 99 % of the packets did not exceed, rounded up by at most 1/8

	// Late is the number of packets that left later than Threshold, which is
	// 5 % of the RTT, but at least 200 µs and at most 5 ms.
	Late      int64
	Threshold time.Duration
}

// LateShare returns the share of packets that were late.
func (l Lateness) LateShare() float64 {
	if l.Packets == 0 {
		return 0
	}
	return float64(l.Late) / float64(l.Packets)
}

// What is tolerated before a link counts as not emulated.
const (
	maxLateShare   = 0.01
	maxMissedShare = 0.0001
)

// KeptSchedule reports whether the link was what it was asked to be: whether at
// most 1 % of the packets were late and at most one in 10,000 was missed. If
// not, why says so; measurements over the link then show this machine, not the
// protocol.
func (c Counters) KeptSchedule() (ok bool, why string) {
	if c.Failure != "" {
		return false, "the emulator has failed: " + c.Failure
	}
	missed, sent := c.ToServer.Missed+c.ToClient.Missed, c.ToServer.Sent.Packets+c.ToClient.Sent.Packets
	if float64(missed) > maxMissedShare*float64(sent+missed) {
		return false, fmt.Sprintf("the emulator did not take %d of %d packets in time", missed, sent+missed)
	}
	l := c.Lateness
	if share := l.LateShare(); share > maxLateShare {
		return false, fmt.Sprintf("the emulator delivered %.1f %% of the packets more than %v late (99 %% within %v, the latest %v)",
			100*share, l.Threshold, l.P99.Round(10*time.Microsecond), l.Max.Round(10*time.Microsecond))
	}
	return true, ""
}

// lateness collects the lateness of packets. Bucket 8·e+m counts those with
// e + 4 significant bits of nanoseconds of which the first four are 1 and m, so
// that a bucket is 1/8 of its lower bound wide; shorter ones are in bucket 0.
type lateness struct {
	buckets [8 * 60]int64
	packets int64
	late    int64
	max     time.Duration
}

func bucket(d time.Duration) int {
	if d < 8 {
		return 0
	}
	shift := bits.Len64(uint64(d)) - 4
	return 8*shift + int(uint64(d)>>shift&7)
}

// bucketEnd is the least duration above those of bucket i.
func bucketEnd(i int) time.Duration { return time.Duration(8+i%8+1) << (i / 8) }

func (l *lateness) add(d, threshold time.Duration) {
	d = max(d, 0)
	l.buckets[bucket(d)]++
	l.packets++
	l.max = max(l.max, d)
	if d > threshold {
		l.late++
	}
}

// merge adds what o collected to l.
func (l *lateness) merge(o *lateness) {
	for i, n := range o.buckets {
		l.buckets[i] += n
	}
	l.packets += o.packets
	l.late += o.late
	l.max = max(l.max, o.max)
}

// quantile returns an upper bound of what the share q of packets stayed within.
func (l *lateness) quantile(q float64) time.Duration {
	rest := int64((1 - q) * float64(l.packets))
	for i := len(l.buckets) - 1; i >= 0; i-- {
		if rest -= l.buckets[i]; rest < 0 {
			return min(bucketEnd(i), l.max)
		}
	}
	return 0
}

func (l *lateness) summary(threshold time.Duration) Lateness {
	return Lateness{Packets: l.packets, Max: l.max, P99: l.quantile(0.99), Late: l.late, Threshold: threshold}
}

// maxHostTime is the most that one packet may occupy its receiver; beyond it
// something else must have held up the emulator. An acknowledgement that makes a
// sender of the kernel go through all it has in flight takes 50 µs.
const maxHostTime = 250 * time.Microsecond

// hostSchedule is when a host would deal with the packets that it receives, had
// each been handed to it as soon as it was due and the host done with the one
// before.
type hostSchedule struct{ free time.Time }

// begin returns how late a packet due at arrival is that the host begins to
// deal with now.
func (s *hostSchedule) begin(arrival, now time.Time) time.Duration {
	if s.free.Before(arrival) {
		s.free = arrival
	}
	return now.Sub(s.free)
}

// end tells how long the host has taken for the packet that it began.
func (s *hostSchedule) end(took time.Duration) { s.free = s.free.Add(min(took, maxHostTime)) }
