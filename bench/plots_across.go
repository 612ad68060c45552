package main

import (
	"fmt"
	"slices"
)

// acrossLinks draws the share of the limit over loss and over RTT, where links
// differ in that alone, or failing that, over all links of one scenario that
// differ in it at all.
func acrossLinks(sections []*Section) ([]Plot, error) {
	var out []Plot
	for _, axis := range []struct {
		name, label string
		scale       axisScale
		of          func(Link) float64
		fixed       func(Link) Link // with what the axis shows set to 0
	}{
		{"loss", "packets lost", lossScale, func(l Link) float64 { return l.Loss }, func(l Link) Link { l.Loss = 0; return l }},
		{"rtt", "round trip time", rttScale, func(l Link) float64 { return l.RTT }, func(l Link) Link { l.RTT = 0; return l }},
	} {
		groups := make(map[Link][]*Section)
		var order []Link
		for _, s := range sections {
			if s.Link.Rate == 0 {
				continue
			}
			key := axis.fixed(s.Link)
			if groups[key] == nil {
				order = append(order, key)
			}
			groups[key] = append(groups[key], s)
		}
		var chosen [][]*Section
		for _, key := range order {
			if len(groups[key]) > 1 {
				chosen = append(chosen, groups[key])
			}
		}
		title, note := "share of the limit over "+axis.label, ""
		if len(chosen) == 0 {
			var all []*Section
			for _, key := range order {
				all = append(all, groups[key]...)
			}
			chosen, note = [][]*Section{all}, " The links differ in more than that."
		}
		for i, group := range chosen {
			lines := over(group, axis.of)
			if len(lines) == 0 {
				continue
			}
			svg, err := lineChart(title, axis.label, "share of the physical limit", lines, axis.scale)
			if err != nil {
				return nil, err
			}
			file := fileName("over", axis.name)
			if i > 0 {
				file = fileName("over", axis.name, fmt.Sprint(i+1))
			}
			out = append(out, Plot{file, "Share of the physical limit over " + axis.label + ", medians." + note, svg})
		}
	}
	return out, nil
}

// over returns a line for each contender, with its best number of connections at
// each place, where links differ in what of returns.
func over(sections []*Section, of func(Link) float64) []series {
	var out []series
	for _, s := range sections {
		x := of(s.Link)
		for _, c := range s.Cells {
			if c.Share.N == 0 {
				continue
			}
			i := slices.IndexFunc(out, func(l series) bool { return l.name == c.Contender })
			if i < 0 {
				i = len(out)
				out = append(out, series{name: c.Contender, color: colorOf(c.Contender)})
			}
			p := point{x, c.Share.Median, c.Share.Min, c.Share.Max}
			points := &out[i].points
			switch k := slices.IndexFunc(*points, func(q point) bool { return q.x == x }); {
			case k < 0:
				*points = append(*points, p)
			case (*points)[k].y < p.y:
				(*points)[k] = p
			}
		}
	}
	for _, l := range out {
		slices.SortFunc(l.points, func(a, b point) int { return either(a.x < b.x, -1, 1) })
	}
	return slices.DeleteFunc(out, func(l series) bool { return len(l.points) < 2 })
}
