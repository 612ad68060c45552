package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A runner makes transfers. It owns the folder of its files: content with the
// file to serve, state of the servers, and result, which each transfer empties.
type runner struct {
	tools *tools
	size  int64
	bound time.Duration // for the client of one transfer
	sum   [sha256.Size]byte

	content, state, result string

	traces string // folder for traces of chunkserve, "" for none
}

// newRunner fills dir with a file of size random bytes, the same each time.
func newRunner(dir string, t *tools, size int64, bound time.Duration) (*runner, error) {
	r := &runner{
		tools: t, size: size, bound: bound,
		content: filepath.Join(dir, "content"), state: filepath.Join(dir, "state"), result: filepath.Join(dir, "result"),
	}
	for _, d := range []string{r.content, r.state} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return nil, err
		}
	}
	f, err := os.Create(filepath.Join(r.content, contentName))
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{'b', 'e', 'n', 'c', 'h'}), size)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("make the file to transfer: %w", err)
	}
	h.Sum(r.sum[:0])
	return r, nil
}

// transfer makes one transfer. The error is one of the bench; what goes wrong
// with the contender is in the row.
func (r *runner) transfer(ctx context.Context, s *site, c *contender, n int) (row Row, err error) {
	row = Row{Contender: c.name, Connections: n, Size: r.size, Limit: limitSeconds(s.link, r.size)}
	if err := errors.Join(os.RemoveAll(r.result), os.Mkdir(r.result, 0o777)); err != nil {
		return row, fmt.Errorf("empty the folder of results: %w", err)
	}
	if s.setTCP != nil && c.tcp != "" {
		if err := s.setTCP(ctx, c.tcp); err != nil {
			return row, err
		}
	}
	flags := c.serverFlags(s.link)
	if r.traces != "" && c.server == serveChunkserve {
		name := fmt.Sprintf("%s-%s-n%d-%s.jsonl", s.profile, c.name, n, time.Now().UTC().Format("20060102T150405"))
		flags = append(flags, "--trace", filepath.Join(r.traces, name))
	}
	srv, err := startServer(ctx, c.server, flags, s.server, r.tools, r.content, r.state)
	if err != nil {
		if ctx.Err() != nil {
			return row, ctx.Err()
		}
		row.fail(statusFailed, err.Error())
		return row, nil
	}
	retransmitted := serverRetransmitted(ctx, s)
	if s.reset != nil {
		s.reset()
	}
	clientErr := r.runClient(ctx, s, c, srv.address, &row)
	late := ""
	if s.count != nil {
		n := s.count()
		row.ToClient, row.ToServer, row.LateP99, late = &n.toClient, &n.toServer, n.lateP99, n.late
	}
	if after := serverRetransmitted(ctx, s); c.tcp != "" && retransmitted >= 0 && after >= 0 {
		row.Retransmitted = new(after - retransmitted)
	}
	grace := doneTime
	if clientErr != nil || row.Status == statusTimeout {
		grace = graceTime
	}
	usage, said := srv.stop(grace)
	if ctx.Err() != nil {
		return row, ctx.Err()
	}
	row.Server = usage
	if said.Retransmitted != nil {
		row.Retransmitted = said.Retransmitted
	}
	switch {
	case late != "":
		row.fail(statusRefused, late)
	case clientErr != nil:
		row.fail(statusFailed, clientErr.Error())
	}
	return row, nil
}

func (r *Row) fail(s Status, reason string) { r.Status, r.Reason = s, reason }

