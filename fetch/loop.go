package fetch

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

const (
	// tick is how often speeds are sampled, stalls looked for and progress told.
	tick = 200 * time.Millisecond

	// commitEvery and commitBytes say when what was verified is made durable:
	// whichever comes first.
	commitEvery = time.Second
	commitBytes = 8 << 20
)

// loop runs the download to its end and returns nil when every byte is on
// file, checked and recorded. first is the answer that is open already.
// When it returns, every goroutine has ended.
func (d *download) loop(ctx context.Context, first *attempt) error {
	// Attempts end when the loop stops, which on an interruption it does by
	// itself, so that nothing that was received is lost.
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer d.cancel()
	var helpers []func()
	for range min(runtime.GOMAXPROCS(0), 4) {
		helpers = append(helpers, d.verifier)
	}
	if d.pipe != nil {
		helpers = append(helpers, d.deliver)
	} else if d.mode != checkNone {
		helpers = append(helpers, d.committer)
	}
	if d.mode == checkTree && !d.rootDone {
		d.treeBusy = true
		helpers = append(helpers, d.streamTree)
	}
	for _, h := range helpers {
		d.wg.Go(h)
	}

	now := time.Now()
	d.lastCommit, d.lastBytes, d.lastReport, d.treeSeen = now, now, now, now
	d.speed.start(now)
	d.least, d.leastTree = newLeastRate(d.retry, now), newLeastHashes(d.retry, d.layout.PieceSize, now)
	d.startParts(now)
	d.startRamp(now, first)
	d.queueRechecks()
	if first != nil {
		d.start(now, first)
	}
	timer := time.NewTimer(tick)
	defer timer.Stop()
	lastTick := now
	interrupted := ctx.Done()
	for {
		d.checkDone()
		d.judgeParts(now)
		d.dispatch(now)
		d.startCommit(now)
		d.startWrite()
		if d.quiet() {
			break
		}
		timer.Reset(d.nextWake(now, lastTick).Sub(now))
		verify, job := d.nextVerify()
		select {
		case f := <-d.calls:
			now = time.Now()
			f(now)
		case verify <- job:
			d.toVerify = d.toVerify[1:]
			d.verifying++
			now = time.Now()
		case now = <-timer.C:
		case <-interrupted:
			now, interrupted = time.Now(), nil
			d.stop(&Error{Kind: KindInterrupted, Op: "download", Err: context.Cause(ctx), Resumable: true,
				Hint: "run the same command again to go on"})
		}
		if now.Sub(lastTick) >= tick {
			lastTick = now
			d.everyTick(now)
		}
		d.sampleRamp(now)
	}
	close(d.verify)
	close(d.commits)
	if d.pipe != nil {
		close(d.pipe.out)
	}
	d.cancel()
	d.wg.Wait()
	return d.stopErr
}

// stop ends the download: with an error, or nil when there is nothing left to
// do. Only the first call counts. The loop goes on until what has been checked
// is recorded.
func (d *download) stop(err error) {
	if d.stopping {
		if err != nil {
			d.log.Debug("after the end", "err", err)
		}
		return
	}
	d.stopping, d.stopErr = true, err
	d.cancel()
	if err == nil {
		return
	}
	// What the next run checks anyway need not be waited for. Fresh pieces
	// without a tree are lost if their digest is not recorded now.
	keep := d.toVerify[:0]
	for _, job := range d.toVerify {
		if d.mode.compares() || d.pieces[job.piece].resumed {
			d.pieces[job.piece].state = pieceOnFile
		} else {
			keep = append(keep, job)
		}
	}
	d.toVerify = keep
}

// quiet reports whether the loop has nothing to wait for any more.
func (d *download) quiet() bool {
	if !d.stopping || d.committing || d.pipe != nil && d.pipe.busy || d.verifying > 0 || len(d.toVerify) > 0 || d.treeBusy {
		return false
	}
	for _, s := range d.slots {
		if s.attempt != nil {
			return false
		}
	}
	return d.batch.Empty() && len(d.forget) == 0
}

// checkDone stops the download when all is fetched and checked.
func (d *download) checkDone() {
	if d.pipe != nil && d.pipe.next < len(d.pieces) {
		return
	}
	if d.plan.Complete() && (d.mode == checkNone || d.unchecked == 0) && (d.mode != checkTree || d.rootDone) {
		d.stop(nil)
	}
}

