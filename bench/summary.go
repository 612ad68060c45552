package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A Cell is all transfers of one contender with one number of connections over
// one link.
type Cell struct {
	Contender   string
	Connections int
	Size        int64 // bytes

	// Of the transfers that ended well or ran out of time. A transfer that ran
	// out of time counts with the time it had, so its rate is an upper bound.
	Rate  Spread // bit/s
	Share Spread // of the physical limit

	// Of the transfers that ended well. N is 0 where nothing is known.
	FirstByte             Spread // seconds
	SecondHalf            Spread // share of the link's rate, see Row.secondHalf
	ClientCPU, ServerCPU  Spread // seconds per 10⁹ bytes
	ClientRAM, ServerRAM  Spread // peak, bytes
	Surplus               Spread // see surplus
	Retransmitted         Spread // packets
	RetransmittedShare    Spread // of the packets that the server sent
	OK, Timeouts, Bad     int    // transfers, by what became of them
	Refused               int
	NotRepeated           bool     // a run stopped its first transfer and made no more
	Reasons               []string // why transfers are bad or refused, each once
	Unsteady              string   // why the median is not to be relied on, "" if nothing is known against it
	skipped               string
	rates                 []float64
	byRun                 map[string][]float64
	order                 int // of the contender in its table
	far, placed           int // transfers whose processors share no cache, and of which it is known, see lineTime
	shares                []float64
	first, ccpu, scpu     []float64
	cram, sram, sur, retr []float64
	again, half           []float64
}

// Bounded reports whether the median stands for transfers that ran out of time,
// so that the real one is below. A stopped transfer is slower than any that
// ended, so the median is known as long as the stopped ones are fewer than half.
func (c *Cell) Bounded() bool { return c.Timeouts > 0 && 2*c.Timeouts >= c.Rate.N }

// Name names the contender with its connections.
func (c *Cell) Name() string { return fmt.Sprintf("%s ×%d", c.Contender, c.Connections) }

// A Section is all that is known of one link.
type Section struct {
	Scenario, Profile string
	Link              Link
	Size              int64
	Cells             []*Cell  // in the order of the contenders, those with figures
	Skipped           []string // contenders that could not run, with the reason
	Flows             []*Row   // of the fairness scenario
}

// steadiness is how far the medians of two runs may lie apart, as a share of
// the smaller one, and how far the repetitions of a single run may.
const (
	steadiness     = 0.10
	repetitionBand = 0.25
)

// summarize sorts rows into sections and cells.
func summarize(rows []Row) []*Section {
	order := make(map[string]int)
	for i, c := range contenders() {
		order[c.name] = i + 1
	}
	type sectionKey struct {
		scenario, profile string
		link              Link
		size              int64
	}
	type cellKey struct {
		sectionKey
		contender   string
		connections int
	}
	sections := make(map[sectionKey]*Section)
	cells := make(map[cellKey]*Cell)
	var out []*Section
	// Flows after the transfers, for they join the section of their link.
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b Row) int {
		flows := func(r Row) int { return either(r.Scenario == scenarioFairness, 1, 0) }
		return flows(a) - flows(b)
	})
	for i := range rows {
		r := &rows[i]
		scenario := r.Scenario
		if scenario == scenarioFairness {
			scenario = scenarioWAN // the same link, so the same section
		}
		key := sectionKey{scenario, r.Profile, r.Link, r.Size}
		if r.Scenario == scenarioFairness {
			// Flows of any size belong to the section of their link.
			for k := range sections {
				if k.scenario == scenario && k.profile == r.Profile && k.link == r.Link && (sections[key] == nil || k.size < key.size) {
					key = k
				}
			}
		}
		s := sections[key]
		if s == nil {
			s = &Section{Scenario: scenario, Profile: r.Profile, Link: r.Link, Size: r.Size}
			sections[key] = s
			out = append(out, s)
		}
		if r.Scenario == scenarioFairness {
			if n := len(s.Flows); n > 0 && s.Flows[n-1].Status == statusRefused && s.Flows[n-1].Contender == r.Contender && s.Flows[n-1].Run == r.Run {
				s.Flows = s.Flows[:n-1] // r is the next try
			}
			s.Flows = append(s.Flows, r)
			continue
		}
		at := cellKey{key, r.Contender, r.Connections}
		c := cells[at]
		if c == nil {
			c = &Cell{Contender: r.Contender, Connections: r.Connections, Size: r.Size, order: order[r.Contender], byRun: make(map[string][]float64)}
			cells[at] = c
			s.Cells = append(s.Cells, c)
		}
		c.add(r)
	}
	for _, s := range out {
		s.finish()
	}
	return out
}

// finish sorts the cells and sums each up. One with nothing but skipped rows goes; why
// they were skipped stays.
func (s *Section) finish() {
	slices.SortStableFunc(s.Cells, func(a, b *Cell) int {
		if a.order != b.order {
			return a.order - b.order
		}
		return a.Connections - b.Connections
	})
	for _, c := range s.Cells {
		if !c.empty() {
			c.finish()
		} else if why := c.Contender + ": " + c.skipped; !slices.Contains(s.Skipped, why) {
			s.Skipped = append(s.Skipped, why)
		}
	}
	s.Cells = slices.DeleteFunc(s.Cells, (*Cell).empty)
}

// empty reports whether nothing was tried.
func (c *Cell) empty() bool { return c.OK+c.Timeouts+c.Bad+c.Refused == 0 }

