package udt_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chunkget/chunkget/udt"
)

// A port that nobody listens on refuses at once, on loopback and wherever ICMP
// comes through.
func TestDialClosedPort(t *testing.T) { eachOffload(t, testDialClosedPort) }

func testDialClosedPort(t *testing.T) {
	e, err := udt.ListenEndpoint("udt4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := e.Addr().String()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = udt.Dial("udt4", addr)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, want ECONNREFUSED", err)
	}
}

// A peer whose process is gone is noticed by the refusals of its host.
func TestPeerProcessGone(t *testing.T) { eachOffload(t, testPeerProcessGone) }

func testPeerProcessGone(t *testing.T) {
	client, server := pair(t, nil)
	server.Abandon()
	if _, err := client.Write([]byte("hello?")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("read: %v, want ECONNREFUSED", err)
	}
}

// The socket of a dialled connection is for its peer only: the host refuses everybody
// else's packets, and no time is spent on them.
func TestDialledSocketHasOnePeer(t *testing.T) { eachOffload(t, testDialledSocketHasOnePeer) }

func testDialledSocketHasOnePeer(t *testing.T) {
	_, c, _ := connect(t, nil)
	stranger, err := net.DialUDP("udp4", nil, c.LocalAddr().(*udt.Addr).UDPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if err := stranger.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the stranger read: %v, want ECONNREFUSED", err)
	}
}

// Where the system has no way to a peer, dialling says so at once.
func TestDialWithoutRoute(t *testing.T) {
	// 240.0.0.0/4 is reserved (RFC 1112, section 4), and cannot be reached from loopback.
	d := udt.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	begin := time.Now()
	_, err := d.Dial("udt4", "240.0.0.1:9000")
	if errno := syscall.Errno(0); !errors.As(err, &errno) {
		t.Errorf("dial: %v after %v, want an error of the system's", err, time.Since(begin))
	}
}

// A connection knows its own address although its socket is bound to all.
func TestLocalAddrOfWildcard(t *testing.T) { eachOffload(t, testLocalAddrOfWildcard) }

func testLocalAddrOfWildcard(t *testing.T) {
	l, err := udt.Listen("udt", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*udt.Addr).AddrPort().Port()
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		remote := netip.AddrPortFrom(netip.MustParseAddr(host), port)
		c, err := udt.Dial("udt", remote.String())
		if err != nil {
			t.Errorf("dial %v: %v", remote, err)
			continue
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.LocalAddr().(*udt.Addr).AddrPort(); got != remote {
			t.Errorf("dialled %v, the server is at %v", remote, got)
		}
		if a, b := c.LocalAddr().String(), s.RemoteAddr().String(); a != b {
			t.Errorf("the client is at %v, its server sees %v", a, b)
		}
		c.Close()
		s.Close()
	}
}

// ICMP messages arrive while connections end and their sockets are closed:
// neither may wait for the other.
func TestCloseAmongRefusals(t *testing.T) { eachOffload(t, testCloseAmongRefusals) }

func testCloseAmongRefusals(t *testing.T) {
	for range 50 {
		l, c, s := connect(t, nil)
		// The client's port is gone when the server sends its data and Shutdowns.
		c.Abandon()
		go s.Write(make([]byte, 100_000))
		l.Close()
		s.Kill()
	}
}

// No UDP socket outlives its connections and listener.
func TestSocketsAreClosed(t *testing.T) { eachOffload(t, testSocketsAreClosed) }

func testSocketsAreClosed(t *testing.T) {
	sockets := func() (n int) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:") {
				n++
			}
		}
		return n
	}
	before := sockets()
	for range 10 {
		l, c, s := connect(t, nil)
		if err := errors.Join(c.Close(), s.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	// A connection keeps its socket until its Shutdown has been repeated.
	for patience := time.After(30 * time.Second); sockets() > before; {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-patience:
			t.Fatalf("%d sockets, %d before", sockets(), before)
		}
	}
}
