package main

import (
	"fmt"
	"io"
	"sync"

	"github.com/chunkget/chunkget/fetch"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// board is the part of a terminal where the downloads of a run show their bars:
// one for each file under way, and with several files a line about all. It takes
// over the messages from its first bar until it is closed. Its methods may be
// called from several goroutines; those of mpb call text, so that no lock of the
// board is held while mpb is called.
type board struct {
	ui    *ui
	files int

	open sync.Mutex // held while the first bar comes, or close waits

	mu       sync.Mutex
	bars     *mpb.Progress         // guarded by mu; nil while there is none
	total    *mpb.Bar              // guarded by mu; nil for one file
	away     io.Writer             // guarded by mu; where messages went before
	active   map[*display]struct{} // guarded by mu
	complete int                   // guarded by mu
	failed   int                   // guarded by mu
	bytes    int64                 // guarded by mu; of files that have ended
}

// newBoard returns the board of a run of so many files.
func newBoard(u *ui, files int) *board {
	return &board{ui: u, files: files, active: make(map[*display]struct{})}
}

// several reports whether bars need names.
func (b *board) several() bool { return b.files > 1 }

// begin counts nothing yet; it lets the line about all be seen before the first
// answer has come.
func (b *board) begin() {
	if b.several() {
		b.progress()
	}
}

// end counts a file that has ended.
func (b *board) end(res *fetch.Result, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.failed++
		return
	}
	b.complete++
	b.bytes += res.Bytes
}

// progress returns where bars are drawn, nil if nobody is there to see them.
func (b *board) progress() *mpb.Progress {
	if !b.ui.terminal || b.ui.quiet || b.ui.json {
		return nil
	}
	b.open.Lock()
	defer b.open.Unlock()
	b.mu.Lock()
	bars := b.bars
	b.mu.Unlock()
	if bars != nil {
		return bars
	}
	away := b.ui.divert(io.Discard)
	// AutoRefresh, because the check for a terminal has been made.
	bars = mpb.New(mpb.WithOutput(away), mpb.WithAutoRefresh(), mpb.WithRefreshRate(refreshInterval))
	b.ui.divert(bars)
	var total *mpb.Bar
	if b.several() {
		total = bars.New(0, mpb.NopStyle(), mpb.BarPriority(b.files), mpb.BarFillerTrim(),
			mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return b.text() })))
	}
	b.mu.Lock()
	b.bars, b.total, b.away = bars, total, away
	b.mu.Unlock()
	return bars
}

// show and hide say whose rates count in the line about all.
func (b *board) show(d *display) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active[d] = struct{}{}
}

func (b *board) hide(d *display) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.active, d)
}

// text is the line about all.
func (b *board) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := fmt.Sprintf("%d of %d files", b.complete, b.files)
	if b.failed > 0 {
		text += fmt.Sprintf(", %d failed", b.failed)
	}
	bytes, rate, connections := b.bytes, 0.0, 0
	for d := range b.active {
		e := d.snapshot()
		bytes += e.Done
		rate += e.Rate
		connections += e.Active
	}
	return text + fmt.Sprintf("  %s  %s  %s", formatBytes(bytes), formatRate(rate), plural(connections, "connection"))
}

// close ends the bars, and gives messages their way back.
func (b *board) close() {
	b.open.Lock()
	defer b.open.Unlock()
	b.mu.Lock()
	bars, total, away := b.bars, b.total, b.away
	b.bars, b.total = nil, nil
	b.mu.Unlock()
	if bars == nil {
		return
	}
	if total != nil {
		total.Abort(true)
	}
	bars.Wait()
	b.ui.divert(away)
}
