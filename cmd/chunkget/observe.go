package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/connstats"
	"github.com/chunkget/chunkget/udt"
)

// verboseInterval is the time between two lines of -v about a connection.
const verboseInterval = 2 * time.Second

// observation looks at the connections of a run: for the lines of -v, and for
// the trace. Both are nil if they are not wanted. Its owner calls close.
type observation struct {
	lines *connstats.Watch
	trace *connstats.Recorder
}

// observe begins. A trace is written if its file has a name.
func observe(u *ui, trace string) (*observation, error) {
	o := new(observation)
	if trace != "" {
		var err error
		if o.trace, err = connstats.Record(trace, versionText(), connstats.Receiving); err != nil {
			return nil, &fetch.Error{Kind: fetch.KindDisk, Err: err, Hint: "name a file that can be written with --trace FILE"}
		}
	}
	if u.verbose {
		o.lines = connstats.Start(verboseInterval, func(_ time.Duration, rows []connstats.Row, last bool) {
			for i := range rows {
				u.line("%s", connLine(&rows[i], last))
			}
		})
	}
	return o, nil
}

// add lets a new connection be seen. It returns what to use in its place.
func (o *observation) add(c net.Conn) net.Conn {
	if o.lines == nil && o.trace == nil {
		return c
	}
	var seen connstats.Conn
	switch k := c.(type) {
	case *udt.Conn:
		seen = connstats.UDT(k, connstats.Receiving)
	case *net.TCPConn:
		counted := connstats.TCP(k, connstats.Receiving)
		seen, c = counted, counted
	default:
		return c
	}
	if o.lines != nil {
		o.lines.Add(seen)
	}
	if o.trace != nil {
		o.trace.Add(seen)
	}
	return c
}

// close prints the last lines and completes the trace.
func (o *observation) close() error {
	if o.lines != nil {
		o.lines.Close()
	}
	if o.trace == nil {
		return nil
	}
	if err := o.trace.Close(); err != nil {
		return &fetch.Error{Kind: fetch.KindDisk, Err: err}
	}
	return nil
}

// connLine describes a connection, with its mean rate at its end.
func connLine(r *connstats.Row, last bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "connection %d over %s to %s: %s", r.ID, r.Transport, r.Remote, formatBytes(r.Bytes))
	if r.Ended || last {
		fmt.Fprintf(&b, " in %s, %s", formatDuration(r.Age), formatRate(float64(r.Bytes)/max(r.Age.Seconds(), 1e-3)))
	} else {
		fmt.Fprintf(&b, ", %s", formatRate(r.Rate/8))
	}
	p := &r.Path
	if p.RTT > 0 {
		fmt.Fprintf(&b, ", rtt %s", formatDelay(p.RTT))
	}
	if p.RTT > 0 && p.MinRTT > 0 {
		fmt.Fprintf(&b, " (least %s, queue %s)", formatDelay(p.MinRTT), formatDelay(p.Queue()))
	}
	if r.Known {
		fmt.Fprintf(&b, ", loss %.2f %%", 100*p.Loss)
	}
	if p.Controller != "" {
		fmt.Fprintf(&b, ", %s %s", p.Controller, p.State)
	}
	return b.String()
}

// formatDelay writes a delay of the network.
func formatDelay(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }
