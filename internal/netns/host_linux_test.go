package netns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// crashVariable makes the test binary start a program on a host and wait to be killed.
const crashVariable = "CHUNKGET_NETNS_TEST_CRASH"

func TestPairIsJoined(t *testing.T) {
	left, right := Pair(t, 9000, true)
	var l net.Listener
	if err := right.Do(func() (err error) {
		l, err = net.Listen("tcp4", "192.0.2.2:9000")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var c net.Conn
	if err := left.Do(func() (err error) {
		c, err = net.Dial("tcp4", l.Addr().String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if from := s.RemoteAddr().(*net.TCPAddr).IP.String(); from != "192.0.2.1" {
		t.Errorf("the connection comes from %s", from)
	}
	for dev, h := range map[string]*Host{"v0": left, "v1": right} {
		if err := h.Do(func() error {
			i, err := net.InterfaceByName(dev)
			if err == nil && i.MTU != 9000 {
				err = fmt.Errorf("the MTU is %d", i.MTU)
			}
			return err
		}); err != nil {
			t.Errorf("%s: %v", dev, err)
		}
		if _, err := net.InterfaceByName(dev); err == nil {
			t.Errorf("%s is on this host, too", dev)
		}
	}
}

func TestHostEndsWithItsTest(t *testing.T) {
	var left *Host
	cmd := exec.Command("sleep", "60")
	t.Run("test", func(t *testing.T) {
		left, _ = Pair(t, 1500, false)
		if err := left.Start(cmd); err != nil {
			t.Fatal(err)
		}
	})
	if cmd.Process == nil {
		t.Skip("network namespaces need root and ip (Debian package iproute2)")
	}
	cmd.Wait()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGKILL {
		t.Errorf("the program on the host ended with %v, want SIGKILL", cmd.ProcessState)
	}
	if err := left.Do(func() error { return nil }); !errors.Is(err, errEnded) {
		t.Errorf("a host whose test has ended: %v, want %v", err, errEnded)
	}
}

// The process may end in any way, a signal for one.
func TestHostEndsWithTheProcess(t *testing.T) {
	if os.Getenv(crashVariable) != "" {
		left, _ := Pair(t, 1500, false)
		cmd := exec.Command("sleep", "60")
		if err := left.Start(cmd); err != nil {
			t.Fatal(err)
		}
		fmt.Println("pid", cmd.Process.Pid)
		cmd.Wait()
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), crashVariable+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	pid := 0
	lines := bufio.NewScanner(io.LimitReader(out, 1<<16))
	for pid == 0 && lines.Scan() {
		if strings.Contains(lines.Text(), "--- SKIP") {
			t.Skip("network namespaces need root and ip (Debian package iproute2)")
		}
		fmt.Sscanf(lines.Text(), "pid %d", &pid)
	}
	if pid == 0 {
		t.Fatal("no program has started on the host")
	}
	program, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(program)
	child.Process.Kill()
	// A process that has ended is readable (pidfd_open(2)).
	n, err := 0, error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(program), Events: unix.POLLIN}}, 10_000)
	}
	if n != 1 {
		t.Fatalf("the program on the host outlives the process that it belongs to: %v", err)
	}
}
