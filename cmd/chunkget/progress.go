package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// refreshInterval is the time between two drawings of the progress bar.
const refreshInterval = 200 * time.Millisecond

// display shows one download as text: a line when it starts, a bar while it runs
// if somebody is there to see it, a line when it is done.
//
// observe and end are called from one goroutine at a time. The bar is drawn by
// goroutines of mpb, which read last under mu; end waits for them.
type display struct {
	ui   *ui
	bars *mpb.Progress // nil without a bar
	bar  *mpb.Bar
	away io.Writer // where messages went before the bar took them

	mu   sync.Mutex
	last fetch.Event // guarded by mu
}

func newDisplay(u *ui) *display { return &display{ui: u} }

func (d *display) observe(e fetch.Event) {
	switch e.Kind {
	case fetch.EventStart:
		d.ui.info("%s", startLine(e))
		d.startBar(e)
	case fetch.EventProgress:
		d.update(e)
	case fetch.EventPieceBad:
		d.ui.info("piece %d is bad and will be fetched again: %s (try %d)", e.Piece, e.Reason, e.Try)
	case fetch.EventRetry:
		d.ui.detail("request failed and is made again in %s: %s (try %d)", formatDuration(e.Delay), e.Reason, e.Try)
	case fetch.EventNote:
		d.ui.info("note: %s", e.Reason)
	case fetch.EventDone:
		d.update(e)
		d.stopBar()
		d.ui.info("%s", summary(e.Result))
	}
}

func (d *display) end(error) { d.stopBar() }

func startLine(e fetch.Event) string {
	size := "size not known"
	if e.Total >= 0 {
		size = formatBytes(e.Total)
	}
	text := fmt.Sprintf("fetching %s to %s, %s", quote(e.URL), quote(e.Path), size)
	if e.Resumed > 0 {
		text += fmt.Sprintf(", %s of it already here", formatBytes(e.Resumed))
	}
	return text
}

func (d *display) update(e fetch.Event) {
	d.mu.Lock()
	d.last = e
	d.mu.Unlock()
	if d.bar != nil {
		d.bar.SetCurrent(e.Done)
	}
}

func (d *display) snapshot() fetch.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

func (d *display) startBar(e fetch.Event) {
	if !d.ui.terminal || d.ui.quiet || d.ui.json || d.bars != nil {
		return
	}
	d.last = e
	// AutoRefresh, because the check for a terminal has been made.
	d.away = d.ui.divert(io.Discard)
	d.bars = mpb.New(mpb.WithOutput(d.away), mpb.WithAutoRefresh(), mpb.WithRefreshRate(refreshInterval))
	d.ui.divert(d.bars)
	text := func(f func(fetch.Event) string) decor.Decorator {
		return decor.Any(func(decor.Statistics) string { return f(d.snapshot()) })
	}
	if e.Total < 0 {
		d.bar = d.bars.AddSpinner(0, mpb.AppendDecorators(text(func(e fetch.Event) string {
			return fmt.Sprintf(" %s  %s", formatBytes(e.Done), formatRate(e.Rate))
		})))
		return
	}
	d.bar = d.bars.New(max(e.Total, 1), mpb.BarStyle(),
		mpb.PrependDecorators(text(percentText)),
		mpb.AppendDecorators(text(barText)),
	)
	d.bar.SetRefill(e.Resumed)
	d.bar.SetCurrent(e.Done)
}

// percentText rounds down, so that 100 % means complete.
func percentText(e fetch.Event) string {
	if e.Total <= 0 {
		return "100%"
	}
	percent := int(float64(e.Done) * 100 / float64(e.Total))
	if e.Done < e.Total {
		percent = min(percent, 99) // a float64 may have rounded it up
	}
	return fmt.Sprintf("%3d%%", percent)
}

func barText(e fetch.Event) string {
	return fmt.Sprintf(" %s / %s  %s  eta %s  %s", formatBytes(e.Done), formatBytes(e.Total),
		formatRate(e.Rate), formatETA(e.ETA), plural(e.Active, "connection"))
}

// formatETA writes a time that is only an estimate, in whole seconds.
func formatETA(d time.Duration) string {
	if d > 0 {
		d = max(d.Round(time.Second), time.Second)
	}
	return formatDuration(d)
}

// stopBar ends the bar, complete or not, and gives messages their way back.
func (d *display) stopBar() {
	if d.bars == nil {
		return
	}
	if d.bar.Current() > 0 && d.last.Done == d.last.Total {
		d.bar.SetTotal(max(d.last.Total, 1), true)
	}
	d.bar.Abort(false)
	d.bars.Wait()
	d.ui.divert(d.away)
	d.bars = nil
}
