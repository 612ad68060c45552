package udt_test

import (
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/chunkget/chunkget/udt"
)

// A host is a network namespace of the test's own.
type host struct {
	run    chan func() // on the thread that is in the namespace
	thread int
}

// newHost makes a namespace, which ends with the test.
func newHost(b testing.TB) *host {
	if _, err := exec.LookPath("ip"); err != nil {
		b.Skipf("network namespaces need ip (Debian package iproute2): %v", err)
	}
	h := &host{run: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		h.thread = unix.Gettid()
		err := unix.Unshare(unix.CLONE_NEWNET)
		ready <- err
		if err != nil {
			return
		}
		for f := range h.run {
			f()
		}
	}()
	if err := <-ready; err != nil {
		b.Skipf("network namespaces need root: %v", err)
	}
	b.Cleanup(func() { close(h.run) })
	return h
}

func (h *host) do(f func()) {
	done := make(chan struct{})
	h.run <- func() { defer close(done); f() }
	<-done
}

func (h *host) ip(b testing.TB, command string) {
	h.do(func() {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			b.Fatalf("ip %s: %v\n%s", command, err, out)
		}
	})
}

func (h *host) endpoint(b testing.TB, address string, cfg *udt.Config) (e *udt.Endpoint) {
	h.do(func() {
		pc, err := net.ListenPacket("udp4", address)
		if err != nil {
			b.Error(err)
			return
		}
		if e, err = udt.NewEndpoint(pc, cfg); err != nil {
			b.Error(err)
		}
	})
	if e == nil {
		b.FailNow()
	}
	b.Cleanup(func() { e.Close() })
	return e
}

// joinReceived has a device join what it receives, as adapters do. Of a pair of
// virtual ones that needs their segmentation of TCP switched off.
func joinReceived(dev string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	type setting struct{ cmd, data uint32 }
	for _, s := range []setting{{unix.ETHTOOL_STSO, 0}, {unix.ETHTOOL_SGRO, 1}} {
		var request struct {
			name [unix.IFNAMSIZ]byte
			data *setting
			_    [16]byte
		}
		copy(request.name[:], dev)
		request.data = &s
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return errno
		}
	}
	return nil
}

// joinHosts joins two namespaces by a pair of virtual Ethernet devices, v0 with
// 192.0.2.1 on the left and v1 with 192.0.2.2 on the right. They may be told to
// take single packets: then every frame is a real one.
func joinHosts(b testing.TB, left, right *host, mtu int, frames bool) {
	b.Helper()
	left.ip(b, "link add v0 type veth peer name v1 netns "+strconv.Itoa(right.thread))
	for i, h := range []*host{left, right} {
		dev := "v" + strconv.Itoa(i)
		h.ip(b, "address add 192.0.2."+strconv.Itoa(i+1)+"/24 dev "+dev)
		h.ip(b, "link set "+dev+" up mtu "+strconv.Itoa(mtu))
		if frames {
			h.ip(b, "link set "+dev+" gso_max_segs 1")
		}
	}
}

// connectHosts makes a connection from the left one of two hosts that are joined
// to the right one.
func connectHosts(b testing.TB, left, right *host, cfg *udt.Config) (c *udt.Conn, s net.Conn) {
	b.Helper()
	l, err := right.endpoint(b, "192.0.2.2:9000", cfg).Listen()
	if err != nil {
		b.Fatal(err)
	}
	c, err = left.endpoint(b, "192.0.2.1:0", cfg).DialContext(b.Context(), "udt", "192.0.2.2:9000")
	if err != nil {
		b.Fatal(err)
	}
	s, err = l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	return c, s
}

// BenchmarkVeth measures between two network namespaces, which takes root. The
// packets of a run cross a pair of virtual Ethernet devices as one, unless the
// devices are told to take single packets: then every frame is a real one. The
// other side joins them again or not.
func BenchmarkVeth(b *testing.B) {
	for _, tt := range []struct {
		name         string
		mtu          int
		frames, join bool
		mss          int
	}{
		{"1500", 1500, false, false, 1500},
		{"frames/1500", 1500, true, false, 1500},
		{"frames/1500/joined", 1500, true, true, 1500},
		{"frames/9000", 9000, true, false, 9000},
		{"frames/9000/probed", 9000, true, false, 0},
	} {
		for _, mode := range offloads {
			b.Run(tt.name+"/"+mode.name, func(b *testing.B) {
				left, right := newHost(b), newHost(b)
				joinHosts(b, left, right, tt.mtu, tt.frames)
				for i, h := range []*host{left, right} {
					if tt.join {
						dev := "v" + strconv.Itoa(i)
						h.do(func() {
							if err := joinReceived(dev); err != nil {
								b.Errorf("join what %s receives: %v", dev, err)
							}
						})
					}
				}
				c, s := connectHosts(b, left, right, &udt.Config{Offload: mode.mode, MSS: tt.mss})
				benchmarkBetween(b, s, c)
			})
		}
	}
}
