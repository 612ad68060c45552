package wan

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crashVariable makes the test binary open a lab and wait to be killed.
const crashVariable = "CHUNKGET_WAN_TEST_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(crashVariable) != "" {
		if err := waitToBeKilled(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// waitToBeKilled opens a lab, starts a program in it that would outlive it, and
// tells the names of the namespaces and the number of the emulator.
func waitToBeKilled() error {
	l, err := Open(context.Background(), Link{Rate: 10e6, RTT: time.Millisecond}, nil)
	if err != nil {
		return err
	}
	// The shell dies with this process, its child does not.
	if err := l.Client().Command(context.Background(), "sh", "-c", "sleep 1000 & wait").Start(); err != nil {
		return err
	}
	fmt.Println(l.Client().Namespace(), l.Server().Namespace(), l.emulator.cmd.Process.Pid)
	select {}
}

// openLab opens a lab for a test, and skips the test where there cannot be one.
func openLab(t *testing.T, ctx context.Context, link Link) *Lab {
	t.Helper()
	l, err := Open(ctx, link, nil)
	skipWithout(t, err)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wantGone(t, l.Client().Namespace(), l.Server().Namespace())
	})
	return l
}

// skipWithout skips a test where there cannot be hosts, as err says.
func skipWithout(t *testing.T, err error) {
	t.Helper()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		t.Skip(err)
	case errors.Is(err, unix.EPERM) || err != nil && strings.Contains(err.Error(), "Operation not permitted"):
		t.Skip("this root may not make network namespaces: ", err)
	}
}

func wantGone(t *testing.T, namespaces ...string) {
	t.Helper()
	for _, n := range namespaces {
		if _, err := os.Lstat(filepath.Join(namespaceDir, n)); err == nil {
			t.Errorf("the namespace %s is still there", n)
		}
	}
}

