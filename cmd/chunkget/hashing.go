package main

import (
	"fmt"
	"sync"

	"github.com/chunkget/chunkget/fetch"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// hashing shows how far the check of a local file has come: a bar, if somebody is
// there to see it, that vanishes with its end. observe and stop are called from
// one goroutine at a time; the board waits for those of mpb, which read last.
type hashing struct {
	board *board
	bar   *mpb.Bar // nil without one

	mu   sync.Mutex
	last fetch.Event // guarded by mu
}

// observe takes a fetch.EventHash. What is over at once gets no bar.
func (h *hashing) observe(e fetch.Event) {
	if e.Done >= e.Total {
		h.stop()
		return
	}
	h.mu.Lock()
	h.last = e
	h.mu.Unlock()
	if h.bar == nil {
		bars := h.board.progress()
		if bars == nil {
			return
		}
		text := func(f func(fetch.Event) string) decor.Decorator {
			return decor.Any(func(decor.Statistics) string { return f(h.snapshot()) })
		}
		h.bar = bars.New(e.Total, mpb.BarStyle(),
			mpb.PrependDecorators(text(percentText)), mpb.AppendDecorators(text(hashText)))
	}
	h.bar.SetCurrent(e.Done)
}

func (h *hashing) snapshot() fetch.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

func hashText(e fetch.Event) string {
	return fmt.Sprintf(" %s / %s  %s  eta %s  checking against %s", formatBytes(e.Done), formatBytes(e.Total),
		formatRate(e.Rate), formatETA(e.ETA), e.Against)
}

// stop takes the bar away and gives messages their way back.
func (h *hashing) stop() {
	if h.bar == nil {
		return
	}
	h.bar.Abort(true)
	h.bar = nil
	h.board.close()
}