// nextWake returns when the loop has to look at the time again.
func (d *download) nextWake(now, lastTick time.Time) time.Time {
	wake := lastTick.Add(tick)
	if until := d.parts.judgingUntil(); d.parts.state == partsJudging && until.Before(wake) {
		wake = until
	}
	if at, more := d.ramp.due(); more && at.Before(wake) {
		wake = at
	}
	for _, s := range d.slots {
		if s.attempt == nil && s.notUntil.After(now) && s.notUntil.Before(wake) {
			wake = s.notUntil
		}
	}
	return wake
}

// ended takes note of the end of an attempt.
func (d *download) ended(now time.Time, a *attempt, err error) {
	d.advance(now, a, a.off)
	d.plan.Release(a.seg)
	d.partEnded(now, a, err)
	s := a.slot
	s.attempt = nil
	if a.written.Load() > 0 {
		s.failures = 0
	}
	if w, t := a.written.Load(), now.Sub(a.begun).Seconds(); t > 0 && !a.hedged {
		s.best = max(s.best, float64(w)/t)
		a.src.measured(w, now.Sub(a.begun))
	}
	if a.src.lied {
		d.disown(a.src)
	}
	d.keepWhole(a)
	if a.outrun != nil && !d.stopping {
		a.outrun(now, s)
	}
	if err == nil || a.condemned || a.outrun != nil || d.stopping {
		return
	}
	if isPartError(err) {
		d.giveUpParts(now, CodePartInvalid, err.Error())
		return
	}
	if localError(err) {
		d.stop(err)
		return
	}
	if isFinal(err) || d.several() && a.remote == nil && neverConnected(err) {
		d.lose(now, a.src, err)
		return
	}
	if !d.remote.ranges {
		// The next answer begins at the first byte again.
		d.forgetStream()
	}
	s.failures++
	if s.failures == 1 {
		s.since = now
	}
	// Bytes that any slot got since then show that the server is there, and
	// that only this connection is too much for it.
	if s.failures >= d.retry.Tries && !a.src.lastBytes.After(s.since) {
		d.lose(now, a.src, fmt.Errorf("%w, after %d tries", err, s.failures))
		return
	}
	wait := d.retry.wait(s.failures, err)
	s.notUntil = now.Add(wait)
	d.result.Retries++
	d.emit(Event{Kind: EventRetry, Try: s.failures, Delay: wait, Code: CodeOf(err), Reason: err.Error(), Err: err, Mirror: d.mirror(a.src)})
}

// everyTick samples speeds, stops requests that stall, and reports progress.
func (d *download) everyTick(now time.Time) {
	for _, s := range d.slots {
		a := s.attempt
		if a == nil {
			continue
		}
		w := a.written.Load()
		a.rate.add(now, w-a.sampled)
		a.sampled = w
		stall := d.retry.Stall
		if a.conn == nil {
			stall = max(stall, defaultStall) // how long to dial is the transport's affair
		}
		if last := time.Unix(0, a.active.Load()); now.Sub(last) >= stall {
			a.cancel(errStalled)
		} else if w > 0 {
			d.lastBytes, a.src.lastBytes = later(last, d.lastBytes), later(last, a.src.lastBytes)
		}
	}
	if d.treeStop != nil && now.Sub(d.treeSeen) >= d.retry.Stall && now.Sub(d.lastBytes) >= d.retry.Stall {
		// While data flows, the tree may be waiting for a connection.
		d.treeStop(errStalled)
	}
	d.sampleParts(now)
	f := d.fetched()
	d.speed.add(now, f-d.lastFetched)
	d.judgeRate(now, f-d.lastFetched)
	d.lastFetched = f
	d.emit(Event{Kind: EventProgress})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (d *download) activeSlots() (n int) {
	for _, s := range d.slots {
		if s.attempt != nil {
			n++
		}
	}
	return n
}

// fetched returns the bytes that this run has received and written.
func (d *download) fetched() int64 {
	n := d.result.BytesFetched
	for _, s := range d.slots {
		if a := s.attempt; a != nil {
			n += a.asked.Start + a.written.Load() - a.recorded
		}
	}
	return n
}

// emit completes an event and hands it to the observer.
func (d *download) emit(e Event) {
	if d.opts.Observe == nil {
		return
	}
	e.Total = d.layout.Size
	e.Done = d.plan.Done() + d.fetched() - d.result.BytesFetched
	e.Resumed = d.resumed
	e.Active = d.activeSlots()
	e.Rate = d.speed.value()
	e.ETA = timeLeft(e.Total-e.Done, e.Rate)
	d.opts.Observe(e)
}
