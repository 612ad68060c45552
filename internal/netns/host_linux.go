package netns

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ipTimeout bounds each call of the program ip.
const ipTimeout = 10 * time.Second

// errEnded is what a host answers whose test has ended.
var errEnded = errors.New("the host has ended with its test")

// A Host is a network namespace, which ends with its test.
type Host struct {
	t      testing.TB
	thread int           // the number of the one that is in the namespace
	run    chan func()   // to that thread
	end    chan struct{} // closed when the test ends
}

// Pair makes two hosts that are joined. Each has a loopback device and one of mtu: v0
// with 192.0.2.1 on the left, v1 with 192.0.2.2 on the right. With frames the devices
// take single packets, so that every frame is a real one; otherwise the kernel hands
// runs of packets over as one.
func Pair(t testing.TB, mtu int, frames bool) (left, right *Host) {
	t.Helper()
	left, right = newHost(t), newHost(t)
	left.IP("link add v0 type veth peer name v1 netns " + strconv.Itoa(right.thread))
	for i, h := range []*Host{left, right} {
		dev := "v" + strconv.Itoa(i)
		h.IP(fmt.Sprintf("address add 192.0.2.%d/24 dev %s", i+1, dev))
		h.IP(fmt.Sprintf("link set %s up mtu %d", dev, mtu))
		if frames {
			h.IP("link set " + dev + " gso_max_segs 1")
		}
		h.IP("link set lo up")
	}
	return left, right
}

func newHost(t testing.TB) *Host {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("network namespaces need ip (Debian package iproute2): %v", err)
	}
	h := &Host{t: t, run: make(chan func()), end: make(chan struct{})}
	made, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		h.live(made)
	}()
	err := <-made
	if errors.Is(err, unix.EPERM) {
		t.Skipf("network namespaces need root: %v", err)
	}
	if err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	t.Cleanup(func() {
		close(h.end)
		<-ended
	})
	return h
}

// live makes the namespace, tells that or why not, and runs what comes until the end.
func (h *Host) live(made chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread never ends. While it is held here, the host gets another.
		defer runtime.UnlockOSThread()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.live(made)
		}()
		<-ended
		return
	}
	// Never unlocked: the thread ends with the goroutine.
	h.thread = unix.Gettid()
	err := unix.Unshare(unix.CLONE_NEWNET)
	made <- err
	for err == nil {
		select {
		case f := <-h.run:
			f()
		case <-h.end:
			return
		}
	}
}

// Do calls f on a thread that is in the namespace. Sockets that f opens stay there,
// wherever they are used; goroutines that it starts do not.
func (h *Host) Do(f func() error) error {
	result := make(chan error, 1)
	select {
	case h.run <- func() { result <- f() }:
		return <-result
	case <-h.end:
		return errEnded
	}
}

// Start starts a program on the host. It is killed when the host or this process ends.
func (h *Host) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL // the parent is the host's thread
	return h.Do(cmd.Start)
}

// IP runs the program ip on the host, with arguments that have no spaces.
func (h *Host) IP(args string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), ipTimeout)
	defer cancel()
	var out []byte
	if err := h.Do(func() (err error) {
		out, err = exec.CommandContext(ctx, "ip", strings.Fields(args)...).CombinedOutput()
		return err
	}); err != nil {
		h.t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}
