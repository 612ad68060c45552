package main

import (
	"bytes"
	"fmt"
	"image/color"
	"slices"

	"github.com/chunkget/chunkget/internal/trace"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Colours of the plots over time, of the palette.
var (
	orange = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	blue   = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	green  = color.RGBA{0x00, 0x9e, 0x73, 0xff}

	// stateColors are those of states in the order in which they occur.
	stateColors = []color.RGBA{blue, orange, green, {0xcc, 0x79, 0xa7, 0xff}, {0xe6, 0x9f, 0x00, 0xff}, {0x56, 0xb4, 0xe9, 0xff}, grey}
)

// draw shows a flow over time: rate, round trips with the queue, and state, one
// below the other over the same seconds.
func (f *traceFlow) draw(name string) ([]byte, error) {
	rates, err1 := f.curves(name, "Mbit/s", 1e-6,
		curve{"received or sent", orange, false, func(m *moment) float64 { return m.rate }},
		curve{"pacing rate", grey, true, func(m *moment) float64 { return m.pacing }})
	delays, err2 := f.curves("", "ms", 1e3,
		curve{"round trip", blue, false, func(m *moment) float64 { return m.rtt }},
		curve{"shortest", dark, true, func(m *moment) float64 { return m.least }},
		curve{"queue", orange, false, func(m *moment) float64 { return m.queue }})
	states, n, err3 := f.states()
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return nil, err
		}
	}
	end := f.moments[len(f.moments)-1].time
	panels := []*plot.Plot{rates, delays, states}
	heights := []vg.Length{6 * vg.Centimeter, 5 * vg.Centimeter, vg.Length(n)*6*vg.Millimeter + 14*vg.Millimeter}
	if n == 0 {
		panels, heights = panels[:2], heights[:2]
	}
	panels[len(panels)-1].X.Label.Text = "seconds"
	total := 4 * vg.Millimeter
	for i, p := range panels {
		p.X.Min, p.X.Max = 0, max(end, 0.1)
		total += heights[i]
	}
	c := vgsvg.New(plotWidth, total)
	whole := draw.Crop(draw.New(c), 2*vg.Millimeter, -4*vg.Millimeter, 2*vg.Millimeter, -2*vg.Millimeter)
	// The axes of all panels begin below each other: at that with the widest labels.
	left := vg.Length(0)
	for _, p := range panels {
		left = max(left, p.DataCanvas(whole).Min.X-whole.Min.X)
	}
	top := whole.Max.Y
	for i, p := range panels {
		area := draw.Crop(whole, 0, 0, top-heights[i]-whole.Min.Y, top-whole.Max.Y)
		area = draw.Crop(area, left-(p.DataCanvas(area).Min.X-area.Min.X), 0, 0, 0)
		p.Draw(area)
		top -= heights[i]
	}
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("draw %q: %w", name, err)
	}
	return withFonts(b.Bytes()), nil
}

// A curve is a quantity of a flow over time, negative where it is not known.
type curve struct {
	name   string
	color  color.RGBA
	dashed bool
	of     func(*moment) float64
}

func (f *traceFlow) curves(title, unit string, scale float64, all ...curve) (*plot.Plot, error) {
	p := newPlot(title, "", unit)
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = light, light
	p.Add(g)
	most := 0.0
	for _, c := range all {
		var line plotter.XYs
		for i := range f.moments {
			if v := c.of(&f.moments[i]); v >= 0 {
				line = append(line, plotter.XY{X: f.moments[i].time, Y: v * scale})
				if !c.dashed {
					most = max(most, v*scale)
				}
			}
		}
		if len(line) == 0 {
			continue
		}
		l, err := plotter.NewLine(line)
		if err != nil {
			return nil, err
		}
		l.Color, l.Width = c.color, 1.4
		if c.dashed {
			l.Dashes, l.Width = []vg.Length{4, 3}, 1.1
		}
		p.Add(l)
		p.Legend.Add(c.name, l)
	}
	p.Legend.Top = true
	// With room for the legend. A pacing rate may be far above everything.
	p.Y.Min, p.Y.Max = 0, max(most*1.5, 1e-3)
	return p, nil
}

// states draws a row for each state that occurs and a bar while it lasts. It
// returns the number of rows.
func (f *traceFlow) states() (*plot.Plot, int, error) {
	p := newPlot("", "", "")
	p.Add(verticalGrid())
	var names []string
	for _, m := range f.moments {
		if m.state != "" && !slices.Contains(names, m.state) {
			names = append(names, m.state)
		}
	}
	row := func(state string) float64 { return float64(len(names) - 1 - slices.Index(names, state)) }
	before := max(0, f.moments[0].time-trace.Interval.Seconds())
	for i := 0; i < len(f.moments); {
		m := &f.moments[i]
		end := m.time
		for i++; i < len(f.moments) && f.moments[i].state == m.state; i++ {
			end = f.moments[i].time
		}
		if m.state != "" {
			y := row(m.state)
			bar, err := plotter.NewPolygon(plotter.XYs{{X: before, Y: y - 0.35}, {X: end, Y: y - 0.35}, {X: end, Y: y + 0.35}, {X: before, Y: y + 0.35}})
			if err != nil {
				return nil, 0, err
			}
			bar.Color, bar.LineStyle.Width = stateColors[slices.Index(names, m.state)%len(stateColors)], 0
			p.Add(bar)
		}
		before = end
	}
	var ticks []plot.Tick
	for _, s := range names {
		ticks = append(ticks, plot.Tick{Value: row(s), Label: s})
	}
	p.Y.Tick.Marker, p.Y.Tick.LineStyle.Width = plot.ConstantTicks(ticks), 0
	p.Y.Min, p.Y.Max = -0.6, float64(len(names))-0.4
	return p, len(names), nil
}
