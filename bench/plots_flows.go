package main

import (
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// flowChart draws the rates of flows that share a link over time.
func flowChart(profile string, r *Row) ([]byte, error) {
	p := newPlot(fmt.Sprintf("%s: %s", profile, r.Contender), "seconds", "Mbit/s of file content")
	g := plotter.NewGrid()
	g.Vertical.Width, g.Horizontal.Color = 0, light
	p.Add(g)
	for i, s := range r.Shares {
		var line plotter.XYs
		for k, rate := range s.Rates {
			line = append(line, plotter.XY{X: s.Start + (float64(k)+0.5)*s.Interval, Y: rate / 1e6})
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
	return renderWithLegend(p, 8*vg.Centimeter)
}
