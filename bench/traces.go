package main

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chunkget/chunkget/internal/trace"
)

//go:embed traces.html.tmpl
var tracesHTML string

//go:embed traces.md.tmpl
var tracesMarkdown string

// A TraceReport shows traces over time.
type TraceReport struct {
	Traces  []TraceSection
	PlotDir string // folder of the plots, relative to the Markdown
}

// TraceSection is one trace.
type TraceSection struct {
	Name   string // of the file
	Header trace.Header
	Plots  []Plot
}

// writeTraces draws traces into a folder, with a page and Markdown around them.
func writeTraces(files []string, out string, log io.Writer) error {
	r := &TraceReport{PlotDir: "plots"}
	names := make(map[string]int)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		if names[name]++; names[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, names[name])
		}
		s, err := traceSection(file, name)
		if err != nil {
			return fmt.Errorf("trace %s: %w", file, err)
		}
		if len(s.Plots) == 0 {
			fmt.Fprintf(log, "bench: trace %s is left out: no connection in it moved data\n", file)
			continue
		}
		r.Traces = append(r.Traces, s)
	}
	if len(r.Traces) == 0 {
		return errors.New("no connection in the traces moved data")
	}
	plots := filepath.Join(out, r.PlotDir)
	if err := os.MkdirAll(plots, 0o777); err != nil {
		return err
	}
	for _, s := range r.Traces {
		for _, p := range s.Plots {
			if err := os.WriteFile(filepath.Join(plots, p.File), p.SVG, 0o666); err != nil {
				return fmt.Errorf("write plot: %w", err)
			}
		}
	}
	page, markdown := filepath.Join(out, "traces.html"), filepath.Join(out, "traces.md")
	if err := errors.Join(writeTo(page, r.html), writeTo(markdown, r.markdown)); err != nil {
		return err
	}
	fmt.Fprintf(log, "bench: traces: %s and %s\n", page, markdown)
	return nil
}

func (r *TraceReport) html(w io.Writer) error     { return executeHTML(w, tracesHTML, r) }
func (r *TraceReport) markdown(w io.Writer) error { return executeMarkdown(w, tracesMarkdown, r) }

func traceSection(file, name string) (TraceSection, error) {
	f, err := os.Open(file)
	if err != nil {
		return TraceSection{}, err
	}
	defer f.Close()
	h, samples, err := trace.Read(f)
	if err != nil {
		return TraceSection{}, err
	}
	s := TraceSection{Name: name, Header: h}
	for i, fl := range traceFlows(samples) {
		svg, err := fl.draw(name)
		if err != nil {
			return s, err
		}
		caption := fmt.Sprintf("%s with %s: rate of all connections together; round trips and queueing delay; what the congestion control does (%s).",
			strings.ToUpper(fl.transport), fl.peer, cmp.Or(fl.controllers(), "not known"))
		s.Plots = append(s.Plots, Plot{fileName("trace", name, fmt.Sprint(i+1)), caption, svg})
	}
	return s, nil
}

// A traceFlow is the connections of a trace that share a path: those to one
// endpoint over UDT, and to one host over TCP.
type traceFlow struct {
	transport, peer string
	moments         []moment // by time
}

// moment is what a flow did at one time. Quantities that nothing is known of are
// negative.
type moment struct {
	time              float64 // s
	rate              float64 // bit/s, over all connections
	pacing            float64 // bit/s
	rtt, least, queue float64 // s
	controller, state string  // of the busiest connection
}

// leastFlow is the bytes that a flow must have moved to be shown.
const leastFlow = 64 << 10

func traceFlows(samples []trace.Sample) []traceFlow {
	type key struct{ transport, peer string }
	byKey := make(map[key]map[float64][]trace.Sample)
	bytes := make(map[key]int64)
	var order []key
	for _, s := range samples {
		k := key{s.Transport, s.Remote}
		if host, _, err := net.SplitHostPort(s.Remote); err == nil && s.Transport == "tcp" {
			k.peer = host
		}
		if byKey[k] == nil {
			byKey[k] = make(map[float64][]trace.Sample)
			order = append(order, k)
		}
		byKey[k][s.Time] = append(byKey[k][s.Time], s)
		bytes[k] = max(bytes[k], s.Bytes)
	}
	var flows []traceFlow
	for _, k := range order {
		if bytes[k] < leastFlow {
			continue
		}
		f := traceFlow{transport: k.transport, peer: k.peer}
		for _, at := range slices.Sorted(maps.Keys(byKey[k])) {
			f.moments = append(f.moments, momentOf(at, byKey[k][at]))
		}
		flows = append(flows, f)
	}
	return flows
}

// momentOf joins the samples that connections of a flow have at one time. What
// each of them knows of the path they share is averaged; a pacing rate is common
// to all, unless each connection has a controller of its own.
func momentOf(at float64, samples []trace.Sample) moment {
	m := moment{time: at, pacing: -1, rtt: -1, least: -1, queue: -1}
	var rtts, least, queues []float64
	busiest := -1.0
	for _, s := range samples {
		m.rate += s.Rate
		if p := s.PacingRate; p != nil {
			if s.Transport == "tcp" || s.Controller == "udt" {
				m.pacing = max(m.pacing, 0) + *p
			} else {
				m.pacing = max(m.pacing, *p)
			}
		}
		if s.RTT != nil && s.MinRTT != nil && s.Queue != nil {
			rtts, least, queues = append(rtts, *s.RTT), append(least, *s.MinRTT), append(queues, *s.Queue)
		}
		if s.Rate > busiest {
			busiest, m.controller, m.state = s.Rate, s.Controller, s.State
		}
	}
	if len(rtts) > 0 {
		m.rtt, m.least, m.queue = mean(rtts), mean(least), mean(queues)
	}
	return m
}

// controllers names the controllers that a flow had, in their order.
func (f *traceFlow) controllers() string {
	var names []string
	for _, m := range f.moments {
		if m.controller != "" && !slices.Contains(names, m.controller) {
			names = append(names, m.controller)
		}
	}
	return strings.Join(names, ", ")
}
