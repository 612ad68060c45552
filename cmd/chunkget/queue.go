package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/udt"
)

// queue fetches the URLs of one command line. Each of outcomes is written by the
// one goroutine that fetches its URL; run reads them when all have ended.
type queue struct {
	ui    *ui
	opts  *options
	args  []string // the command line, for hints
	rt    *transports
	paths *pathMemory
	log   *slog.Logger
	board *board

	tcpTold  sync.Once // about flags without effect over TCP
	outcomes []outcome
}

// outcome is what became of a URL; the zero value is one that was not begun.
type outcome struct {
	begun bool
	res   *fetch.Result
	err   error
}

// run fetches all URLs, jobs at a time, in their order. It returns the error of
// the first in that order that failed, or that of an interruption.
func (q *queue) run(ctx context.Context, jobs int) error {
	begun := time.Now()
	q.outcomes = make([]outcome, len(q.opts.urls))
	next := make(chan int)
	var workers sync.WaitGroup
	for range jobs {
		workers.Go(func() {
			for i := range next {
				q.outcomes[i] = q.fetch(ctx, i)
			}
		})
	}
feed:
	for i := range q.outcomes {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
		if ctx.Err() != nil {
			break
		}
	}
	close(next)
	workers.Wait()
	q.board.close()
	return q.conclude(ctx, time.Since(begun))
}

// fetch gets file i.
func (q *queue) fetch(ctx context.Context, i int) outcome {
	o := q.opts
	target, w := o.urls[i], &o.wanted[i]
	q.opts.sending.noteOverTCP(q.ui, target.Scheme, &q.tcpTold)
	q.board.begin()
	var to io.Writer
	if o.output == "-" {
		to = q.ui.stdout
	}
	res, err := download(ctx, fetch.Options{
		Writer:       to,
		URL:          target,
		Mirrors:      o.fetchMirrors(i),
		GivenOnly:    o.mirrors.none,
		Pieces:       w.pieces,
		Transport:    q.rt,
		Connections:  o.connections,
		Ramp:         o.ramp,
		Dir:          o.dir,
		Output:       o.output,
		Name:         w.name,
		Digest:       w.digest,
		ServerDigest: o.serverDigest,
		Restart:      o.restart,
		Overwrite:    o.overwrite,
		Header:       o.headerFor(target),
		Retry:        o.retry(),
		MaxRedirects: o.answers.maxRedirects(),
		Logger:       q.log,
		Secrets:      o.secrets(),

		DisableCompression: o.compress == "off",
	}, q.rt, q.observer(target))
	q.board.end(res, err)
	if err == nil {
		q.remember(target, res)
	} else if ctx.Err() == nil {
		which := ""
		if len(q.outcomes) > 1 {
			which = quote(fetch.RedactURL(target))
		}
		report(q.ui, which, err, q.args)
	}
	return outcome{true, res, err}
}

func (q *queue) observer(target *url.URL) observer {
	if q.ui.json {
		return q.ui.eventsOf(target, q.opts.connections)
	}
	return newDisplay(q.board)
}

// remember keeps what a download has learnt of the path to a server that speaks UDT, if
// it was left to find the path's rate.
func (q *queue) remember(target *url.URL, res *fetch.Result) {
	if len(res.Mirrors) > 0 {
		return // the rate is of several paths
	}
	c := q.rt.route.course(target)
	if c.address == "" {
		return
	}
	now := time.Now()
	if c.pure && q.opts.jobs == 1 && !q.opts.paced() {
		rate := float64(res.BytesFetched) * 8 / max(res.Elapsed.Seconds(), 1e-3)
		switch {
		case c.way == wayTCP && res.BytesFetched >= leastCompared:
			c.lesson.tcpRate = rate
		case c.way == wayUDT && res.BytesFetched >= leastRemembered:
			q.noteMemory(q.paths.remember(c.address, udt.Path{Rate: rate, MinRTT: q.rt.minRTT(c.address)}, res.BytesFetched, now))
		}
	}
	q.noteMemory(q.paths.learn(c.address, c.lesson, now))
}

func (q *queue) noteMemory(err error) {
	if err != nil {
		q.ui.detail("note: %v", err)
	}
}

// conclude says how it went, and returns the error that the exit code tells.
func (q *queue) conclude(ctx context.Context, elapsed time.Duration) (first error) {
	var failed []int
	var bytes, fetched int64
	complete := 0
	for i, oc := range q.outcomes {
		switch {
		case oc.err != nil:
			failed = append(failed, i)
			if first == nil || kindOf(oc.err) == fetch.KindInterrupted && ctx.Err() != nil {
				first = oc.err
			}
		case oc.begun:
			complete++
			bytes += oc.res.Bytes
		}
		if oc.res != nil {
			fetched += oc.res.BytesFetched
		}
	}
	if ctx.Err() != nil && (first == nil || kindOf(first) != fetch.KindInterrupted) && complete < len(q.outcomes) {
		first = &fetch.Error{Kind: fetch.KindInterrupted, Err: context.Cause(ctx), Resumable: true}
	}
	if first != nil && ctx.Err() != nil {
		report(q.ui, "", first, q.args)
	}
	if len(q.outcomes) > 1 {
		q.summarize(failed, complete, bytes, fetched, elapsed)
	}
	if first != nil {
		return reportedError{first}
	}
	return nil
}

// summarize is the end of a run with several URLs.
func (q *queue) summarize(failed []int, complete int, bytes, fetched int64, elapsed time.Duration) {
	if q.ui.json {
		q.ui.events().write(summaryEvent{
			Event: "summary", Files: len(q.outcomes), Complete: complete, Failed: len(failed),
			Bytes: bytes, BytesFetched: fetched, Seconds: seconds(elapsed),
		})
		return
	}
	text := fmt.Sprintf("%d of %d files complete, %s in %s (%s)", complete, len(q.outcomes), formatBytes(bytes),
		formatDuration(elapsed), formatRate(float64(fetched)/max(elapsed.Seconds(), 1e-3)))
	if len(failed) > 0 {
		text += fmt.Sprintf(", %d failed", len(failed))
	}
	if left := len(q.outcomes) - complete - len(failed); left > 0 {
		text += fmt.Sprintf(", %d not begun", left)
	}
	q.ui.info("%s", text)
	for _, i := range failed {
		q.ui.info("failed: %s (exit code %d)", quote(fetch.RedactURL(q.opts.urls[i])), exitCode(q.outcomes[i].err))
	}
}
