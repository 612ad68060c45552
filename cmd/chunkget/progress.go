package main

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/printable"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// refreshInterval is the time between two drawings of the progress bar.
const refreshInterval = 200 * time.Millisecond

// display shows one download as text: a line when it starts, a bar while it runs
// if somebody is there to see it, a line when it is done.
//
// observe and end are called from one goroutine at a time. The bar is drawn by
// goroutines of mpb, which read last under mu; the board waits for them, and for
// that of one file end does.
type display struct {
	ui    *ui
	board *board
	bar   *mpb.Bar // nil without one
	// hashing is for when the file is read once more, for its digest.
	hashing *hashing

	mu   sync.Mutex
	last fetch.Event // guarded by mu
}

func newDisplay(b *board) *display { return &display{ui: b.ui, board: b, hashing: &hashing{board: b}} }

func (d *display) observe(e fetch.Event) {
	switch e.Kind {
	case fetch.EventStart:
		d.ui.info("%s", startLine(e))
		d.startBar(e)
	case fetch.EventProgress:
		d.update(e)
	case fetch.EventHash:
		d.hashing.observe(e)
	case fetch.EventPieceBad:
		d.ui.info("piece %d is bad and will be fetched again: %s (try %d)", e.Piece, e.Reason, e.Try)
	case fetch.EventRetry:
		d.ui.detail("request failed and is made again in %s: %s (try %d)", formatDuration(e.Delay), e.Reason, e.Try)
	case fetch.EventMirrorDropped:
		d.ui.info("note: going on without %s: %s", quote(e.Mirror), e.Reason)
	case fetch.EventNote:
		d.ui.info("note: %s", e.Reason)
	case fetch.EventDone:
		d.update(e)
		d.stopBar()
		d.ui.info("%s", summary(e.Result, e.Reason))
	}
}

func (d *display) end(error) {
	d.hashing.stop()
	d.stopBar()
}

func startLine(e fetch.Event) string {
	size := "size not known"
	if e.Total >= 0 {
		size = formatBytes(e.Total)
	}
	to := quote(e.Path)
	if e.Path == "-" {
		to = "stdout"
	}
	text := fmt.Sprintf("fetching %s to %s, %s", quote(e.URL), to, size)
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
	if d.bar != nil {
		return
	}
	bars := d.board.progress()
	if bars == nil {
		return
	}
	d.update(e)
	d.board.show(d)
	text := func(f func(fetch.Event) string) decor.Decorator {
		return decor.Any(func(decor.Statistics) string { return f(d.snapshot()) })
	}
	ending := mpb.BarOptional(mpb.BarRemoveOnComplete(), d.board.several())
	name := mpb.PrependDecorators()
	if d.board.several() {
		name = mpb.PrependDecorators(decor.Name(barName(e.Path)))
	}
	if e.Total < 0 {
		d.bar = bars.AddSpinner(0, ending, name, mpb.AppendDecorators(text(func(e fetch.Event) string {
			return fmt.Sprintf(" %s  %s", formatBytes(e.Done), formatRate(e.Rate))
		})))
		return
	}
	d.bar = bars.New(max(e.Total, 1), mpb.BarStyle(), ending, name,
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

// nameWidth is the room for the name of a file beside its bar, in characters.
const nameWidth = 24

// barName is the end of a path that tells a file from others, in nameWidth
// characters and one space.
func barName(path string) string {
	name := []rune(printable.Text(filepath.Base(path)))
	if len(name) > nameWidth {
		name = append(append(name[:nameWidth/2:nameWidth/2], '…'), name[len(name)-nameWidth/2+1:]...)
	}
	return fmt.Sprintf("%-*s ", nameWidth, string(name))
}

// stopBar ends the bar, complete or not. One of several vanishes.
func (d *display) stopBar() {
	if d.bar == nil {
		return
	}
	d.board.hide(d)
	if d.bar.Current() > 0 && d.last.Done == d.last.Total {
		d.bar.SetTotal(max(d.last.Total, 1), true)
	}
	d.bar.Abort(d.board.several())
	d.bar = nil
	if !d.board.several() {
		d.board.close()
	}
}
