package udt

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchIO moves many datagrams per system call, and where the kernel can, many
// per traversal of its network stack: UDP_SEGMENT cuts one message into packets
// of equal size, and UDP_GRO joins such packets again.
//
// Nothing here allocates per call. What a call needs, the kernel's structures
// and the closures for the runtime's poller, lives in recvBatch, of which the
// read goroutine has one, and in sendBatch, which senders take from a pool.
type batchIO struct {
	rc      syscall.RawConn
	kernel  kernelSocket // the socket of rc
	log     *slog.Logger
	ipv6    bool // the family of the socket
	segment bool // the kernel knows UDP_SEGMENT
	gro     bool // the kernel joins what it receives
	space   sendSpace
	senders sync.Pool
	in      *recvBatch // of the read goroutine
	mem     *memInfo   // likewise
	look    func(fd uintptr)

	refused   atomic.Int64 // runs that were sent packet by packet in the end
	truncated atomic.Int64 // datagrams that were longer than any packet may be
}

// newBatchIO makes one of a socket whose send buffer has mostSend bytes, and is to be as
// small as may be, unless that is 0.
func newBatchIO(udp *net.UDPConn, cfg *Config, mode Offload, mostSend int) (*batchIO, error) {
	rc, err := udp.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &batchIO{rc: rc, log: cfg.logger()}
	var peer unix.Sockaddr
	err = control(udp, func(fd int) error {
		peer, _ = unix.Getpeername(fd) // nil: the socket is not connected
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		b.ipv6 = domain == unix.AF_INET6
		// Without stamps, packets that are read together have one arrival time.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1)
		if mostSend > 0 {
			err = errors.Join(err, b.space.begin(fd, mostSend))
		}
		if mode != OffloadFull {
			return err
		}
		_, unknown := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		b.segment = unknown == nil
		// Kernels that cannot be asked for the option, before 5.12, had faults in it.
		if _, unknown = unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO); unknown == nil {
			b.gro = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	b.kernel = udp
	if q, err := newQuietSocket(udp); err == nil {
		b.rc, b.kernel = q, q
	} else {
		b.log.Warn("the UDP socket stays in the runtime's poller, and each datagram wakes a thread", "err", err)
	}
	b.senders.New = func() any { return newSendBatch(&b.space) }
	b.in = newRecvBatch(b.gro, cfg.largestPacket())
	b.in.peer = fromSockaddr(peer)
	b.mem = new(memInfo)
	b.look = b.mem.look
	return b, nil
}

// taken returns the socket, which may have another owner than before.
func (b *batchIO) taken() kernelSocket { return b.kernel }

func (b *batchIO) probeSender() probeSender { return newProbeSender(b.kernel, b.space.grow) }

// path is what the kernel needs to know of a peer, and what sending there has
// taught.
type path struct {
	name    [unix.SizeofSockaddrInet6]byte
	nameLen uint32
	// whole: runs are refused, by the device, or because a packet is larger
	// than its MTU. Packets go one by one.
	whole bool
}

func (b *batchIO) newPath(remote netip.AddrPort) *path {
	p := new(path)
	if b.ipv6 {
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&p.name))
		sa.Family = unix.AF_INET6
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], remote.Port())
		sa.Addr = remote.Addr().As16()
		sa.Scope_id = scopeID(remote.Addr().Zone())
		p.nameLen = unix.SizeofSockaddrInet6
		return p
	}
	sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&p.name))
	sa.Family = unix.AF_INET
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], remote.Port())
	if a := remote.Addr().Unmap(); a.Is4() {
		sa.Addr = a.As4()
	}
	p.nameLen = unix.SizeofSockaddrInet4
	return p
}

// segmentsRefused reports whether an error of a run may be one of segmentation:
// no checksum offload, no such option on this kind of socket, or packets larger
// than the MTU, which are sent in fragments on their own.
func segmentsRefused(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EMSGSIZE) ||
		errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOPROTOOPT)
}

// noteRefusal counts a run that had to be sent packet by packet.
func (b *batchIO) noteRefusal(r route, err error) {
	if b.refused.Add(1) == 1 {
		b.log.Warn("UDP segmentation offload does not work here; packets are sent one by one",
			"remote", r.remote, "err", err)
	}
}

func (b *batchIO) stats(s *EndpointStats) {
	s.Segmentation, s.Coalescing = b.segment, b.gro
	s.SegmentationRefused, s.Truncated = b.refused.Load(), b.truncated.Load()
}
