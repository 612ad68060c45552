package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/chunkget/chunkget/segment"
)

// A download is over when its slowest request is. When nothing is left to hand
// out or to steal, an idle slot asks for the rest of that request once more, and
// whoever has it first wins: a hedge. It keeps what it receives in memory, for two
// writers of the same bytes could undo what a verifier has read. When it wins,
// the loser is cancelled, and once it has ended the bytes are written like those
// of any answer. Of several sources, each races its own requests only; see relieve.
//
// Result.BytesHedged is all that hedges have brought, whoever has won. What the first
// requests have read is written and in BytesFetched (of compressed parts, what a decoder
// has given), so no more than BytesHedged was read twice. What is on its way to a request
// when that is cancelled, in the network and in buffers below, nobody here can know: it
// is in no counter, and bounded by the window of one connection.

const (
	// hedgeShare bounds what is received twice on purpose, as a part of the file.
	hedgeShare = 0.03

	// hedgePieces bounds one hedge, in pieces, and so its memory. What is longer
	// can be stolen from.
	hedgePieces = 2
)

// errOutrun is the cause of the cancellation of a request that a hedge has won
// against.
var errOutrun = errors.New("another connection was faster")

// hedge lets s race the request that will take longest to end, if that is
// expected to halve the time left, and reports whether it does.
func (d *download) hedge(now time.Time, s *slot) bool {
	if s.best <= 0 || !d.remote.ranges {
		return false
	}
	budget := int64(hedgeShare*float64(d.layout.Size)) - d.result.BytesHedged
	var victim *attempt
	var rest segment.Range
	longest := s.src.gain().Seconds()
	for _, v := range d.slots {
		a := v.attempt
		if a == nil || a.src != s.src || a.hedged || a.hedges != nil || a.condemned || now.Sub(a.begun) < s.src.gain() {
			continue
		}
		seg, ok := d.plan.Segment(a.seg)
		r := segment.Range{Start: a.asked.Start + a.written.Load(), End: seg.End}
		if !ok || r.Empty() || r.Len() > min(budget, hedgePieces*d.layout.PieceSize) || d.plan.Excluded(s.id, r) {
			continue
		}
		left := d.timeLeft(now, a, r)
		if left > longest && left > 2*float64(r.Len())/s.best {
			victim, rest, longest = a, r, left
		}
	}
	if victim == nil {
		return false
	}
	d.decided(Event{Kind: EventHedge, Decision: DecisionStarted, Piece: d.pieceAt(rest.Start), Bytes: rest.Len(), Mirror: d.mirror(s.src),
		Reason: fmt.Sprintf("the rest of a request would take %.1f s, and over another connection %.1f s", longest, float64(rest.Len())/s.best)})
	victim.hedged = true
	d.result.BytesHedged += rest.Len() // what does not come is settled at the end
	ctx, cancel := context.WithCancelCause(d.ctx)
	a := &attempt{slot: s, src: s.src, remote: s.src.remote, asked: rest, hedges: victim, cancel: cancel, begun: now, off: rest.Start, recorded: rest.Start}
	a.active.Store(now.UnixNano())
	a.rate.start(now)
	s.attempt = a
	d.wg.Go(func() {
		data, conn, err := d.receiveHedge(ctx, a)
		cancel(nil)
		d.post(func(now time.Time) { d.hedgeEnded(now, a, data, conn, err) })
	})
	return true
}

// timeLeft is how long a will take for its rest r, in seconds. Rates fall slowly; who
// has been silent for some time is taken to stay so for as long.
func (d *download) timeLeft(now time.Time, a *attempt, r segment.Range) float64 {
	silent := now.Sub(time.Unix(0, a.active.Load())).Seconds()
	return max(float64(r.Len())/max(a.rate.value(), 1), silent)
}

// receiveHedge returns the bytes that a asks for and the connection they came
// over.
func (d *download) receiveHedge(ctx context.Context, a *attempt) ([]byte, net.Conn, error) {
	resp, err := d.request(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	data := make([]byte, a.asked.Len())
	for n := 0; n < len(data); {
		k, err := resp.Body.Read(data[n:])
		n += k
		if k > 0 {
			a.active.Store(time.Now().UnixNano())
		}
		if err != nil && n < len(data) {
			return data[:n], nil, networkError("receive "+a.asked.String(), withCause(ctx, err))
		}
	}
	return data, resp.conn, nil
}

// hedgeEnded takes what a hedge has brought. The loop calls it.
func (d *download) hedgeEnded(now time.Time, a *attempt, data []byte, conn net.Conn, err error) {
	a.slot.attempt = nil
	d.result.BytesHedged -= a.asked.Len() - int64(len(data))
	e := Event{Kind: EventHedge, Decision: DecisionLost, Piece: d.pieceAt(a.asked.Start), Bytes: int64(len(data)), Mirror: d.mirror(a.src)}
	v := a.hedges
	switch {
	case v.slot.attempt != v:
		// The other has won, or has failed and its bytes are handed out anew.
		e.Reason = "the first request has ended"
	case d.stopping:
		e.Reason = "the download ends"
	case a.condemned:
		e.Reason = "the connection has brought a piece that is wrong"
	case err != nil:
		e.Reason, e.Code, e.Err = err.Error(), CodeOf(err), err
	default:
		e.Decision, e.Reason = DecisionWon, "it has all that was left of the first request"
		v.outrun = func(now time.Time, s *slot) { d.adopt(now, s, a, data, conn) }
		v.cancel(errOutrun)
	}
	d.decided(e)
}

// adopt writes what a hedge has received, as an attempt of the slot whose
// request it has outrun. What that had written by its end is not written again.
func (d *download) adopt(now time.Time, s *slot, hedge *attempt, data []byte, conn net.Conn) {
	r := hedge.asked
	for missing := range d.plan.Missing() {
		rest := missing.Intersect(r)
		if rest.Empty() {
			continue
		}
		seg, ok := d.plan.HandOutRange(s.id, rest)
		if !ok {
			return // some of it is being fetched already
		}
		ctx, cancel := context.WithCancelCause(d.ctx)
		body := io.NopCloser(bytes.NewReader(data[rest.Start-r.Start : rest.End-r.Start]))
		d.start(now, &attempt{slot: s, src: hedge.src, remote: hedge.remote, seg: seg.ID, asked: rest, cancel: cancel, hedged: true, resp: &response{Response: &http.Response{
			StatusCode: http.StatusPartialContent, Body: body, Request: (&http.Request{URL: hedge.src.client.url}).WithContext(ctx),
		}, conn: conn}})
		return
	}
}
