package udt

import "time"

// burstRecord is what is remembered of packets that were sent together: where
// the delivery stood then. From it and from where the delivery stands when one
// of them arrives follows the delivery rate over one flight.
type burstRecord struct {
	at          time.Duration // when it was sent
	delivered   int64         // packets delivered in all
	deliveredAt time.Duration // when the latest of them arrived
	firstSent   time.Duration // when that one was sent
	appLimited  bool
}

// deliveryMeter measures the rate at which packets are delivered. Its owner is
// the group, which guards it.
type deliveryMeter struct {
	delivered   int64
	deliveredAt time.Duration // arrival of the latest packet delivered, on our clock
	firstSent   time.Duration // when the latest packet delivered was sent
	limitedTill int64         // samples of packets before this one are limited by the application, 0 = none

	ring []burstRecord // of the latest bursts, indexed by number; a power of two
	next uint32        // number of the next burst
	open bool          // its record has been begun, and nothing was sent since
}

const (
	minBursts = 16
	maxBursts = 1 << 14
	// burstLife is how long a record is kept at least, on paths where that is more
	// than two round trips, and as far as maxBursts allows.
	burstLife = 500 * time.Millisecond
)

// begin opens a record for packets that are about to be sent and returns its
// number. It counts only after commit: whoever finds nothing to send leaves the
// record to the next one, so looking costs no memory. rtt is the round trip, as
// far as known.
func (m *deliveryMeter) begin(now time.Duration, inFlight int, rtt time.Duration) uint32 {
	if inFlight == 0 {
		m.firstSent, m.deliveredAt = now, max(now, m.deliveredAt)
	}
	if m.ring == nil {
		m.ring = make([]burstRecord, minBursts)
	}
	if old := m.ring[m.next%uint32(len(m.ring))]; !m.open && old.at != 0 && now-old.at < max(burstLife, 2*rtt) && len(m.ring) < maxBursts {
		m.grow()
	}
	m.open = true
	m.ring[m.next%uint32(len(m.ring))] = burstRecord{
		at: now, delivered: m.delivered, deliveredAt: m.deliveredAt, firstSent: m.firstSent, appLimited: m.limitedTill > 0,
	}
	return m.next
}

func (m *deliveryMeter) grow() {
	bigger := make([]burstRecord, 2*len(m.ring))
	for k := uint32(1); k <= uint32(len(m.ring)); k++ {
		bigger[(m.next-k)%uint32(len(bigger))] = m.ring[(m.next-k)%uint32(len(m.ring))]
	}
	m.ring = bigger
}

func (m *deliveryMeter) commit() { m.next, m.open = m.next+1, false }

// forget drops the records, since nothing that was sent is waited for any more.
func (m *deliveryMeter) forget() { m.ring, m.open = nil, false }

// arrived counts n packets that arrived at the given time, the latest of them
// sent in burst, and returns the sample that they make. shortest is the
// shortest round trip known: a flight cannot take less. One that seems to take less
// than usual counts as if it had taken that.
func (m *deliveryMeter) arrived(n int, at, sentAt time.Duration, burst uint32, shortest, usual time.Duration) (s RateSample) {
	m.delivered += int64(n)
	m.deliveredAt = max(m.deliveredAt, at)
	if m.limitedTill > 0 && m.delivered > m.limitedTill {
		m.limitedTill = 0
	}
	if age := m.next - burst; age == 0 || age > uint32(len(m.ring)) {
		return s // overwritten
	}
	r := m.ring[burst%uint32(len(m.ring))]
	if r.at != sentAt {
		return s
	}
	m.firstSent = max(m.firstSent, r.at)
	elapsed := max(r.at-r.firstSent, m.deliveredAt-r.deliveredAt)
	if elapsed <= 0 || elapsed < shortest {
		return RateSample{Prior: r.delivered}
	}
	elapsed = max(elapsed, usual)
	return RateSample{Rate: float64(m.delivered-r.delivered) / elapsed.Seconds(), Prior: r.delivered, AppLimited: r.appLimited}
}

// idle notes that the application has nothing to send: the rate of the packets
// in flight says nothing about the path.
func (m *deliveryMeter) idle(inFlight int) { m.limitedTill = max(1, m.delivered+int64(inFlight)) }