func (c *Cell) add(r *Row) {
	switch r.Status {
	case statusSkipped:
		c.skipped = r.Reason
		return
	case statusFailed, statusRefused:
		if r.Status == statusFailed {
			c.Bad++
		} else {
			c.Refused++
		}
		if !slices.Contains(c.Reasons, r.Reason) {
			c.Reasons = append(c.Reasons, r.Reason)
		}
		return
	case statusTimeout:
		c.Timeouts++
		c.NotRepeated = c.NotRepeated || r.NotRepeated
	default:
		c.OK++
	}
	c.rates = append(c.rates, r.rate())
	c.byRun[r.Run] = append(c.byRun[r.Run], r.rate())
	if r.Limit > 0 {
		c.shares = append(c.shares, r.share())
	}
	if !r.ok() {
		return
	}
	if r.Line > 0 {
		c.placed++
	}
	if r.Line >= farLine {
		c.far++
	}
	gigabytes := float64(r.Size) / 1e9
	c.ccpu = append(c.ccpu, r.Client.CPU/gigabytes)
	c.scpu = append(c.scpu, r.Server.CPU/gigabytes)
	if r.Client.Memory > 0 {
		c.cram = append(c.cram, float64(r.Client.Memory))
	}
	if r.Server.Memory > 0 {
		c.sram = append(c.sram, float64(r.Server.Memory))
	}
	if r.FirstByte != nil {
		c.first = append(c.first, *r.FirstByte)
	}
	if x, ok := r.secondHalf(); ok {
		c.half = append(c.half, x)
	}
	if r.Retransmitted != nil {
		c.retr = append(c.retr, float64(*r.Retransmitted))
	}
	if x, ok := r.retransmittedShare(); ok {
		c.again = append(c.again, x)
	}
	if x, ok := surplus(r.ToClient, r.Size); ok {
		c.sur = append(c.sur, x)
	}
}

func (c *Cell) finish() {
	c.Rate, c.Share = spread(c.rates), spread(c.shares)
	c.ClientCPU, c.ServerCPU = spread(c.ccpu), spread(c.scpu)
	c.ClientRAM, c.ServerRAM = spread(c.cram), spread(c.sram)
	c.FirstByte, c.Surplus = spread(c.first), spread(c.sur)
	c.SecondHalf = spread(c.half)
	c.Retransmitted, c.RetransmittedShare = spread(c.retr), spread(c.again)
	var low, high float64
	for _, rates := range c.byRun {
		m := spread(rates).Median
		low, high = either(low == 0, m, min(low, m)), max(high, m)
	}
	switch {
	case c.OK == 0: // bounds, which repetitions do not change
	case c.Timeouts > 0:
		c.Unsteady = fmt.Sprintf("%d of %d transfers ran out of time", c.Timeouts, c.Timeouts+c.OK)
	case len(c.byRun) > 1 && high > low*(1+steadiness):
		c.Unsteady = fmt.Sprintf("the medians of %d runs differ by %.0f %%", len(c.byRun), 100*(high/low-1))
	case c.Rate.N == 1:
		c.Unsteady = "a single transfer"
	case len(c.byRun) == 1 && c.Rate.Max-c.Rate.Min > repetitionBand*c.Rate.Median:
		c.Unsteady = fmt.Sprintf("the repetitions lie %.0f %% of the median apart", 100*(c.Rate.Max-c.Rate.Min)/c.Rate.Median)
	}
	if c.Unsteady != "" && c.far > 0 {
		c.Unsteady += fmt.Sprintf("; for %d of %d the processors shared no cache", c.far, c.placed)
	}
}

// Title names the link with its figures.
func (s *Section) Title() string {
	if s.Link.Rate == 0 {
		return s.Profile
	}
	return s.Profile + ": " + s.Link.String()
}

// Best is the physical limit of the section's file: its time and its rate.
func (s *Section) Best() string {
	limit := limitSeconds(s.Link, s.Size)
	if limit == 0 || len(s.Cells) == 0 {
		return ""
	}
	return fmt.Sprintf("%s in %.2f s, which is %s", formatSize(s.Size), limit, formatRate(float64(s.Size)*8/limit))
}

// String gives the figures of the link that are not zero.
func (l Link) String() string {
	parts := []string{formatRate(l.Rate), formatSeconds(l.RTT)}
	if l.Jitter > 0 {
		parts = append(parts, formatSeconds(l.Jitter)+" jitter")
	}
	loss := fmt.Sprintf("%.3g %% loss", 100*l.Loss)
	if l.Loss == 0 {
		loss = "no loss"
	}
	if l.Burst > 1 && l.Loss > 0 {
		loss += fmt.Sprintf(" in bursts of %.3g", l.Burst)
	}
	parts = append(parts, loss)
	if l.Reorder > 0 {
		parts = append(parts, fmt.Sprintf("%.3g %% reordered", 100*l.Reorder))
	}
	return strings.Join(append(parts, fmt.Sprintf("queue %.3g BDP", l.Queue)), ", ")
}

func formatRate(r float64) string {
	switch {
	case r >= 0.9995e9:
		return fmt.Sprintf("%.3g Gbit/s", r/1e9)
	case r >= 100e6:
		return fmt.Sprintf("%.0f Mbit/s", r/1e6)
	}
	return fmt.Sprintf("%.3g Mbit/s", r/1e6)
}

func formatSeconds(s float64) string {
	return time.Duration(math.Round(s * 1e9)).String()
}

func formatSize(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%.4g MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.4g KiB", float64(n)/(1<<10))
}

// formatPercent gives a share two digits, and no exponent.
func formatPercent(share float64) string {
	if share >= 0.1 {
		return fmt.Sprintf("%.0f %%", 100*share)
	}
	return fmt.Sprintf("%.2g %%", 100*share)
}
