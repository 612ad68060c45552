package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A Plot is a picture of the report.
type Plot struct {
	File    string // name, for the picture beside the Markdown
	Caption string
	SVG     []byte // document with an XML header
}

// palette has one colour per family of contenders; it is that of Okabe and Ito,
// which people with colour-blindness can tell apart.
var palette = map[string]color.RGBA{
	"chunkget-auto": {0x22, 0x22, 0x22, 0xff},

	"chunkget-udt": {0xd5, 0x5e, 0x00, 0xff},

	"chunkget-udt-native": {0x8c, 0x56, 0x4b, 0xff},
	"chunkget-udt-ledbat": {0x99, 0x99, 0x99, 0xff},
	"chunkget-udt-fixed":  {0xf4, 0xa5, 0x82, 0xff},

	"chunkget-tcp-cubic": {0xe6, 0x9f, 0x00, 0xff},
	"chunkget-tcp-bbr":   {0xf0, 0xc4, 0x42, 0xff},
	"http3":              {0x00, 0x9e, 0x73, 0xff},
	"libudt":             {0xcc, 0x79, 0xa7, 0xff},
	"curl-cubic":         {0x56, 0xb4, 0xe9, 0xff},
	"aria2-cubic":        {0x00, 0x72, 0xb2, 0xff},
	"rclone-cubic":       {0x6a, 0x5a, 0xcd, 0xff},
	"curl-bbr":           {0x8f, 0xd0, 0xf5, 0xff},
	"aria2-bbr":          {0x3a, 0x95, 0xd0, 0xff},
	"rclone-bbr":         {0x9a, 0x8f, 0xe0, 0xff},
}

var (
	grey  = color.RGBA{0x88, 0x88, 0x88, 0xff}
	light = color.RGBA{0xe4, 0xe4, 0xe4, 0xff}
	dark  = color.RGBA{0x33, 0x33, 0x33, 0xff}
)

func colorOf(contender string) color.RGBA {
	if c, ok := palette[contender]; ok {
		return c
	}
	return grey
}

const plotWidth = 18 * vg.Centimeter

// newPlot returns an empty plot in the style of the report.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = 3 * vg.Millimeter
	p.X.Label.Text, p.Y.Label.Text = x, y
	sans := font.Font{Typeface: "Liberation", Variant: "Sans"}
	for _, s := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font.Typeface, s.Font.Variant = sans.Typeface, sans.Variant
		s.Font.Size = 10
		s.Color = dark
	}
	p.Title.TextStyle.Font.Size = 12
	p.Legend.Padding = 1 * vg.Millimeter
	p.Legend.ThumbnailWidth = 6 * vg.Millimeter
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.LineStyle.Color, a.Tick.LineStyle.Color = grey, grey
		a.Label.Padding = 2 * vg.Millimeter
	}
	return p
}

// withFonts names fonts of the same metrics beside the one that the plot was laid
// out with, for whoever does not have that: labels that are wider would be cut off.
func withFonts(svg []byte) []byte {
	return bytes.ReplaceAll(svg, []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arimo,Arial,Helvetica,sans-serif;"))
}

// render draws the plot as SVG.
func render(p *plot.Plot, height vg.Length) ([]byte, error) {
	c := vgsvg.New(plotWidth, height)
	p.Draw(draw.Crop(draw.New(c), 2*vg.Millimeter, -4*vg.Millimeter, 2*vg.Millimeter, -2*vg.Millimeter))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("draw %q: %w", p.Title.Text, err)
	}
	return withFonts(b.Bytes()), nil
}

// A bar is one line of a bar chart.
type bar struct {
	name  string
	color color.RGBA
	parts []float64 // stacked
	low   float64   // ends of the spread, drawn where they differ
	high  float64
	label string // at the end of the bar
}