// listen opens a UDP socket on a host, with a buffer that holds what comes
// while the test does not run.
func listen(t *testing.T, h Host) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := h.Do(func() (err error) {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: h.Addr.AsSlice()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// figure is a property of a link, as asked for and as measured.
type figure struct {
	name      string
	want, got float64
}

func (f figure) off() float64 { return math.Abs(f.got-f.want) / f.want }

// tolerance is how far a measured link may be off.
const tolerance = 0.03

// measure repeats a measurement until it is within the tolerance on a link that
// kept its schedule, a few times at most: other programs disturb it.
func measure(t *testing.T, l *Lab, probe func(t *testing.T, l *Lab) figure) {
	t.Helper()
	var disturbed string
	for range 5 {
		l.ResetCounters()
		f := probe(t, l)
		c := l.Counters()
		if c.Failure != "" {
			t.Fatalf("the emulator has failed: %s", c.Failure)
		}
		if f.off() <= tolerance {
			t.Logf("%s %.5g, asked for %.5g; late %.2f %%, 99 %% within %v", f.name, f.got, f.want, 100*c.Lateness.LateShare(), c.Lateness.P99)
			return
		}
		if ok, why := c.KeptSchedule(); !ok {
			disturbed = why
			continue
		}
		t.Logf("again: %s %.5g, asked for %.5g: %+v", f.name, f.got, f.want, c)
	}
	if disturbed != "" {
		t.Skip("this machine is too busy: ", disturbed)
	}
	t.Errorf("the link is more than %v %% off", 100*tolerance)
}

// stamped lets the kernel stamp what a socket receives: when a program gets to read
// it, on a busy machine, is no property of the link.
func stamped(t *testing.T, c *net.UDPConn) *net.UDPConn {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// readStamped reads a datagram and returns when it came.
func readStamped(c *net.UDPConn, b []byte) (n int, from netip.AddrPort, came time.Time, err error) {
	oob := make([]byte, 128)
	n, oobn, _, from, err := c.ReadMsgUDPAddrPort(b, oob)
	if err != nil {
		return 0, from, came, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, from, came, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) == 16 {
			sec, nsec := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return n, from, time.Unix(int64(sec), int64(nsec)), nil
		}
	}
	return 0, from, came, errors.New("a datagram without a time stamp")
}

func TestMeasuredRTT(t *testing.T) {
	l := openLab(t, t.Context(), Link{Rate: 100e6, RTT: 40 * time.Millisecond})
	echo := stamped(t, listen(t, l.Server()))
	go func() {
		var b [64]byte
		for {
			n, from, came, err := readStamped(echo, b[:])
			if err != nil {
				return
			}
			// How long it was here is told, and does not count.
			binary.BigEndian.PutUint64(b[:], uint64(time.Now().Round(0).Sub(came)))
			echo.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	probe := stamped(t, listen(t, l.Client()))
	to := echo.LocalAddr().(*net.UDPAddr).AddrPort()
	measure(t, l, func(t *testing.T, l *Lab) figure {
		var times []float64
		for range 25 {
			var b [64]byte
			sent := time.Now().Round(0)                        // as the stamps, of the wall clock
			probe.SetReadDeadline(time.Now().Add(time.Minute)) // only ends a test that would hang
			if _, err := probe.WriteToUDPAddrPort(b[:], to); err != nil {
				t.Fatal(err)
			}
			_, _, came, err := readStamped(probe, b[:])
			if err != nil {
				t.Fatal(err)
			}
			held := time.Duration(binary.BigEndian.Uint64(b[:]))
			times = append(times, (came.Sub(sent) - held).Seconds())
		}
		slices.Sort(times)
		return figure{"RTT", 0.04, times[len(times)/2]}
	})
}

// blast sends count datagrams of a size, some every few milliseconds so that
// they take their share of rate in bit/s, and returns when they came, how many,
// and what the link has counted meanwhile.
func blast(t *testing.T, from, to *net.UDPConn, direction func() Direction, count, size int, rate float64) (first, last time.Time, received int, d Direction) {
	t.Helper()
	addr := to.LocalAddr().(*net.UDPAddr).AddrPort()
	stamped(t, to)
	var arrived atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, _, came, err := readStamped(to, b)
			if err != nil {
				return
			}
			if n != size {
				continue // nothing of ours
			}
			if last = came; arrived.Add(1) == 1 {
				first = came
			}
		}
	}()
	b := make([]byte, size)
	begin := time.Now()
	to.SetReadDeadline(begin.Add(time.Minute))
	for i := 0; i < count; {
		due := min(count, 1+int(time.Since(begin).Seconds()*rate/8/float64(size+28)))
		for ; i < due; i++ {
			binary.BigEndian.PutUint32(b, uint32(i))
			if _, err := from.WriteToUDPAddrPort(b, addr); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Millisecond) // the rate is one of real time: the link is the kernel's
	}
	// The last datagrams may be lost. Only the link knows when no more is to come.
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		case <-time.After(10 * time.Millisecond):
		}
		d = direction()
		ended := d.Delivered.Packets + d.Lost.Packets + d.Overflow.Packets + d.Refused.Packets
		if d.Sent.Packets+d.Missed >= int64(count) && ended == d.Sent.Packets && arrived.Load() >= d.Delivered.Packets {
			to.SetReadDeadline(time.Now())
		}
	}
	return first, last, int(arrived.Load()), d
}

// All is sent as soon as the link takes it, into a queue that holds it, so that something
// waits there until the end whenever the sender gets to run.
func TestMeasuredRate(t *testing.T) {
	l := openLab(t, t.Context(), Link{Rate: 100e6, RTT: 20 * time.Millisecond, Queue: 100})
	measure(t, l, func(t *testing.T, l *Lab) figure {
		const size = 1472
		direction := func() Direction { return l.Counters().ToServer }
		first, last, received, c := blast(t, listen(t, l.Client()), listen(t, l.Server()), direction, 12_000, size, 100e9)
		if c.Overflow.Packets > 0 || c.Delivered.Packets != int64(received) {
			t.Logf("received %d packets, but the link counts %+v", received, c)
		}
		return figure{"rate", 100e6, float64(received-1) * (size + 28) * 8 / last.Sub(first).Seconds()}
	})
}

func TestMeasuredLoss(t *testing.T) {
	l := openLab(t, t.Context(), Link{Rate: 100e6, RTT: 20 * time.Millisecond, Loss: 0.1, Seed: 1})
	measure(t, l, func(t *testing.T, l *Lab) figure {
		const count = 30_000
		direction := func() Direction { return l.Counters().ToClient }
		_, _, received, c := blast(t, listen(t, l.Server()), listen(t, l.Client()), direction, count, 64, 30e6)
		if c.Overflow.Packets == 0 && c.Sent.Packets == count && c.Lost.Packets != int64(count-received) {
			t.Errorf("%d packets did not arrive, but the link counts %+v", count-received, c)
		}
		return figure{"loss", 0.1, 1 - float64(received)/count}
	})
}

