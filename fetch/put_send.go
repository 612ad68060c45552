package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

const (
	// The data of one request is what takes putTime at the rate of those before, but
	// no less than a piece and no more than putMost bytes; the first has putFirst.
	// The answer costs a round trip and a sync at the server, which should not
	// count; what a broken request has sent of a piece is sent again.
	putTime  = 4 * time.Second
	putFirst = 4 << 20
	putMost  = 64 << 20

	// badTries is how often a piece is sent that the server finds to be wrong.
	badTries = 3
)

// counter counts bytes for several goroutines.
type counter struct{ atomic.Int64 }

// sender brings what is missing of a file to the server, over several requests at
// a time, each of its own goroutine. The mutex guards the fields below it;
// whatever is told to Options.Observe is told with it held.
type sender struct {
	p      *putting
	flight []counter // bytes of the current request, by worker

	mu       sync.Mutex
	plan     *segment.Plan
	resumed  int64
	rate     rate
	seen     int64       // of rate
	bad      map[int]int // piece → how often it was wrong
	complete bool        // the server has said so
	active   int
}

// send brings the server what it does not have. It reports false if the server has
// lost the upload, or what it had of it.
func (p *putting) send(ctx context.Context, have segment.Set) (complete bool, err error) {
	n := max(1, min(p.o.Connections, p.layout.Pieces()))
	s := &sender{p: p, flight: make([]counter, n), plan: segment.New(p.layout.Size, p.layout.PieceSize, have), resumed: have.Bytes(), bad: make(map[int]int)}
	s.rate.start(time.Now())
	s.seen = p.sent.Load()
	workers, wctx := errgroup.WithContext(ctx)
	for i := range n {
		workers.Go(func() error { return s.work(wctx, i) })
	}
	stop := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() { s.tell(stop) })
	err = workers.Wait()
	close(stop)
	ticking.Wait()
	if errors.Is(err, errUploadGone) {
		return false, nil
	}
	if err != nil || s.complete {
		return s.complete, err
	}
	// All is sent, and no answer said that it is complete.
	_, done, err := p.state(ctx)
	if isGone(err) {
		return false, nil
	}
	return done, err
}

// errUploadGone says that the server does not know the upload any more.
var errUploadGone = errors.New("the server does not know the upload any more")

// work sends one stretch after the other until nothing is left that no other
// worker has.
func (s *sender) work(ctx context.Context, worker int) error {
	most := int64(putFirst)
	failures := 0
	for {
		r, id, ok := s.claim(worker, most)
		if !ok {
			return nil
		}
		// The server cannot tell, if what has changed is with it already.
		if s.p.src.changed() {
			return errSourceChanged(s.p.src)
		}
		begun := time.Now()
		err := s.request(ctx, worker, r)
		if err == nil {
			s.confirm(worker, id)
			failures = 0
			if took := time.Since(begun).Seconds(); took > 0 {
				most = min(max(int64(float64(r.Len())/took*putTime.Seconds()), s.p.layout.PieceSize), putMost)
			}
			continue
		}
		progress, err := s.recover(ctx, worker, id, r, failures+1, err)
		if err != nil {
			return err
		}
		failures++
		if progress {
			failures = 0
		}
	}
}

// claim takes a stretch that nobody has.
func (s *sender) claim(worker int, most int64) (segment.Range, segment.SegmentID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan.Bound(s.p.layout.Size, most)
	seg, ok := s.plan.HandOut(segment.Worker(worker), len(s.flight))
	if ok {
		s.active++
		s.p.res.Connections = max(s.p.res.Connections, s.active)
	}
	return segment.Range{Start: seg.Start, End: seg.End}, seg.ID, ok
}

// confirm notes that the server has all of a stretch.
func (s *sender) confirm(worker int, id segment.SegmentID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	s.flight[worker].Store(0)
	s.advance(id)
}

// advance marks an open segment as done. s.mu is held.
func (s *sender) advance(id segment.SegmentID) {
	for {
		r, ok := s.plan.Claim(id)
		if !ok {
			return
		}
		s.plan.Advance(id, r.Len())
	}
}

// recover decides what follows from the failure of a request: it waits, asks the
// server what it has got of the stretch, and gives back the rest. It reports
// whether the server has got something.
func (s *sender) recover(ctx context.Context, worker int, id segment.SegmentID, r segment.Range, failures int, err error) (progress bool, _ error) {
	p := s.p
	if p.src.changed() {
		return false, errSourceChanged(p.src)
	}
	if ctx.Err() != nil {
		return false, &Error{Kind: KindInterrupted, Op: "send", Err: context.Cause(ctx)}
	}
	if isGone(err) {
		return false, errUploadGone
	}
	wrong, isWrong := errors.AsType[*wrongPiecesError](err)
	switch {
	case isWrong:
		if err := s.countWrong(wrong); err != nil {
			return false, err
		}
	case isFinal(err), failures >= p.retry.Tries:
		return false, fmt.Errorf("send %v: %w", r, err)
	default:
		if !s.pause(ctx, failures, err) {
			return false, &Error{Kind: KindInterrupted, Op: "send", Err: context.Cause(ctx)}
		}
	}
	// The answers to questions of several workers say nothing of each other's order,
	// so each takes from its own only what is about its stretch.
	have, complete, err := s.askState(ctx)
	if isGone(err) {
		return false, errUploadGone
	}
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	s.flight[worker].Store(0)
	if complete {
		s.complete = true
		s.advance(id)
		return true, nil
	}
	s.plan.Release(id)
	for got := range have.Within(r) {
		if seg, ok := s.plan.HandOutRange(segment.Worker(worker), got); ok {
			s.advance(seg.ID)
			progress = true
		}
	}
	return progress, nil
}

