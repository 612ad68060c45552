package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/chunkget/chunkget/udt"
)

const (
	// udpReceive and udpSend are the socket buffers that package udt asks for, in bytes.
	udpReceive = 8 << 20
	udpSend    = 4 << 20

	diskSample = 64 << 20 // bytes that are written
)

// offload looks at what the kernel does for UDP.
func (x *examination) offload() {
	f := finding{Check: "offload", Verdict: verdictOK}
	e, err := udt.ListenEndpoint("udt", ":0", nil)
	if err != nil {
		f.Verdict, f.Text = verdictBad, fmt.Sprintf("no UDP socket can be opened: %v", err)
		x.add(f)
		return
	}
	s := e.Stats()
	if err := e.Close(); err != nil {
		f.Verdict = verdictWarn
	}
	yes := map[bool]string{true: "yes", false: "no"}
	f.Text = fmt.Sprintf("the kernel cuts UDP packets (GSO): %s, joins them (GRO): %s", yes[s.Segmentation], yes[s.Coalescing])
	if !s.Segmentation || !s.Coalescing {
		f.Verdict = verdictWarn
		f.Advice = "each packet costs a system call, which limits fast paths: Linux 5.0 or later has both; unset CHUNKGET_UDP_OFFLOAD if it is off"
	}
	x.add(f)
}

// flow is what a path carried while it was measured; the zero value is that of one
// that was not.
type flow struct {
	rate float64 // bytes/s
	rtt  time.Duration
}

// underWay is what the path holds (bandwidth-delay product), in bytes.
func (w flow) underWay() float64 { return w.rate * w.rtt.Seconds() }

// burst is what may come before this program runs, which takes a moment even where a
// round trip does not, in bytes.
func (w flow) burst() float64 { return w.rate * max(w.rtt, 10*time.Millisecond).Seconds() }

// buffers compares the limits of the kernel with what the path needs.
func (x *examination) buffers(path flow) {
	if limit, ok := sysctl("net/core/rmem_max"); ok {
		x.add(udpBufferFinding("UDP buffer", "net.core.rmem_max", limit[0], udpReceive, path.burst(),
			"packets are lost when this program is not scheduled for a moment"))
	}
	if limit, ok := sysctl("net/core/wmem_max"); ok {
		x.add(udpBufferFinding("UDP send buffer", "net.core.wmem_max", limit[0], udpSend, path.burst(),
			"uploads, and a server on this machine, wait for the kernel more often"))
	}
	if limit, ok := sysctl("net/ipv4/tcp_rmem"); ok && len(limit) == 3 {
		x.add(tcpBufferFinding([3]int64(limit), path.underWay()))
	}
}

// udpBufferFinding judges the limit of a buffer of which package udt asks for so many
// bytes, by what the path needs, or by that if it is not known.
func udpBufferFinding(check, name string, limit, asked int64, need float64, otherwise string) finding {
	f := finding{Check: check, Verdict: verdictOK, Value: float64(limit), Unit: "bytes",
		Text: fmt.Sprintf("%s is %s; UDT asks for %s", name, formatBytes(limit), formatBytes(asked))}
	least := float64(asked)
	if need > 0 {
		f.Text += fmt.Sprintf(", and the path needs %s (rate times round trip, or 10 ms)", formatBytes(int64(need)))
		least = min(need, least) // more is never asked for
	}
	if float64(limit) < least {
		f.Verdict = verdictWarn
		f.Advice = fmt.Sprintf("%s: sysctl -w %s=%d", otherwise, name, asked)
	}
	return f
}

// tcpBufferFinding judges net.ipv4.tcp_rmem by the bytes under way on a path, 0 if
// they are not known.
func tcpBufferFinding(limit [3]int64, underWay float64) finding {
	most := limit[2]
	f := finding{Check: "TCP buffer", Verdict: verdictOK, Value: float64(most), Unit: "bytes",
		Text: fmt.Sprintf("net.ipv4.tcp_rmem allows %s for each connection", formatBytes(most))}
	if underWay > 0 {
		f.Text += fmt.Sprintf("; the path has %s under way (rate times round trip)", formatBytes(int64(underWay)))
	}
	// Linux advertises about half of a buffer as window.
	if float64(most)/2 < underWay {
		f.Verdict = verdictWarn
		f.Advice = fmt.Sprintf("one TCP connection cannot fill the path, UDT and several can: sysctl -w net.ipv4.tcp_rmem='%d %d %d'", limit[0], limit[1], int64(2*underWay))
	}
	return f
}

// sysctl reads numbers from /proc/sys, which only Linux has.
func sysctl(name string) (values []int64, ok bool) {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return nil, false
	}
	for field := range strings.FieldsSeq(string(b)) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, false
		}
		values = append(values, n)
	}
	return values, len(values) > 0
}

// disk measures how fast dir takes data, made durable as downloads are.
func (x *examination) disk(ctx context.Context, dir string) (err error) {
	f, err := os.CreateTemp(dir, ".chunkget-doctor-*")
	if err != nil {
		return err
	}
	defer func() {
		if rerr := errors.Join(f.Close(), os.Remove(f.Name())); err == nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = rerr
		}
	}()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7) // so that a file system cannot leave it out
	}
	begun := time.Now()
	for range diskSample / len(block) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	x.add(diskFinding(dir, diskSample/max(time.Since(begun).Seconds(), 1e-6)))
	return nil
}

// diskFinding judges a rate in bytes per second: by 1 Gbit/s and 100 Mbit/s.
func diskFinding(dir string, rate float64) finding {
	f := finding{Check: "disk", Verdict: verdictOK, Value: rate, Unit: "bytes/s",
		Text: fmt.Sprintf("%s takes %s, made durable", quote(dir), formatRate(rate))}
	switch {
	case rate < 100e6/8:
		f.Verdict = verdictBad
	case rate < 1e9/8:
		f.Verdict = verdictWarn
	default:
		return f
	}
	f.Advice = fmt.Sprintf("downloads are no faster than that, %.0f Mbit/s: put them on another disk with -d DIR", rate*8/1e6)
	return f
}
