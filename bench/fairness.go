package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// flows are two contenders that share a link.
type flows struct {
	first, second string
	late          bool
	connections   int // of the first; 0 = one, as the second has
}

// sharing lists the pairs of contenders that share a link.
// ledbat is there to be seen yielding. late says that the second one begins when a third of the time has passed, and
// finds a link that the first one has filled.
var sharing = []flows{
	{"chunkget-udt", "chunkget-udt", false, 0},
	{"chunkget-udt", "chunkget-udt", true, 0},
	{"chunkget-udt", "curl-cubic", false, 0},
	{"chunkget-udt", "curl-cubic", true, 0},
	{"chunkget-udt", "curl-bbr", false, 0},
	{"chunkget-udt", "curl-bbr", true, 0},
	{"chunkget-udt", "curl-cubic", false, 8},
	{"chunkget-udt", "curl-cubic", true, 8},
	{"chunkget-udt", "curl-bbr", false, 8},
	{"chunkget-udt-ledbat", "curl-cubic", false, 0},
	{"chunkget-udt-ledbat", "curl-cubic", true, 0},
	{"chunkget-udt-ledbat", "curl-bbr", false, 0},
	{"chunkget-udt-ledbat", "curl-bbr", true, 0},
	{"curl-cubic", "chunkget-udt-ledbat", true, 0},
}

// shareInterval is the time over which the rate of a flow is averaged.
const shareInterval = 250 * time.Millisecond

// pairs returns those that are to be measured. Where nothing else is, they are of
// the contenders that were asked for.
func (o *options) pairs() []flows {
	if o.reps > 0 || o.contenders == nil {
		return sharing
	}
	return slices.DeleteFunc(slices.Clone(sharing), func(f flows) bool {
		return !slices.Contains(o.contenders, f.first) || !slices.Contains(o.contenders, f.second)
	})
}

// expectedSharing returns what one pair is expected to take.
func (s *session) expectedSharing() time.Duration { return s.o.fairness + expectedOverhead }

// fairness lets each pair share the link for a while.
func (s *session) fairness(ctx context.Context, at *site) error {
	for _, flows := range s.o.pairs() {
		var pair []contender
		for _, name := range []string{flows.first, flows.second} {
			c, err := choose([]string{name})
			if err != nil {
				return err
			}
			pair = append(pair, c...)
		}
		connections := max(flows.connections, 1)
		if connections > 1 {
			pair[0].name += fmt.Sprintf(" ×%d", connections)
		}
		row := Row{Contender: pair[0].name + " and " + pair[1].name, Connections: 1, Repetition: 1}
		delays := make([]time.Duration, len(pair))
		if flows.late {
			row.Contender = pair[0].name + ", then " + pair[1].name
			delays[1] = (s.o.fairness / 3).Round(shareInterval)
		}
		sharingSite := *at
		sharingSite.scenario = scenarioFairness
		if reason := cmp.Or(pair[0].unavailable(at.place), pair[1].unavailable(at.place)); reason != "" {
			s.progress.leaveOut(s.expectedSharing())
			row.fail(statusSkipped, reason)
			if err := s.record(&sharingSite, &row); err != nil {
				return err
			}
			continue
		}
		if s.spent() {
			s.late++
			s.progress.leaveOut(s.expectedSharing())
			continue
		}
		s.progress.next(s.expectedSharing())
		for try := 1; ; try++ {
			row := row
			if err := s.runner.share(ctx, at, pair, connections, delays, s.o.fairness, &row); err != nil {
				return err
			}
			if err := s.record(&sharingSite, &row); err != nil {
				return err
			}
			if row.Status != statusRefused || try == measureTries || s.spent() {
				break
			}
		}
	}
	return nil
}

// share lets each flow begin after its delay, the first over some connections and the
// others over one, and stops all of them after the time. Each has a server of its own,
// with a file that it cannot finish in that time.
func (r *runner) share(ctx context.Context, at *site, pair []contender, connections int, delays []time.Duration, during time.Duration, row *Row) (err error) {
	dir, err := os.MkdirTemp(r.state, "flows-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	row.Size = int64(at.link.Rate / 8 * during.Seconds())
	content := filepath.Join(dir, "content")
	if err := os.Mkdir(content, 0o777); err != nil {
		return err
	}
	// Nobody is asked to compress, so zeros will do.
	f, err := os.Create(filepath.Join(content, contentName))
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(row.Size), f.Close()); err != nil {
		return err
	}

	results := make([]string, len(pair))
	addresses := make([]string, len(pair))
	for i := range pair {
		state := filepath.Join(dir, fmt.Sprintf("state-%d", i))
		results[i] = filepath.Join(dir, fmt.Sprintf("result-%d", i))
		if err := errors.Join(os.Mkdir(state, 0o777), os.Mkdir(results[i], 0o777)); err != nil {
			return err
		}
		if pair[i].tcp != "" {
			if err := at.setTCP(ctx, pair[i].tcp); err != nil {
				return err
			}
		}
		serverEnd := at.server
		serverEnd.port = fmt.Sprint(9000 + i)
		srv, err := startServer(ctx, pair[i].server, pair[i].serverFlags(at.link), serverEnd, r.tools, content, state)
		if err != nil {
			return err
		}
		defer srv.stop(graceTime)
		addresses[i] = srv.address
	}

	at.reset()
	begin := time.Now()
	bounded, cancel := context.WithDeadline(ctx, begin.Add(during))
	defer cancel()
	var wg sync.WaitGroup
	failures := make([]error, len(pair)) // written by the goroutines below, read after they have ended
	for i, c := range pair {
		n := 1
		if i == 0 {
			n = connections
		}
		name, args := c.client(&target{tools: r.tools, address: addresses[i], connections: n, size: row.Size, out: filepath.Join(results[i], contentName)})
		log := new(tail)
		cmd := at.client.command(bounded, name, args...)
		cmd.Env, cmd.Stderr, cmd.WaitDelay = environment(), log, time.Second
		wg.Go(func() {
			select {
			case <-time.After(delays[i]):
			case <-bounded.Done():
				return
			}
			if err := cmd.Run(); err != nil && bounded.Err() == nil {
				failures[i] = fmt.Errorf("%s: %w%s", c.name, err, log.suffix())
			}
		})
	}
	row.Shares = sampleShares(bounded, begin, during, pair, delays, results)
	wg.Wait()
	row.Seconds = during.Seconds()
	n := at.count()
	row.ToClient, row.ToServer, row.LateP99 = &n.toClient, &n.toServer, n.lateP99
	row.Status = statusOK
	if failed := errors.Join(failures...); failed != nil {
		row.fail(statusFailed, failed.Error())
	}
	if n.late != "" {
		row.fail(statusRefused, n.late)
	}
	return ctx.Err()
}