// barChart draws bars under each other, the first one on top. parts names the
// colours of stacked parts, and is nil where a bar has one part in its own
// colour.
//
// limit is where the axis ends at least, with a line across; 0 means none.
func barChart(title, x string, bars []bar, parts []string, limit float64) ([]byte, error) {
	p := newPlot(title, x, "")
	n := len(bars)
	const rowHeight = 7 * vg.Millimeter
	stack := []color.RGBA{{0x56, 0xb4, 0xe9, 0xff}, {0xd5, 0x5e, 0x00, 0xff}}
	p.Add(verticalGrid())

	var ticks []plot.Tick
	var labels plotter.XYLabels
	most := 0.0
	for i, b := range bars {
		y := float64(n - 1 - i)
		ticks = append(ticks, plot.Tick{Value: y, Label: b.name})
		start := 0.0
		for k, v := range b.parts {
			fill := b.color
			if parts != nil {
				fill = stack[k%len(stack)]
			}
			poly, err := plotter.NewPolygon(plotter.XYs{{X: start, Y: y - 0.35}, {X: start + v, Y: y - 0.35}, {X: start + v, Y: y + 0.35}, {X: start, Y: y + 0.35}})
			if err != nil {
				return nil, err
			}
			poly.Color, poly.LineStyle.Width = fill, 0
			p.Add(poly)
			start += v
		}
		at := start
		if b.high > b.low {
			line, err := plotter.NewLine(plotter.XYs{{X: b.low, Y: y}, {X: b.high, Y: y}})
			if err != nil {
				return nil, err
			}
			line.Width, line.Color = 1.2, dark
			p.Add(line)
			at = max(at, b.high)
		}
		most = max(most, at)
		labels.XYs = append(labels.XYs, plotter.XY{X: at, Y: y})
		labels.Labels = append(labels.Labels, b.label)
	}
	if most == 0 {
		most = 1
	}
	if limit > 0 {
		line, err := plotter.NewLine(plotter.XYs{{X: limit, Y: -0.6}, {X: limit, Y: float64(n) - 0.4}})
		if err != nil {
			return nil, err
		}
		line.Color, line.Dashes, line.Width = dark, []vg.Length{4, 3}, 1.2
		p.Add(line)
	}
	l, err := plotter.NewLabels(labels)
	if err != nil {
		return nil, err
	}
	l.Offset = vg.Point{X: 1.5 * vg.Millimeter}
	for i := range l.TextStyle {
		s := &l.TextStyle[i]
		s.Font.Typeface, s.Font.Variant, s.Font.Size = "Liberation", "Sans", 9
		s.Color, s.YAlign = dark, text.YCenter
	}
	p.Add(l)
	if parts != nil {
		for k, name := range parts {
			p.Legend.Add(name, swatch{stack[k%len(stack)]})
		}
		p.Legend.Top = false
	}
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Tick.LineStyle.Width = 0
	p.X.Min, p.X.Max = 0, max(most*1.18, limit*1.02)
	p.Y.Min, p.Y.Max = -0.6, float64(n)-0.4
	return render(p, vg.Length(n)*rowHeight+28*vg.Millimeter)
}

// swatch is the colour of a part in the legend.
type swatch struct{ color color.Color }

func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(s.color, []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}})
}

func verticalGrid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Width = light, 0
	return g
}

// A series is one line of a line chart.
type series struct {
	name   string
	color  color.RGBA
	dashed bool
	points []point
}

// point is a median with the ends of its spread.
type point struct{ x, y, low, high float64 }

