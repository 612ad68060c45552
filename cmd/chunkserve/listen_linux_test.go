package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/udt"
	"golang.org/x/sys/unix"
)

// TestAcceptQueue: the system bounds how many TCP connections wait for Accept.
func TestAcceptQueue(t *testing.T) {
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Fatal(err)
	}
	want, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	overUDT, overTCP, err := listen("127.0.0.1:0", new(udt.Config))
	if err != nil {
		t.Fatal(err)
	}
	defer overTCP.Close()
	defer overUDT.Close()
	raw, err := overTCP.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	if cerr := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	// Of a socket that listens this is the length of the queue (tcp_get_info in Linux).
	if got := int(info.Sacked); got != want {
		t.Errorf("%d connections may wait, want %d", got, want)
	}
}
