package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// A session is one run of the bench: its options, what it needs to make
// transfers, and where its rows go. Its owner calls Close.
type session struct {
	o      *options
	common Row // what all its rows have in common
	rows   *rowWriter
	runner *runner
	log    io.Writer // one line per transfer
	start  time.Time
	temp   string // folder with everything that is removed at the end
	late   int    // measurements that were left out because the budget was spent

	progress progress
	// firsts is what one repetition over each link is expected to take, with what
	// comes once only.
	firsts []time.Duration
	// deadline is when the time of the present link is up, the zero time if it is
	// not limited: no repetition after the first goes on then.
	deadline time.Time
}

// newSession builds the programs and makes the file to transfer.
func newSession(ctx context.Context, o *options, log io.Writer) (_ *session, err error) {
	s := &session{o: o, log: log, start: time.Now(), progress: progress{budget: o.budget}}
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	if s.temp, err = os.MkdirTemp(filesFolder(o.files), "chunkget-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder for the files to transfer: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	fmt.Fprintln(log, "bench: building chunkget and chunkserve")
	t, err := buildTools(ctx, root, s.temp)
	if err != nil {
		return nil, err
	}
	if s.runner, err = newRunner(s.temp, t, int64(o.size), o.bound); err != nil {
		return nil, err
	}
	if o.trace {
		s.runner.traces = filepath.Join(o.out, "traces", s.start.UTC().Format("20060102T150405"))
		if err := os.MkdirAll(s.runner.traces, 0o777); err != nil {
			return nil, fmt.Errorf("make a folder for traces: %w", err)
		}
	}
	if err := s.runner.warm(ctx); err != nil {
		return nil, err
	}
	if err := s.runner.rehearse(); err != nil {
		return nil, err
	}
	s.common = Row{Version: rowVersion, Run: s.start.UTC().Format(time.RFC3339), Machine: thisMachine(ctx, root), Flags: o.args}
	s.rows, err = createRows(o.out, s.common.Run)
	return s, err
}

// Close removes the files. The rows stay.
func (s *session) Close() error {
	err := os.RemoveAll(s.temp)
	if s.rows != nil {
		err = errors.Join(err, s.rows.Close())
	}
	return err
}

// filesFolder returns the folder for files to transfer: the user's, or one in
// memory where there is one.
func filesFolder(asked string) string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); asked == "" && err == nil && info.IsDir() {
		return memory
	}
	return asked
}

// warm lets chunkserve hash the file, once for all transfers: a file that is
// worth eight connections is fetched more than once, and hashing is not what is
// measured.
func (r *runner) warm(ctx context.Context) (err error) {
	srv, err := startServer(ctx, serveChunkserve, nil, loopbackSite().server, r.tools, r.content, r.state)
	if err != nil {
		return err
	}
	defer srv.stop(doneTime)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+srv.address+"/"+contentName+"?digest=tree", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return fmt.Errorf("let the server hash the file: %w", err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("let the server hash the file: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("let the server hash the file: it answered %s", resp.Status)
	}
	return nil
}

// rehearse writes what a transfer does, and removes it: a virtual machine may get its
// memory from the host only when it is first written to, which takes several times as
// long as the transfer, and would be the first contender's loss alone.
func (r *runner) rehearse() (err error) {
	defer func() {
		if err = errors.Join(err, os.RemoveAll(r.result)); err != nil {
			err = fmt.Errorf("rehearse a result: %w", err)
		}
	}()
	if err := os.MkdirAll(r.result, 0o777); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(r.result, contentName))
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, zeros{}, r.size)
	return errors.Join(err, f.Close())
}

// zeros reads as zero bytes without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// An entry is a contender with a number of connections.
type entry struct {
	contender *contender
	n         int
}

// entries returns what can be measured, and a row for each that cannot.
func (s *session) entries(at place) (entries []entry, skipped []Row, err error) {
	chosen, err := choose(s.o.contenders)
	if err != nil {
		return nil, nil, err
	}
	for i := range chosen {
		c := &chosen[i]
		numbers := c.connections
		if numbers == nil {
			numbers = s.o.connections
		}
		if c.memory && at.emulated && s.o.contenders == nil {
			continue // nobody asked for it here
		}
		reason := c.unavailable(at)
		for _, n := range numbers {
			if reason == "" {
				entries = append(entries, entry{c, n})
				continue
			}
			row := Row{Contender: c.name, Connections: n, Size: int64(s.o.size)}
			row.fail(statusSkipped, reason)
			skipped = append(skipped, row)
		}
	}
	return entries, skipped, nil
}

// plan tells the progress what is to come over these links.
func (s *session) plan(at place, links []Link) error {
	entries, _, err := s.entries(at)
	if err != nil {
		return err
	}
	for _, l := range links {
		each := expected(l, int64(s.o.size), s.o.bound)
		s.progress.plan(len(entries)*s.o.reps, each)
		first := time.Duration(len(entries)) * each
		if s.o.fairness > 0 {
			s.progress.plan(len(s.o.pairs()), s.expectedSharing())
			first += time.Duration(len(s.o.pairs())) * s.expectedSharing()
		}
		s.firsts = append(s.firsts, first)
	}
	s.progress.began = time.Since(s.start)
	return nil
}

