package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// sharing lists the pairs of contenders that share a link, one connection each.
var sharing = [][2]string{
	{"chunkget-udt", "chunkget-udt"},
	{"chunkget-udt", "curl-cubic"},
	{"chunkget-udt", "curl-bbr"},
}

// shareInterval is the time over which the rate of a flow is averaged.
const shareInterval = 250 * time.Millisecond

// expectedSharing returns what one pair is expected to take.
func (s *session) expectedSharing() time.Duration { return s.o.fairness + expectedOverhead }

// fairness lets each pair share the link for a while.
func (s *session) fairness(ctx context.Context, at *site) error {
	for _, names := range sharing {
		pair, err := choose(names[:])
		if err != nil {
			return err
		}
		if len(pair) == 1 {
			pair = append(pair, pair[0])
		}
		row := Row{Contender: names[0] + " and " + names[1], Connections: 1, Repetition: 1}
		reason := cmp.Or(pair[0].unavailable(true), pair[1].unavailable(true))
		switch {
		case reason != "":
			row.fail(statusSkipped, reason)
		case s.spent():
			s.late++
			s.progress.leaveOut(s.expectedSharing())
			continue
		default:
			s.progress.next(s.expectedSharing())
			if err := s.runner.share(ctx, at, pair, s.o.fairness, &row); err != nil {
				return err
			}
		}
		sharingSite := *at
		sharingSite.scenario = scenarioFairness
		if err := s.record(&sharingSite, &row); err != nil {
			return err
		}
	}
	return nil
}

// share lets two flows begin together and stops them after the time. Each has a
// server of its own, with a file that it cannot finish in that time.
func (r *runner) share(ctx context.Context, at *site, pair []contender, during time.Duration, row *Row) (err error) {
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
	// Nobody on the way compresses, so zeros will do.
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
		srv, err := startServer(ctx, pair[i].server, serverEnd, r.tools, content, state)
		if err != nil {
			return err
		}
		defer srv.stop()
		addresses[i] = srv.address
	}

	at.reset()
	bounded, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	failures := make([]error, len(pair)) // written by the goroutines below, read after they have ended
	for i, c := range pair {
		name, args := c.client(&target{tools: r.tools, address: addresses[i], connections: 1, size: row.Size, out: filepath.Join(results[i], contentName)})
		log := new(tail)
		cmd := at.client.command(bounded, name, args...)
		cmd.Env, cmd.Stderr, cmd.WaitDelay = environment(), log, time.Second
		if err := cmd.Start(); err != nil {
			cancel()
			return fmt.Errorf("start client: %w", err)
		}
		wg.Go(func() {
			if err := cmd.Wait(); err != nil && bounded.Err() == nil {
				failures[i] = fmt.Errorf("%s: %w%s", c.name, err, log.suffix())
			}
		})
	}
	row.Shares = sampleShares(bounded, pair, results)
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

// sampleShares looks at how much the folders hold until ctx ends.
func sampleShares(ctx context.Context, pair []contender, results []string) []Share {
	shares := make([]Share, len(pair))
	had := make([]int64, len(pair))
	for i, c := range pair {
		shares[i] = Share{Contender: c.name, Interval: shareInterval.Seconds()}
	}
	tick := time.NewTicker(shareInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return shares
		case <-tick.C:
		}
		for i, dir := range results {
			has := allocatedIn(dir)
			shares[i].Rates = append(shares[i].Rates, float64(has-had[i])*8/shareInterval.Seconds())
			had[i] = has
		}
	}
}

// A Sharing is what the report says of flows that shared a link.
type Sharing struct {
	Flows  string
	Status Status
	Reason string
	Jain   float64   // of the mean rates
	Rates  []float64 // mean of each flow, bit/s
	Shares []float64 // of each flow in the sum
}

// Sharings sums up the flows of the section. The first half of the time, in which
// flows find their rates, does not count.
func (s *Section) Sharings() []Sharing {
	var out []Sharing
	for _, r := range s.Flows {
		x := Sharing{Flows: r.Contender, Status: r.Status, Reason: r.Reason}
		sum := 0.0
		for _, f := range r.Shares {
			rate := mean(f.Rates[len(f.Rates)/2:])
			x.Rates = append(x.Rates, rate)
			sum += rate
		}
		x.Jain = jain(x.Rates)
		x.Shares = slices.Clone(x.Rates)
		for i := range x.Shares {
			x.Shares[i] /= max(sum, 1)
		}
		out = append(out, x)
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
