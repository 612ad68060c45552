package udt

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func quietPair(t *testing.T) (q *quietSocket, from *net.UDPConn) {
	t.Helper()
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to := udp.LocalAddr().(*net.UDPAddr)
	if q, err = newQuietSocket(udp); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	if from, err = net.DialUDP("udp4", nil, to); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	return q, from
}

// readOne waits for a datagram and returns its size. Before it waits, it calls waits.
func readOne(q *quietSocket, waits func()) (n int, err error) {
	b := make([]byte, 2048)
	rerr := q.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), b, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			waits()
		}
		return err != unix.EAGAIN
	})
	return n, errors.Join(rerr, err)
}

// wake sends a datagram to a reader that waits, and returns when that has it.
func wake(q *quietSocket, from *net.UDPConn) error {
	empty, got := make(chan struct{}), make(chan error, 1)
	go func() {
		n, err := readOne(q, func() { close(empty) })
		if err == nil && n != 100 {
			err = fmt.Errorf("a datagram of %d bytes, want 100", n)
		}
		got <- err
	}()
	<-empty
	if _, err := from.Write(make([]byte, 100)); err != nil {
		return err
	}
	return <-got
}

// A datagram ends a wait, and nothing is made ready by those that come while nobody
// waits.
func TestQuietSocketWakesWhoWaits(t *testing.T) {
	q, from := quietPair(t)
	for round := range 20 {
		if err := wake(q, from); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for range 3 {
			if _, err := from.Write(make([]byte, 50)); err != nil {
				t.Fatal(err)
			}
		}
		var events [1]unix.EpollEvent
		if n, err := unix.EpollWait(q.setFD, events[:], 0); n != 0 || err != nil {
			t.Fatalf("round %d: the poll set has %d events (%v)", round, n, err)
		}
		for range 3 {
			if n, err := readOne(q, func() {}); n != 50 || err != nil {
				t.Fatalf("round %d: %d bytes, %v", round, n, err)
			}
		}
	}
}

// A reader that has not waited for a while takes the socket out of the poll set, which
// then hears of no datagram. A wait, and the end of one, are as before.
func TestQuietSocketLeavesItsSet(t *testing.T) {
	q, from := quietPair(t)
	member := func() bool {
		t.Helper()
		info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", q.setFD))
		if err != nil {
			t.Skip("the kernel does not tell what is in a poll set:", err)
		}
		return strings.Contains(string(info), "tfd:")
	}
	for round := range 3 {
		for i := range leaveAfter {
			if !member() {
				t.Fatalf("round %d: the socket left its set after %d calls", round, i)
			}
			if _, err := from.Write(make([]byte, 50)); err != nil {
				t.Fatal(err)
			}
			if n, err := readOne(q, func() {}); n != 50 || err != nil {
				t.Fatalf("round %d: %d bytes, %v", round, n, err)
			}
		}
		if member() {
			t.Fatalf("round %d: the socket is in its set after %d calls that need not wait", round, leaveAfter)
		}
		if err := wake(q, from); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	for range leaveAfter {
		if _, err := from.Write(make([]byte, 50)); err != nil {
			t.Fatal(err)
		}
		if _, err := readOne(q, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	waiting := make(chan struct{})
	go func() {
		_, err := readOne(q, func() { close(waiting) })
		ended <- err
	}()
	<-waiting
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// Closing ends a wait, and what comes later fails.
func TestQuietSocketCloses(t *testing.T) {
	q, _ := quietPair(t)
	waiting, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		first := true
		ended <- q.Read(func(uintptr) bool {
			if first {
				close(waiting)
			}
			first = false
			return false
		})
	}()
	<-waiting
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	never := func(uintptr) bool { return false }
	for name, err := range map[string]error{
		"a wait": <-ended, "Read": q.Read(never), "Write": q.Write(never), "Close": q.Close(), "Control": q.Control(func(uintptr) {}),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A refused port is an error of whoever reads, and its report does not end waiting
// again and again once it has been taken.
func TestQuietSocketHearsOfErrors(t *testing.T) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := enableErrorQueue(udp); err != nil {
		t.Fatal(err)
	}
	q, err := newQuietSocket(udp)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	gone, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := gone.LocalAddr().(*net.UDPAddr).Port
	gone.Close()
	send := func() {
		t.Helper()
		if err := control(q, func(fd int) error {
			to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}
			if err := unix.Sendto(fd, []byte("x"), 0, to); err != unix.ECONNREFUSED {
				return err
			}
			return unix.Sendto(fd, []byte("x"), 0, to)
		}); err != nil {
			t.Fatal(err)
		}
	}
	send()
	if _, err := readOne(q, func() {}); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("%v, want ECONNREFUSED", err)
	}
	if _, err := readOne(q, func() {}); !errors.Is(err, errQueued) {
		t.Errorf("%v, want %v", err, errQueued)
	}
	if refused := refusedPorts(q); len(refused) != 1 || refused[0] != netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)) {
		t.Errorf("refused: %v", refused)
	}
	if err := q.raw.Control(q.arm); err != nil || q.err != nil {
		t.Fatal(err, q.err)
	}
	if q.wait(uintptr(q.setFD)) {
		t.Errorf("event %x after the queue was emptied", q.events[0].Events)
	}
}
