package fetch

import (
	"fmt"
	"time"

	"github.com/chunkget/chunkget/segment"
)

// reliefAfter is how long a request may take, and have to take, before another source
// gets its rest.
const reliefAfter = 2 * time.Second

// relieve ends a request to another source that is silent, or would take much longer
// for its rest than s, which has nothing else to do and gets it then. Nothing is
// received twice, so unlike with a hedge there is no bound.
func (d *download) relieve(now time.Time, s *slot) {
	if !d.several() || s.src.pace == 0 {
		return
	}
	var victim *attempt
	var rest segment.Range
	longest := reliefAfter.Seconds()
	for _, v := range d.slots {
		a := v.attempt
		if a == nil || a.src == s.src || a.condemned || a.hedged || a.hedges != nil || now.Sub(a.begun) < reliefAfter {
			continue
		}
		seg, ok := d.plan.Segment(a.seg)
		r := segment.Range{Start: a.asked.Start + a.written.Load(), End: seg.End}
		if !ok || r.Empty() || d.plan.Excluded(s.id, r) {
			continue
		}
		if left := d.timeLeft(now, a, r); left > longest && left > 2*float64(r.Len())/s.src.pace {
			victim, rest, longest = a, r, left
		}
	}
	if victim == nil {
		return
	}
	d.decided(Event{Kind: EventRelief, Piece: d.pieceAt(rest.Start), Bytes: rest.Len(), Mirror: d.mirror(victim.src), By: d.mirror(s.src),
		Reason: fmt.Sprintf("the rest of a request would take %.1f s, and from another address %.1f s", longest, float64(rest.Len())/s.src.pace)})
	victim.src.late, victim.condemned = true, true
	for _, v := range d.slots {
		if v.src == victim.src {
			d.plan.Exclude(v.id, rest)
		}
	}
	victim.cancel(errOutrun)
}
