//go:build unix

package udt_test

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/chunkget/chunkget/udt"
)

// fixedWindow is no congestion control: what a window of so many packets
// gives is up to the I/O and the machine.
type fixedWindow int

func (fixedWindow) Name() string                             { return "window" }
func (fixedWindow) State() string                            { return "fixed" }
func (fixedWindow) Init(time.Duration, udt.CongestionParams) {}
func (fixedWindow) OnSend(time.Duration, udt.SendEvent)      {}
func (fixedWindow) OnACK(time.Duration, udt.ACKEvent)        {}
func (fixedWindow) OnLoss(time.Duration, udt.LossEvent)      {}
func (fixedWindow) OnTimeout(time.Duration)                  {}
func (w fixedWindow) Window() int                            { return int(w) }
func (fixedWindow) SendPeriod() time.Duration                { return 0 }

// offloads are the ways of moving datagrams.
var offloads = []struct {
	name string
	mode udt.Offload
}{{"full", udt.OffloadFull}, {"batch", udt.OffloadBatch}, {"off", udt.OffloadOff}}

// BenchmarkWindow measures the transport without congestion control, with
// each way of moving datagrams.
func BenchmarkWindow(b *testing.B) {
	for _, o := range offloads {
		for _, window := range []int{512, 1024, 2048, 4096} {
			b.Run(fmt.Sprintf("%s/%d", o.name, window), func(b *testing.B) {
				cfg := &udt.Config{Offload: o.mode, Congestion: func() udt.Congestion { return fixedWindow(window) }}
				benchmarkTransfer(b, cfg)
			})
		}
	}
}

// BenchmarkLoopback measures what a user gets.
func BenchmarkLoopback(b *testing.B) { benchmarkTransfer(b, nil) }

// benchmarkTransfer moves a mebibyte per turn from memory to memory. Both ends
// and the kernel's part are in its CPU time.
func benchmarkTransfer(b *testing.B, cfg *udt.Config) {
	client, server := pair(b, cfg)
	benchmarkBetween(b, server, client)
}

func benchmarkBetween(b *testing.B, server, client net.Conn) {
	const size = 1 << 20
	b.SetBytes(size)
	b.ReportAllocs()
	b.ResetTimer()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, size)
		for range b.N {
			if _, err := io.ReadFull(client, buf); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	buf := make([]byte, size)
	before := cpuTime(b)
	for range b.N {
		if _, err := server.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	b.StopTimer()
	gigabytes := float64(b.N) * size / 1e9
	b.ReportMetric((cpuTime(b)-before).Seconds()/gigabytes, "cpu-s/GB")
	b.ReportMetric(gigabytes*8/b.Elapsed().Seconds(), "Gbit/s")
	if server, ok := server.(*udt.Conn); ok {
		s := server.Stats()
		b.ReportMetric(float64(s.PktRetrans)/float64(s.PktSent)*100, "%retrans")
	}
}

// cpuTime is what the process has used so far, in user mode and in the kernel.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
