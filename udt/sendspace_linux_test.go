package udt

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/chunkget/chunkget/internal/netns"
)

// The send buffer of the kernel begins small, unless somebody has said what it is to be.
func TestSendSpaceBeginsSmall(t *testing.T) {
	least := func() int {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil {
			t.Fatal(err)
		}
		n, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		return n / 2
	}()
	const usual, large = 64 << 10, 8 << 20
	for _, tt := range []struct {
		name       string
		cfg        Config
		owner      int // whoever opened the socket has set so much
		recv, send int
	}{
		{"nobody has said", Config{}, 0, 8 << 20, least},
		{"batches only", Config{Offload: OffloadBatch}, 0, 8 << 20, least},
		{"no batches", Config{Offload: OffloadOff}, 0, 8 << 20, 4 << 20},
		{"the configuration", Config{UDPRecvBuffer: usual, UDPSendBuffer: usual}, 0, usual, usual},
		{"the owner", Config{}, 2 * large, 2 * large, 2 * large},
		{"the owner and the configuration", Config{UDPRecvBuffer: usual, UDPSendBuffer: usual}, 2 * large, usual, usual},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			udp := pc.(*net.UDPConn)
			if forceBuffers(udp, large, large); tt.owner > 0 {
				forceBuffers(udp, tt.owner, tt.owner)
			}
			if recv, _ := grantedBuffers(udp); recv != max(large, tt.owner) {
				pc.Close()
				t.Skip("buffers of this size need CAP_NET_ADMIN")
			}
			if tt.owner == 0 {
				forceBuffers(udp, usual, usual)
			}
			s, err := newSocket(pc, &tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if recv, send := grantedBuffers(s.kernel); recv != tt.recv || send != tt.send {
				t.Errorf("buffers of %d and %d bytes, want %d and %d", recv, send, tt.recv, tt.send)
			}
		})
	}
}

// toSilentNeighbour returns a socket and the way to an address that nobody has: what is
// sent there waits for the neighbour to be found, and in the buffer.
func toSilentNeighbour(t *testing.T, o Offload) (*socket, route) {
	t.Helper()
	left, _ := netns.Pair(t, 1500, false)
	var pc net.PacketConn
	if err := left.Do(func() (err error) {
		pc, err = net.ListenPacket("udp4", "192.0.2.1:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s, err := newSocket(pc, &Config{Offload: o, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s, s.route(netip.MustParseAddrPort("192.0.2.77:9000"), netip.Addr{})
}

// A full buffer is enlarged as far as needed, for runs, single packets, fragments and probes.
func TestSendSpaceGrows(t *testing.T) {
	payload := func(n, size int) (packets [][]byte) {
		all := make([]byte, n*size)
		for i := range n {
			packets = append(packets, all[i*size:(i+1)*size])
		}
		return packets
	}
	for _, tt := range []struct {
		name    string
		offload Offload
		packets [][]byte
	}{
		{"runs", OffloadFull, payload(90, 1472)},
		{"single packets", OffloadBatch, payload(30, 1472)},
		{"fragments", OffloadBatch, payload(1, 60_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, way := toSilentNeighbour(t, tt.offload)
			_, before := grantedBuffers(s.kernel)
			if err := s.send(tt.packets, way); err != nil {
				t.Error(err)
			}
			_, after := grantedBuffers(s.kernel)
			if after <= before || after > 256<<10 {
				t.Errorf("the buffer has grown from %d to %d bytes", before, after)
			}
			if err := s.probe(make([]byte, 1400), way); err != nil {
				t.Errorf("a probe: %v", err)
			}
		})
	}
}

// What probes need counts as well.
func TestSendSpaceForProbes(t *testing.T) {
	s, way := toSilentNeighbour(t, OffloadFull)
	held := func() (n int) {
		_ = control(s.kernel, func(fd int) (err error) {
			n, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
			return err
		})
		return n
	}
	for i := range 20 {
		before := held()
		if err := s.probe(make([]byte, 1400), way); err != nil {
			t.Fatal(err)
		}
		if held() <= before {
			t.Fatalf("probe %d was not sent", i)
		}
	}
}

// A full buffer that may not grow is what it was.
func TestSendSpaceStops(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	f := os.NewFile(uintptr(pair[0]), "full")
	defer f.Close()
	const most = 8 << 10
	var space sendSpace
	if err := space.begin(pair[0], most); err != nil {
		t.Fatal(err)
	}
	s := newSendBatch(&space)
	packet := bytes.Repeat([]byte{1}, 2000)
	s.count = 9
	for i := range s.count {
		s.vecs[i].Base = &packet[0]
		s.vecs[i].SetLen(len(packet))
		s.hdrs[i].Hdr.Iov = &s.vecs[i]
		s.hdrs[i].Hdr.SetIovlen(1)
	}
	for s.next < s.count && s.wait(uintptr(pair[0])) {
		if s.err != 0 {
			t.Fatal(s.err)
		}
		s.next += s.n
	}
	size, _ := unix.GetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF)
	if size/2 != most || s.next == 0 || s.next == s.count || !errors.Is(s.err, unix.EAGAIN) {
		t.Errorf("%d of %d packets are in a buffer of %d bytes: %v", s.next, s.count, size/2, s.err)
	}
}
