package main

import (
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// smoothing is the time in seconds over which the plot of flows averages:
// clients write in blocks, which the samples of single intervals show.
const smoothing = 1.0

// flowChart draws over time which share of the link flows have that share it.
func flowChart(profile string, r *Row) ([]byte, error) {
	p := newPlot(fmt.Sprintf("%s: %s", profile, r.Contender), "seconds", "share of what the link carries")
	g := plotter.NewGrid()
	g.Vertical.Width, g.Horizontal.Color = 0, light
	p.Add(g)
	for i, s := range r.Shares {
		var line plotter.XYs
		rates := smooth(s.Rates, max(1, int(smoothing/max(s.Interval, 1e-3))))
		for k, rate := range rates {
			line = append(line, plotter.XY{X: s.Start + (float64(k)+0.5)*s.Interval, Y: rate / payloadRate(r.Link)})
		}
		if len(line) == 0 {
			continue
		}
		l, err := plotter.NewLine(line)
		if err != nil {
			return nil, err
		}
		l.Color, l.Width = colorOf(s.Contender), 1.6
		if i > 0 && s.Contender == r.Shares[0].Contender {
			l.Color = dark
		}
		p.Add(l)
		p.Legend.Add(fmt.Sprintf("%s (%d)", s.Contender, i+1), l)
	}
	p.X.Tick.Marker = plot.DefaultTicks{}
	p.X.Min, p.Y.Min = 0, 0
	p.Y.Max = max(p.Y.Max, 1)
	return renderWithLegend(p, 8*vg.Centimeter)
}

// smooth returns the mean of up to n values around each one.
func smooth(values []float64, n int) []float64 {
	out := make([]float64, len(values))
	for i := range values {
		out[i] = mean(values[max(0, i-(n-1)/2):min(len(values), i+n/2+1)])
	}
	return out
}