// lineChart draws series over an axis whose ticks are the values that occur.
func lineChart(title, x, y string, all []series, scale axisScale) ([]byte, error) {
	p := newPlot(title, x, y)
	g := plotter.NewGrid()
	g.Vertical.Width, g.Horizontal.Color = 0, light
	p.Add(g)
	var xs []float64
	for i, s := range all {
		// Points of different series over the same x stand side by side.
		shift := (float64(i) - float64(len(all)-1)/2) * 0.012
		var line plotter.XYs
		var bars yErrorBars
		for _, pt := range s.points {
			if !slices.Contains(xs, pt.x) {
				xs = append(xs, pt.x)
			}
			at := plotter.XY{X: scale.at(pt.x) + shift*scale.unit, Y: pt.y}
			line = append(line, at)
			bars.XYs = append(bars.XYs, at)
			bars.YErrors = append(bars.YErrors, struct{ Low, High float64 }{pt.y - pt.low, pt.high - pt.y})
		}
		l, dots, err := plotter.NewLinePoints(line)
		if err != nil {
			return nil, err
		}
		l.Color, l.Width = s.color, 1.6
		dots.Shape, dots.Color, dots.Radius = draw.CircleGlyph{}, s.color, 2.5
		if s.dashed {
			l.Dashes, l.Width = []vg.Length{4, 3}, 1.2
			p.Add(l)
			p.Legend.Add(s.name, l)
			continue
		}
		e, err := plotter.NewYErrorBars(bars)
		if err != nil {
			return nil, err
		}
		e.Color, e.CapWidth = s.color, 4
		p.Add(e, l, dots)
		p.Legend.Add(s.name, l, dots)
	}
	slices.Sort(xs)
	var ticks []plot.Tick
	for _, v := range xs {
		ticks = append(ticks, plot.Tick{Value: scale.at(v), Label: scale.label(v)})
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	if len(xs) > 0 {
		margin := 0.06 * max(scale.at(xs[len(xs)-1])-scale.at(xs[0]), scale.unit)
		p.X.Min, p.X.Max = scale.at(xs[0])-margin, scale.at(xs[len(xs)-1])+margin
	}
	p.Y.Min = 0
	p.Y.Max *= 1.08
	return renderWithLegend(p, 9*vg.Centimeter)
}

// yErrorBars is what plotter.NewYErrorBars takes.
type yErrorBars struct {
	plotter.XYs
	plotter.YErrors
}

// axisScale places values on an axis.
type axisScale struct {
	at    func(float64) float64
	unit  float64 // a distance on the axis that one can see
	label func(float64) string
}

var (
	// connectionScale doubles with each step.
	connectionScale = axisScale{math.Log2, 1, func(v float64) string { return strconv.Itoa(int(v)) }}

	// lossScale has no loss at 0.01 %, where the logarithmic part begins.
	lossScale = axisScale{func(v float64) float64 { return math.Log10(max(v, 1e-4)) }, 0.5, func(v float64) string { return fmt.Sprintf("%.3g %%", 100*v) }}

	rttScale = axisScale{math.Log2, 1, formatSeconds}
)

// renderWithLegend draws the plot with its legend to the right of it.
func renderWithLegend(p *plot.Plot, height vg.Length) ([]byte, error) {
	legend := p.Legend
	legend.Top, legend.Left = true, true
	p.Legend = plot.NewLegend()
	c := vgsvg.New(plotWidth, height)
	whole := draw.Crop(draw.New(c), 2*vg.Millimeter, -2*vg.Millimeter, 2*vg.Millimeter, -2*vg.Millimeter)
	width := legend.Rectangle(whole).Size().X + 4*vg.Millimeter
	p.Draw(draw.Crop(whole, 0, -width, 0, 0))
	legend.Draw(draw.Crop(whole, whole.Size().X-width+4*vg.Millimeter, 0, 0, -10*vg.Millimeter))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("draw %q: %w", p.Title.Text, err)
	}
	return withFonts(b.Bytes()), nil
}

// fileName makes a name for a picture from words.
func fileName(words ...string) string {
	var b []byte
	for i, w := range words {
		if i > 0 {
			b = append(b, '-')
		}
		for _, c := range []byte(w) {
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
				b = append(b, c)
			} else {
				b = append(b, '-')
			}
		}
	}
	return string(b) + ".svg"
}