// sampleShares looks at how much the folders hold, from begin until ctx ends or the
// time is over.
func sampleShares(ctx context.Context, begin time.Time, during time.Duration, pair []contender, delays []time.Duration, results []string) []Share {
	m := newShareMeter(pair, delays)
	tick := time.NewTicker(shareInterval)
	defer tick.Stop()
	for {
		ended := false
		select {
		case <-ctx.Done():
			ended = true
		case <-tick.C:
		}
		// What is there after the end has come before it.
		at := min(time.Since(begin), during)
		has := make([]int64, len(results))
		for i, dir := range results {
			has[i] = allocatedIn(dir)
		}
		m.look(at, has)
		if ended {
			return m.shares
		}
	}
}

// A shareMeter finds the rates of flows over intervals of time. Looks come late on a busy
// machine, and some not at all; what a flow had at the ends of intervals between two looks
// is taken to have grown evenly, so that no rate counts more time than its interval.
type shareMeter struct {
	shares []Share
	delays []time.Duration
	had    []float64     // by each flow at the end of its last interval, bytes
	at     time.Duration // of the last look
	saw    []int64       // then, by each flow
}

// newShareMeter is for flows that begin after their delays with nothing.
func newShareMeter(pair []contender, delays []time.Duration) *shareMeter {
	m := &shareMeter{shares: make([]Share, len(pair)), delays: delays, had: make([]float64, len(pair)), saw: make([]int64, len(pair))}
	for i, c := range pair {
		m.shares[i] = Share{Contender: c.name, Start: delays[i].Seconds(), Interval: shareInterval.Seconds()}
	}
	return m
}

// look takes note of what each flow has, in bytes, at a time since the beginning.
func (m *shareMeter) look(at time.Duration, has []int64) {
	for i := range m.shares {
		s := &m.shares[i]
		for {
			end := m.delays[i] + time.Duration(len(s.Rates)+1)*shareInterval
			if end > at {
				break
			}
			grown := float64(end-m.at) / float64(at-m.at) * float64(has[i]-m.saw[i])
			had := float64(m.saw[i]) + grown
			s.Rates = append(s.Rates, (had-m.had[i])*8/shareInterval.Seconds())
			m.had[i] = had
		}
	}
	m.at, m.saw = at, has
}

// A Sharing is what the report says of flows that shared a link.
type Sharing struct {
	Flows  string
	Status Status
	Reason string

	// Of the mean rates while all flows ran, and in the second half of that time,
	// when they have had time to find their rates.
	Jain, JainLater float64

	Rates  []float64 // mean of each flow while all ran, bit/s
	Shares []float64 // of each flow in the sum
}

// Sharings sums up the flows of the section.
func (s *Section) Sharings() []Sharing {
	var out []Sharing
	for _, r := range s.Flows {
		x := Sharing{Flows: r.Contender, Status: r.Status, Reason: r.Reason}
		sum := 0.0
		var later []float64
		for _, rates := range together(r.Shares) {
			rate := mean(rates)
			x.Rates = append(x.Rates, rate)
			later = append(later, mean(rates[len(rates)/2:]))
			sum += rate
		}
		x.Jain, x.JainLater = jain(x.Rates), jain(later)
		x.Shares = slices.Clone(x.Rates)
		for i := range x.Shares {
			x.Shares[i] /= max(sum, 1)
		}
		out = append(out, x)
	}
	return out
}

// together returns the rates of each flow while all of them ran.
func together(flows []Share) [][]float64 {
	start := 0.0
	for _, f := range flows {
		start = max(start, f.Start)
	}
	out := make([][]float64, len(flows))
	least := math.MaxInt
	for i, f := range flows {
		skip := 0
		if f.Interval > 0 {
			skip = int(min(math.Round((start-f.Start)/f.Interval), float64(len(f.Rates))))
		}
		out[i] = f.Rates[skip:]
		least = min(least, len(out[i]))
	}
	for i := range out {
		out[i] = out[i][:least]
	}
	return out
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(1, len(values)))
}