// pause tells of a failure and waits until it is time for another try. It reports
// whether the context is still good.
func (s *sender) pause(ctx context.Context, failures int, err error) bool {
	wait := s.p.retry.wait(failures, err)
	s.mu.Lock()
	s.p.res.Retries++
	s.emit(Event{Kind: EventRetry, Try: failures, Delay: wait, Code: CodeOf(err), Reason: err.Error(), Err: err})
	s.mu.Unlock()
	return sleep(ctx, wait)
}

// askState is putting.state, whose counters and events are guarded here.
func (s *sender) askState(ctx context.Context) (have *segment.Set, complete bool, err error) {
	p := s.p
	for failures := 1; ; failures++ {
		rctx, cancel := context.WithCancelCause(ctx)
		watch := time.AfterFunc(max(p.retry.Stall, defaultStall), func() { cancel(errStalled) })
		have, complete, err = p.stateOnce(rctx)
		watch.Stop()
		cancel(nil)
		if err == nil || isFinal(err) || failures >= p.retry.Tries || ctx.Err() != nil {
			return have, complete, err
		}
		if !s.pause(ctx, failures, err) {
			return nil, false, err
		}
	}
}

// countWrong counts pieces that the server found to be wrong, and fails when it has
// found that of one too often.
func (s *sender) countWrong(wrong *wrongPiecesError) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range wrong.pieces {
		s.bad[i]++
		s.p.res.PiecesBad++
		s.emit(Event{Kind: EventPieceBad, Piece: i, Try: s.bad[i], Code: CodePieceMismatch, Reason: "it contradicts the hash tree where it arrives"})
		if s.bad[i] >= badTries {
			return errorf(KindIntegrity, "send", "piece %d has arrived wrong %d times", i, s.bad[i]).withCode(CodePieceMismatch).
				withHint("the path or a disk damages data, or the file is being written to")
		}
	}
	return nil
}

// wrongPiecesError is an answer that pieces contradict the tree.
type wrongPiecesError struct{ pieces []int }

func (e *wrongPiecesError) Error() string {
	return fmt.Sprintf("%d pieces contradict the hash tree", len(e.pieces))
}

// request sends the bytes of r. It returns nil once the server has all of them
// safely on disk.
func (s *sender) request(ctx context.Context, worker int, r segment.Range) error {
	p := s.p
	rctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := p.retry.Stall
	// How long to wait for a connection is the transport's affair.
	watch := time.AfterFunc(max(stall, defaultStall), func() { cancel(errStalled) })
	defer watch.Stop()
	flight := &s.flight[worker]
	flight.Store(0)
	var over atomic.Bool
	defer over.Store(true)
	body := &sentBody{r: io.NewSectionReader(p.src, r.Start, r.Len()), left: r.Len()}
	body.alive = func(n int) {
		if over.Load() {
			return
		}
		flight.Add(int64(n))
		p.sent.Add(int64(n))
		// What has been handed over may still be on its way for a while when the last
		// of it is.
		watch.Reset(2 * stall)
	}
	resp, err := p.client.do(rctx, http.MethodPatch, p.upload, body, http.Header{
		"Content-Type":  {"application/octet-stream"},
		"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", r.Start, r.End-1, p.layout.Size)},
	})
	if berr := body.failed(); berr != nil {
		err = diskError("read the file", berr)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnprocessableEntity {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxStateBytes))
		if wrong := wrongPieces(b, p.layout); err == nil && wrong != nil {
			return wrong
		}
		return putStatusError(http.MethodPatch, p.upload, resp, p.client.sent, p.client.maxRetryAfter, time.Now())
	}
	if isCompleted(resp.Header) {
		s.mu.Lock()
		s.complete = true
		s.mu.Unlock()
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10)) // so that the connection can be used again
	return nil
}

// emit completes and tells an event. s.mu is held.
func (s *sender) emit(e Event) {
	done := s.plan.Done()
	for i := range s.flight {
		done += s.flight[i].Load()
	}
	e.Total, e.Done, e.Resumed = s.p.layout.Size, min(done, s.p.layout.Size), s.p.res.BytesResumed
	e.Rate, e.ETA, e.Active = s.rate.value(), -1, s.active
	if e.Rate > 0 {
		e.ETA = time.Duration(float64(e.Total-e.Done) / e.Rate * float64(time.Second))
	}
	s.p.emit(e)
}

// tell reports progress until stop is closed.
func (s *sender) tell(stop chan struct{}) {
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			s.mu.Lock()
			sent := s.p.sent.Load()
			s.rate.add(now, sent-s.seen)
			s.seen = sent
			s.emit(Event{Kind: EventProgress})
			s.mu.Unlock()
		case <-stop:
			return
		}
	}
}

// sentBody is the body of a request. A transport may still read it for a while
// after the request has failed.
type sentBody struct {
	r     io.Reader
	left  int64 // at the beginning
	alive func(n int)

	mu  sync.Mutex
	err error // of r; guarded by mu
}

func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if n > 0 {
		b.alive(n)
	}
	if err != nil && err != io.EOF {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

func (b *sentBody) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// wrongPieces reads an answer 422, nil if it names no pieces of the layout l.
func wrongPieces(b []byte, l merkle.Layout) *wrongPiecesError {
	var said struct {
		Wrong []int `json:"wrong_pieces"`
	}
	if err := json.Unmarshal(b, &said); err != nil || len(said.Wrong) == 0 {
		return nil
	}
	for _, i := range said.Wrong {
		if i < 0 || i >= l.Pieces() {
			return nil
		}
	}
	return &wrongPiecesError{said.Wrong}
}