// plots draws the pictures of one link.
func (s *Section) plots(prefix string) ([]Plot, error) {
	var out []Plot
	var err error
	add := func(file, caption string, svg []byte, e error) {
		if e != nil {
			err = cmp.Or(err, e)
			return
		}
		out = append(out, Plot{fileName(prefix, file), caption, svg})
	}

	var bars []bar
	for _, c := range s.Cells {
		if c.Rate.N == 0 {
			continue
		}
		v, scale, unit := c.Share, 1.0, ""
		if s.Link.Rate == 0 {
			v, scale, unit = c.Rate, 1e-9, " Gbit/s"
		}
		label := fmt.Sprintf("%s%.2f%s", either(c.Bounded(), "< ", ""), v.Median*scale, unit)
		bars = append(bars, bar{c.Name(), colorOf(c.Contender), []float64{v.Median * scale}, v.Min * scale, v.Max * scale, label})
	}
	if len(bars) > 0 {
		axis, caption := "share of the physical limit", "Share of the physical limit, medians; the line runs from the worst to the best repetition, the dashed one is the limit."
		if s.Link.Rate == 0 {
			axis, caption = "Gbit/s of file content", "Throughput, medians; the line runs from the worst to the best repetition."
		}
		svg, e := barChart(s.Profile+": how fast", axis, bars, nil, either(s.Link.Rate == 0, 0.0, 1.0))
		add("share", caption, svg, e)
	}
	if all := s.overConnections(); len(all) > 0 {
		svg, e := lineChart(s.Profile+": throughput over connections", "connections (segments fetched in parallel)", "Mbit/s of file content", all, connectionScale)
		add("connections", "Throughput over the number of connections: median, with the worst and the best repetition.", svg, e)
	}
	if b := s.bars(func(c *Cell) (bar, bool) {
		total := c.ClientCPU.Median + c.ServerCPU.Median
		return bar{parts: []float64{c.ClientCPU.Median, c.ServerCPU.Median}, label: fmt.Sprintf("%.2g + %.2g", c.ClientCPU.Median, c.ServerCPU.Median)}, total > 0
	}); len(b) > 0 {
		svg, e := barChart(s.Profile+": CPU time per gigabyte", "CPU seconds per 10^9 bytes", b, []string{"client", "server"}, 0)
		add("cpu", "CPU time of client and server, medians. chunkget verifies what it has written, the others do not.", svg, e)
	}
	if b := s.bars(func(c *Cell) (bar, bool) {
		v := c.Surplus
		return bar{parts: []float64{max(0, 100*v.Median)}, low: max(0, 100*v.Min), high: max(0, 100*v.Max), label: formatPercent(v.Median)}, v.N > 0
	}); len(b) > 0 {
		svg, e := barChart(s.Profile+": sent in addition", "% of the bytes that were needed", b, nil, 0)
		add("surplus", "Bytes that the server sent beyond the file in full packets, as the link saw them: retransmissions, additional headers, and what the client asked for and threw away.", svg, e)
	}
	if b := s.bars(func(c *Cell) (bar, bool) {
		v := c.RetransmittedShare
		return bar{parts: []float64{100 * v.Median}, low: 100 * v.Min, high: 100 * v.Max, label: formatPercent(v.Median)}, v.N > 0
	}); len(b) > 0 {
		svg, e := barChart(s.Profile+": packets sent again", "% of the packets that the server sent", b, nil, 0)
		add("retransmitted", "Packets that the server says it sent again, as a share of all that it offered to the link. HTTP/3 does not say.", svg, e)
	}
	if b := s.bars(func(c *Cell) (bar, bool) {
		v := c.FirstByte
		return bar{parts: []float64{v.Median}, low: v.Min, high: v.Max, label: formatSeconds(math.Round(v.Median*1e3) / 1e3)}, v.N > 0
	}); len(b) > 0 {
		svg, e := barChart(s.Profile+": time to the first byte", "seconds from the start of the client", b, nil, 0)
		add("first-byte", "Time from the start of the client until the first byte was in the file.", svg, e)
	}
	for i, r := range s.Flows {
		if !r.ok() || len(r.Shares) == 0 || r.Link.Rate == 0 {
			continue
		}
		svg, e := flowChart(s.Profile, r)
		add(fmt.Sprintf("flows-%d", i+1), "Two flows sharing the link: the share of its payload that each had, averaged over a second; more than 1 is data that had waited for a lost packet.", svg, e)
	}
	return out, err
}

// bars makes a bar of each cell that has the figure.
func (s *Section) bars(of func(*Cell) (bar, bool)) []bar {
	var out []bar
	for _, c := range s.Cells {
		if b, ok := of(c); ok && c.OK > 0 {
			b.name, b.color = c.Name(), colorOf(c.Contender)
			out = append(out, b)
		}
	}
	return out
}

// overConnections returns a line for each contender that was measured with more
// than one number of connections, and the limit.
func (s *Section) overConnections() []series {
	var out []series
	var low, high float64
	for _, c := range s.Cells {
		if c.Rate.N == 0 {
			continue
		}
		if len(out) == 0 || out[len(out)-1].name != c.Contender {
			out = append(out, series{name: c.Contender, color: colorOf(c.Contender)})
		}
		line := &out[len(out)-1]
		x := float64(c.Connections)
		line.points = append(line.points, point{x, c.Rate.Median / 1e6, c.Rate.Min / 1e6, c.Rate.Max / 1e6})
		low, high = either(low == 0, x, min(low, x)), max(high, x)
	}
	out = slices.DeleteFunc(out, func(l series) bool { return len(l.points) < 2 })
	if limit := limitSeconds(s.Link, s.Size); limit > 0 && len(out) > 0 {
		y := float64(s.Size) * 8 / limit / 1e6
		out = append(out, series{name: "physical limit", color: dark, dashed: true, points: []point{{low, y, y, y}, {high, y, y, y}}})
	}
	return out
}