func TestCommandRunsOnItsHost(t *testing.T) {
	l := openLab(t, t.Context(), Link{Rate: 100e6, RTT: time.Millisecond, MTU: 1400})
	for _, h := range []Host{l.Client(), l.Server()} {
		out, err := h.Command(t.Context(), "ip", "-o", "address").CombinedOutput()
		if err != nil || !strings.Contains(string(out), h.Addr.String()+"/24") || strings.Contains(string(out), "inet6") {
			t.Errorf("addresses of %s: %v\n%s", h.Addr, err, out)
		}
		out, err = h.Command(t.Context(), "ip", "-o", "link").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "mtu 1400") || strings.Count(string(out), "\n") != 2 || strings.Count(string(out), ",UP") != 2 {
			t.Errorf("links of %s: %v\n%s", h.Addr, err, out)
		}
		err = h.Do(func() error {
			for name, want := range map[string]string{
				"tcp_rmem": "4096\t131072\t67108864", "tcp_wmem": "4096\t65536\t67108864", "tcp_no_metrics_save": "1",
			} {
				if b, err := os.ReadFile("/proc/sys/net/ipv4/" + name); err != nil || strings.TrimSpace(string(b)) != want {
					t.Errorf("%s of %s is %q (%v), want %q", name, h.Addr, b, err, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestCable(t *testing.T) {
	c, err := OpenCable(t.Context(), Devices{MTU: 9000, Frames: true, Join: true}, slog.New(slog.DiscardHandler))
	skipWithout(t, err)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, h := range []Host{c.Client(), c.Server()} {
		out, err := h.Command(t.Context(), "ip", "-d", "address", "show", "dev", deviceName).CombinedOutput()
		if err != nil || !strings.Contains(string(out), h.Addr.String()+"/24") || !strings.Contains(string(out), "mtu 9000") ||
			!strings.Contains(string(out), "gso_max_segs 1 ") || !strings.Contains(string(out), "LOWER_UP") {
			t.Errorf("the device of %s: %v\n%s", h.Addr, err, out)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wantGone(t, c.Client().Namespace(), c.Server().Namespace())
}

func TestCongestionControl(t *testing.T) {
	l := openLab(t, t.Context(), Link{Rate: 100e6, RTT: time.Millisecond})
	var names []string // of the algorithms that the kernel has loaded
	err := l.Server().Do(func() error {
		b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
		names = strings.Fields(string(b))
		return err
	})
	if err != nil || !slices.Contains(names, "cubic") {
		t.Fatalf("algorithms %v (%v), want cubic among them", names, err)
	}
	used := func(c net.Conn) string {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var name string
		raw.Control(func(fd uintptr) { name, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION) })
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	var listener *net.TCPListener
	err = l.Server().Do(func() (err error) {
		listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: l.Server().Addr.AsSlice()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for i, name := range names {
		other := names[(i+1)%len(names)]
		if err := l.Client().SetCongestionControl(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := l.Server().SetCongestionControl(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		var c *net.TCPConn
		err := l.Client().Do(func() (err error) {
			c, err = net.DialTCP("tcp4", nil, listener.Addr().(*net.TCPAddr))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		s, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if c, s := used(c), used(s); c != name || s != other {
			t.Errorf("the client uses %s and the server %s, want %s and %s", c, s, name, other)
		}
		c.Close()
		s.Close()
	}
	if err := l.Client().SetCongestionControl(t.Context(), "no-such"); err == nil {
		t.Error("an unknown algorithm is accepted")
	}
}

func TestCloseKillsWhatRuns(t *testing.T) {
	l := openLab(t, t.Context(), Link{Rate: 10e6, RTT: time.Millisecond})
	cmd := l.Server().Command(t.Context(), "sh", "-c", "echo here; exec sleep 1000")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Before it says so, it may not be in the namespace yet, and would not get there.
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "here\n" {
		t.Fatalf("the program in the namespace says %q (%v)", line, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGKILL {
		t.Errorf("the program in the namespace ended with %v, want SIGKILL", cmd.ProcessState)
	}
	wantGone(t, l.Client().Namespace(), l.Server().Namespace())
	if ok, why := l.Counters().KeptSchedule(); ok || why == "" {
		t.Error("a closed link says that it keeps its schedule")
	}
	if err := l.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func TestCancelledContextCloses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := openLab(t, ctx, Link{Rate: 10e6, RTT: time.Millisecond})
	cancel()
	select {
	case <-l.emulator.exited:
	case <-time.After(30 * time.Second):
		t.Fatal("the link outlives its context")
	}
	if err := l.Close(); err != nil { // waits for the one that the context began
		t.Error(err)
	}
	wantGone(t, l.Client().Namespace(), l.Server().Namespace())

	if l, err := Open(ctx, Link{Rate: 10e6}, nil); err == nil {
		t.Errorf("opened with a context that has ended: %v", l)
	}
	left, err := filepath.Glob(filepath.Join(namespaceDir, fmt.Sprintf("%s%d-*", namespacePrefix, os.Getpid())))
	if err != nil || len(left) > 0 {
		t.Errorf("namespaces left: %v %v", left, err)
	}
}

func TestCrashIsCleanedUp(t *testing.T) {
	living := openLab(t, t.Context(), Link{Rate: 10e6, RTT: time.Millisecond})
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashVariable+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var client, server string
	var pid int
	if n, scanErr := fmt.Sscan(line, &client, &server, &pid); n != 3 {
		t.Fatalf("the child says %q (%v, %v)", line, err, scanErr)
	}
	names := []string{client, server}
	if _, err := processStart(pid); err != nil {
		t.Errorf("the emulator does not run: %v", err)
	}
	emulator, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(emulator)
	for _, n := range names {
		if _, err := os.Lstat(filepath.Join(namespaceDir, n)); err != nil {
			t.Error(err)
		}
	}
	if err := Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(namespaceDir, names[0])); err != nil {
		t.Errorf("Cleanup takes the namespace of a process that lives: %v", err)
	}
	child.Process.Kill()
	child.Wait()
	if err := Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
	wantGone(t, names...)
	// A process that has ended is readable (pidfd_open(2)).
	n, err := 0, error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(emulator), Events: unix.POLLIN}}, 60_000)
	}
	if n != 1 {
		t.Fatalf("the emulator outlives the process that it works for: %v", err)
	}
	if ok, why := living.Counters().KeptSchedule(); !ok {
		t.Errorf("Cleanup harms a lab that is open: %s", why)
	}
}

// Tests and programs clean up what others have left behind when they open a lab, and may do
// so at the same time.
func TestCleanupsMeet(t *testing.T) {
	l := openLab(t, t.Context(), Link{Rate: 10e6, RTT: time.Millisecond}) // where there can be none, the test is skipped
	for range 5 {
		n, err := newNamespace(t.Context(), labNumber.Add(1), "left")
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := n.remove(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		wantGone(t, n.name)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestParseNamespace(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pid   int
		start uint64
		ok    bool
	}{
		{"chunkget-wan-12-345-1-client", 12, 345, true},
		{"chunkget-wan-12-345-1-server", 12, 345, true},
		{"chunkget-wan-12-345-client", 0, 0, false},
		{"chunkget-wan--1-345-1-client", 0, 0, false},
		{"chunkget-wan-0-345-1-client", 0, 0, false},
		{"chunkget-wan-12-x-1-client", 12, 0, false},
		{"chunkget-wan-", 0, 0, false},
		{"other-12-345-1-client", 0, 0, false},
		{"", 0, 0, false},
	} {
		if pid, start, ok := parseNamespace(tt.name); ok != tt.ok || ok && (pid != tt.pid || start != tt.start) {
			t.Errorf("%q: %d, %d, %v", tt.name, pid, start, ok)
		}
	}
}

func TestRunning(t *testing.T) {
	start, err := processStart(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !running(os.Getpid(), start) || running(os.Getpid(), start+1) {
		t.Error("this process is not told from another of its number")
	}
	child := exec.Command("true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	// Until waited for, it is a zombie once it has ended.
	if err := unix.Waitid(unix.P_PID, child.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := processStart(child.Process.Pid); !errors.Is(err, errZombie) {
		t.Error(err)
	}
}
