package fetch

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// overSockets is for seeing that what the tests show in memory and in virtual time is so
// with the kernel's network as well.
var overSockets = flag.Bool("sockets", false, "run over TCP and UDP sockets of the loopback interface, in real time")

// TestMain fails when a goroutine of a download outlives it: Get waits for all
// of them, so none may be there without any delay.
func TestMain(m *testing.M) {
	code := m.Run()
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	if i := bytes.Index(buf, []byte("fetch.(*download)")); i >= 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines of a download are left:\n%s\n", buf)
		code = 1
	}
	os.Exit(code)
}

// comesAbout looks every millisecond, so many times, for what no event tells of: what
// others have done to a folder. It reports whether it has seen it.
func comesAbout(times int, holds func() bool) bool {
	for range times {
		if holds() {
			return true
		}
		<-time.After(time.Millisecond)
	}
	return false
}