// runClient runs the client and fills in what concerns it. The error is one of
// the client.
func (r *runner) runClient(ctx context.Context, s *site, c *contender, address string, row *Row) error {
	out := filepath.Join(r.result, contentName)
	name, args := c.client(&target{tools: r.tools, address: address, connections: row.Connections, size: r.size, out: out})
	bounded, cancel := context.WithTimeout(ctx, r.bound)
	defer cancel()
	log := new(tail)
	cmd := s.client.command(bounded, name, args...)
	cmd.Env = environment()
	cmd.Stderr = log
	var said bytes.Buffer
	if name == r.tools.self {
		cmd.Stdout = &said
	}
	cmd.WaitDelay = time.Second
	stopped := func() {
		row.Seconds = r.bound.Seconds()
		row.fail(statusTimeout, fmt.Sprintf("not done after %v", r.bound))
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		if bounded.Err() != nil {
			stopped() // before it began
			return nil
		}
		return fmt.Errorf("start client: %w", err)
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan sighting, 1)
	seen := sighting{peak: memoryNow(cmd.Process.Pid)} // a short transfer may be over before anybody looks
	go func() { watched <- seen.watch(watching, r.result, r.size/2, cmd.Process.Pid) }()
	err := cmd.Wait()
	end := time.Now()
	stop()
	seen = <-watched
	if err == nil && name == r.tools.self {
		start, err = began(said.Bytes(), start)
	}
	if !seen.firstByte.IsZero() {
		row.FirstByte = new(seen.firstByte.Sub(start).Seconds())
	}
	if !seen.halfway.IsZero() {
		row.Halfway = new(seen.halfway.Sub(start).Seconds())
	}
	row.Seconds = end.Sub(start).Seconds()
	row.Client = usage(cmd.ProcessState, seen.peak)
	if info, err := os.Stat(out); err == nil {
		row.Bytes = info.Size()
	}
	if bounded.Err() != nil {
		stopped()
		return nil
	}
	if err != nil {
		return fmt.Errorf("client: %w%s", err, log.suffix())
	}
	if c.memory {
		row.Bytes = r.size
	} else if err := r.verify(out); err != nil {
		return err
	}
	row.Status = statusOK
	return nil
}

// sighting is what was seen of a client while it ran.
type sighting struct {
	firstByte time.Time // when data was first seen in a file; zero if none was
	halfway   time.Time // likewise, half of what is to come
	peak      int64     // of its memory, bytes; 0 where not known
}

// Times between looks at a client.
const (
	lookForData = 5 * time.Millisecond // until there is data
	lookLater   = 20 * time.Millisecond
)

// watch looks at a process that writes into the folder until ctx ends, and adds to what
// was seen before. half are the bytes that it is halfway with.
func (seen sighting) watch(ctx context.Context, dir string, half int64, pid int) sighting {
	tick := time.NewTicker(lookForData)
	defer tick.Stop()
	for {
		if seen.halfway.IsZero() {
			has := allocatedIn(dir)
			if has > 0 && seen.firstByte.IsZero() {
				seen.firstByte = time.Now()
				tick.Reset(lookLater)
			}
			if has > half {
				seen.halfway = time.Now()
			}
		}
		// An ended process that nobody has waited for yet has no memory.
		seen.peak = max(seen.peak, memoryNow(pid))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return seen
		}
	}
}

// allocatedIn returns the bytes that the files of a folder occupy.
func allocatedIn(dir string) (sum int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += allocated(info)
		}
	}
	return sum
}

// verify compares the result with the content.
func (r *runner) verify(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("the client left no file: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("read the result: %w", err)
	}
	if n != r.size {
		return fmt.Errorf("the result has %d bytes instead of %d", n, r.size)
	}
	if [sha256.Size]byte(h.Sum(nil)) != r.sum {
		return errors.New("the result differs from the original")
	}
	return nil
}

// serverRetransmitted returns how many TCP segments the server's namespace has
// sent again so far, -1 where that is not known.
func serverRetransmitted(ctx context.Context, s *site) int64 {
	if s.setTCP == nil {
		return -1
	}
	snmp, err := s.server.command(ctx, "cat", "/proc/net/snmp").Output()
	if err != nil {
		return -1
	}
	return tcpRetransmitted(string(snmp))
}

// tcpRetransmitted reads the number of segments sent again from the text of
// /proc/net/snmp, where a line of names precedes one of values. It returns -1 if
// it is not there.
func tcpRetransmitted(snmp string) int64 {
	var names []string
	for line := range strings.Lines(snmp) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "RetransSegs" && i < len(fields) {
				if n, err := strconv.ParseInt(fields[i], 10, 64); err == nil {
					return n
				}
			}
		}
	}
	return -1
}