// allot gives a link its share of the budget: what one repetition takes, and of
// what is left when all links to come have that, an equal part. So a slow link
// takes repetitions of its own and not those of the links after it.
func (s *session) allot(link int) {
	if s.o.budget == 0 {
		return
	}
	share := shareOfBudget(s.o.budget-time.Since(s.start), s.firsts[link:])
	s.deadline = time.Now().Add(share)
	if s.o.fairness > 0 {
		s.deadline = s.deadline.Add(-time.Duration(len(s.o.pairs())) * s.expectedSharing())
	}
}

// shareOfBudget returns what the first of some links may take of what is left of
// a budget, where firsts is what one repetition over each of them takes.
func shareOfBudget(left time.Duration, firsts []time.Duration) time.Duration {
	for _, d := range firsts {
		left -= d
	}
	return firsts[0] + max(left, 0)/time.Duration(len(firsts))
}

// matrix measures all contenders at a site, in turn. What was stopped in its
// first repetition is not measured again: once says as well as thrice that the
// throughput is below a bound.
func (s *session) matrix(ctx context.Context, at *site) error {
	entries, skipped, err := s.entries(at.place)
	if err != nil || s.o.reps == 0 {
		return err
	}
	for i := range skipped {
		if err := s.record(at, &skipped[i]); err != nil {
			return err
		}
	}
	each := expected(at.link, int64(s.o.size), s.o.bound)
	stopped := make(map[entry]bool)
	for rep := 1; rep <= s.o.reps; rep++ {
		for _, e := range entries {
			switch {
			case stopped[e]:
				s.progress.leaveOut(each)
				continue
			case s.spent() || rep > 1 && !s.deadline.IsZero() && time.Now().After(s.deadline):
				s.late++
				s.progress.leaveOut(each)
				continue
			}
			s.progress.next(each)
			once, err := s.measure(ctx, at, e, rep)
			if err != nil {
				return err
			}
			stopped[e] = once
		}
	}
	return nil
}

// measureTries is how often a transfer is made whose link did not keep its
// schedule, in all: what keeps the machine busy may pass. A contender that needs
// more than the machine has left is refused each time.
const measureTries = 3

// measure makes one transfer and records it, with those that were refused before
// it. It reports whether there are to be no further repetitions.
func (s *session) measure(ctx context.Context, at *site, e entry, repetition int) (stopped bool, err error) {
	for try := 1; ; try++ {
		line := time.Duration(0)
		if s.o.size >= lineLeast {
			line = lineTime()
		}
		row, err := s.runner.transfer(ctx, at, e.contender, e.n)
		if err != nil {
			return false, err
		}
		row.Repetition, row.Line = repetition, line.Seconds()
		if row.Status == statusTimeout && repetition == 1 && s.o.reps > 1 {
			row.NotRepeated = true
			row.Reason += ": stopped, not repeated"
		}
		if err := s.record(at, &row); err != nil {
			return false, err
		}
		if row.Status != statusRefused || try == measureTries || s.spent() {
			return row.NotRepeated, nil
		}
	}
}

// spent reports whether no transfer is to begin any more.
func (s *session) spent() bool { return s.o.budget > 0 && time.Since(s.start) > s.o.budget }

// record completes a row, writes it and prints it.
func (s *session) record(at *site, row *Row) error {
	row.Version, row.Run, row.Machine, row.Flags = s.common.Version, s.common.Run, s.common.Machine, s.common.Flags
	row.Scenario, row.Profile, row.Link = at.scenario, at.profile, at.link
	if err := s.rows.write(row); err != nil {
		return err
	}
	what := fmt.Sprintf("%-11s %-14s %-18s n=%-2d", s.progress.at(time.Since(s.start)), row.Profile, row.Contender, row.Connections)
	switch {
	case !row.ok():
		fmt.Fprintf(s.log, "bench: %s %s: %s\n", what, row.Status, row.Reason)
	case len(row.Shares) > 0:
		fmt.Fprintf(s.log, "bench: %s shared the link for %.0f s\n", what, row.Seconds)
	case row.Limit > 0:
		fmt.Fprintf(s.log, "bench: %s %s %.2f of the limit, %.2f s\n", what, formatRate(row.rate()), row.share(), row.Seconds)
	default:
		fmt.Fprintf(s.log, "bench: %s %s, %.2f s%s\n", what, formatRate(row.rate()), row.Seconds, distance(row.Line))
	}
	return nil
}

// finish says what the budget cost and writes the report.
func (s *session) finish() error {
	if s.late > 0 {
		fmt.Fprintf(s.log, "bench: %d measurements left out: the budget of %v, or the share of a link in it, was spent\n", s.late, s.o.budget)
	}
	if err := writeReport(&reportOptions{dir: s.o.out}, s.log); err != nil || s.runner.traces == "" {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.runner.traces, "*.jsonl"))
	if err != nil || len(files) == 0 {
		return err
	}
	return writeTraces(files, s.o.out, s.log)
}

// benchLoopback measures on this machine alone.
func benchLoopback(ctx context.Context, o *options, log io.Writer) (err error) {
	s, err := newSession(ctx, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.only(ctx, loopbackSite())
}

// only measures at one site, which is all there is.
func (s *session) only(ctx context.Context, at *site) error {
	if err := s.plan(at.place, []Link{at.link}); err != nil {
		return err
	}
	s.allot(0)
	if err := s.matrix(ctx, at); err != nil {
		return err
	}
	return s.finish()
}
