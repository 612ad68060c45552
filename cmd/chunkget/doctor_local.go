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
	// udpBuffer is the receive buffer that package udt asks for, in bytes: what may
	// come while this program does not run for a moment.
	udpBuffer = 8 << 20

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

// buffers compares the limits of the kernel with what the path needs, bdp bytes
// (bandwidth-delay product), 0 if it is not known.
func (x *examination) buffers(bdp float64) {
	if limit, ok := sysctl("net/core/rmem_max"); ok {
		f := finding{Check: "UDP buffer", Verdict: verdictOK, Value: float64(limit[0]), Unit: "bytes",
			Text: fmt.Sprintf("net.core.rmem_max is %s; UDT asks for %s", formatBytes(limit[0]), formatBytes(udpBuffer))}
		if limit[0] < udpBuffer {
			f.Verdict = verdictWarn
			f.Advice = fmt.Sprintf("packets are lost when this program is not scheduled for a moment: sysctl -w net.core.rmem_max=%d", udpBuffer)
		}
		x.add(f)
	}
	if limit, ok := sysctl("net/ipv4/tcp_rmem"); ok && len(limit) == 3 {
		most := limit[2]
		f := finding{Check: "TCP buffer", Verdict: verdictOK, Value: float64(most), Unit: "bytes",
			Text: fmt.Sprintf("net.ipv4.tcp_rmem allows %s for each connection", formatBytes(most))}
		if bdp > 0 {
			f.Text += fmt.Sprintf("; the path has %s under way (rate times round trip)", formatBytes(int64(bdp)))
		}
		// Linux advertises about half of a buffer as window.
		if bdp > 0 && float64(most)/2 < bdp {
			f.Verdict = verdictWarn
			f.Advice = fmt.Sprintf("one TCP connection cannot fill the path, UDT and several can: sysctl -w net.ipv4.tcp_rmem='%d %d %d'", limit[0], limit[1], int64(2*bdp))
		}
		x.add(f)
	}
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
