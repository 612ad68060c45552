package fetch

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/chunkget/chunkget/segment"
)

// Who fetches what. An idle slot gets a share of what nobody fetches, else a part of
// another's segment, else a race for the end of one. All of it runs on the loop.

const (
	// The least time left of a segment worth stealing half of: another request, and
	// later another connection for the victim, cost some round trips. See [source.gain].
	minGain    = 200 * time.Millisecond
	maxGain    = time.Second
	gainRounds = 5
)

// dispatch gives work to idle slots.
func (d *download) dispatch(now time.Time) {
	if d.stopping || d.plan.Complete() || d.parts.state == partsJudging {
		return
	}
	idle, busy, first := 0, 0, 0
	for _, s := range d.slots {
		switch {
		case s.attempt != nil:
			if busy++; s.attempt.probe {
				first++
			}
		case !s.notUntil.After(now):
			idle++
		}
	}
	if idle == 0 {
		return
	}
	// The slot of the first request will be back soon and wants its share, too.
	sharers := idle + first
	for waiting, included := false, false; ; {
		for _, s := range d.slots {
			if s.attempt != nil || s.notUntil.After(now) || busy >= d.ramp.limit {
				continue
			}
			if d.overdrawn(s.src, d.requestsTo(s.src)) {
				waiting = true // for a verifier, or for hashes
				continue
			}
			seg, ok := d.plan.HandOut(s.id, d.shareFor(s, sharers))
			if ok {
				sharers--
			} else if seg, ok = d.steal(now, s); !ok {
				if d.hedge(now, s) {
					busy++
				} else {
					d.relieve(now, s)
				}
				continue
			}
			busy++
			d.start(now, &attempt{slot: s, seg: seg.ID, asked: segment.Range{Start: seg.Start, End: seg.End}})
		}
		if busy > 0 || waiting || included || d.plan.Unassigned() == 0 {
			return
		}
		// None of those who can fetch may have what is left: whoever spoiled it
		// before has to try again.
		d.plan.Include(segment.Range{Start: 0, End: d.layout.Size})
		included = true
	}
}

// steal takes a part of a segment of another slot, so large that both should end
// at the same time.
func (d *download) steal(now time.Time, thief *slot) (segment.Segment, bool) {
	if !d.remote.ranges {
		return segment.Segment{}, false
	}
	average := d.speed.value() / float64(max(d.activeSlots(), 1))
	rates := make(map[segment.SegmentID]float64, len(d.slots))
	at := make(map[segment.SegmentID]int64, len(d.slots))
	for _, s := range d.slots {
		if a := s.attempt; a != nil {
			rates[a.seg] = max(a.rate.value(), a.rate.latest) // in slow start the former lags far behind
			at[a.seg] = a.asked.Start + a.written.Load()      // without it, what is about to end looks up to a piece longer
			if now.Sub(a.begun) < a.src.gain() {
				rates[a.seg] = max(rates[a.seg], average) // it has not had the time to show its own
			}
		}
	}
	mine := 0.0
	if d.several() {
		if mine = thief.src.pace; mine == 0 && thief.src.late {
			return segment.Segment{}, false
		}
	}
	seg, victim, ok := d.plan.Steal(thief.id, mine, d.layout.PieceSize, thief.src.gain(), func(s segment.Segment) (speed float64, next int64) {
		return rates[s.ID], at[s.ID]
	})
	if ok {
		d.emitSteal(thief, seg, victim, rates[victim])
	}
	return seg, ok
}

// emitSteal tells that thief takes seg from the attempt at victim, which brings rate.
func (d *download) emitSteal(thief *slot, seg segment.Segment, victim segment.SegmentID, rate float64) {
	e := Event{Kind: EventSteal, Piece: d.pieceAt(seg.Start), Bytes: seg.End - seg.Start, By: d.mirror(thief.src),
		Reason: fmt.Sprintf("a connection has nothing else to do, and the request brings %s", rateText(rate))}
	for _, s := range d.slots {
		if a := s.attempt; a != nil && a.seg == victim {
			e.Mirror = d.mirror(a.src)
		}
	}
	d.decided(e)
}

// start runs an attempt.
func (d *download) start(now time.Time, a *attempt) {
	ctx, cancel := context.WithCancelCause(d.ctx)
	unlink := func() bool { return true }
	if a.resp != nil {
		// It was asked for before the loop was there, under its own context.
		cancel(nil)
		a.conn = a.resp.conn
		a.slot.src.wait = cmp.Or(a.slot.src.wait, a.resp.wait)
		ctx, cancel = a.resp.Request.Context(), a.cancel
		unlink = context.AfterFunc(d.ctx, func() { a.cancel(context.Cause(d.ctx)) })
	}
	a.cancel = cancel
	if a.src == nil {
		a.src, a.remote = a.slot.src, a.slot.src.remote
	}
	a.off, a.recorded = a.asked.Start, a.asked.Start
	a.active.Store(now.UnixNano())
	a.rate.start(now)
	a.begun = now
	a.bounded = a.resp == nil && d.onProbation(a.src)
	a.part = a.resp == nil && d.parts.state == partsOn && a.remote.offersParts()
	a.slot.attempt = a
	if a.slot.buf == nil {
		a.slot.buf = make([]byte, readBuffer)
	}
	d.result.Connections = max(d.result.Connections, d.activeSlots())
	d.wg.Go(func() {
		err := d.transfer(ctx, a)
		unlink()
		cancel(nil)
		d.post(func(now time.Time) { d.ended(now, a, err) })
	})
}
