package udt

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// packetInfoSpace holds the control messages of both families.
const packetInfoSpace = 128

// enablePacketInfo has the kernel say for each datagram which address it came
// to. On a dual-stack socket the IPv6 option reports IPv4 as mapped addresses.
func enablePacketInfo(udp *net.UDPConn) error {
	return control(udp, func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1); err == nil {
			return nil
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	})
}

// forceBuffers goes beyond net.core.rmem_max and wmem_max where the process
// may (CAP_NET_ADMIN); elsewhere it changes nothing.
func forceBuffers(udp *net.UDPConn, recv, send int) {
	_ = control(udp, func(fd int) error {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, recv)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, send)
		return nil
	})
}

// grantedBuffers returns the sizes of the socket buffers as they are asked for,
// 0 where that is not known. The kernel reports twice that.
func grantedBuffers(udp syscall.Conn) (recv, send int) {
	_ = control(udp, func(fd int) error {
		recv, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		send, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		return nil
	})
	return recv / 2, send / 2
}

func control(udp syscall.Conn, f func(fd int) error) error {
	rc, err := udp.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := rc.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

// parsePacketInfo returns the destination address in oob, if there is one.
func parsePacketInfo(oob []byte) netip.Addr {
	for len(oob) > 0 {
		hdr, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return netip.Addr{}
		}
		if local, ok := localAddr(&hdr, data); ok {
			return local
		}
		oob = rest
	}
	return netip.Addr{}
}

// localAddr returns the destination address in a control message, if that is
// what it tells.
func localAddr(hdr *unix.Cmsghdr, data []byte) (netip.Addr, bool) {
	switch {
	case hdr.Level == unix.IPPROTO_IPV6 && hdr.Type == unix.IPV6_PKTINFO && len(data) >= 16:
		return netip.AddrFrom16([16]byte(data[:16])).Unmap(), true
	case hdr.Level == unix.IPPROTO_IP && hdr.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		return netip.AddrFrom4([4]byte(data[8:12])), true
	}
	return netip.Addr{}, false
}

// packetInfo returns the control message that sends from the given address.
func packetInfo(from netip.Addr, ipv6Socket bool) []byte {
	if ipv6Socket {
		b := make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo))
		putCmsgHeader(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		ip := from.As16()
		copy(b[unix.CmsgLen(0):], ip[:])
		return b
	}
	b := make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	putCmsgHeader(b, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	ip := from.As4()
	copy(b[unix.CmsgLen(0)+4:], ip[:]) // after the interface index: ipi_spec_dst
	return b
}

// putCmsgHeader writes a cmsghdr, whose length field is as wide as a pointer.
func putCmsgHeader(b []byte, level, typ, size int) {
	n := unix.CmsgLen(size)
	if unix.SizeofPtr == 8 {
		binary.NativeEndian.PutUint64(b, uint64(n))
		b = b[8:]
	} else {
		binary.NativeEndian.PutUint32(b, uint32(n))
		b = b[4:]
	}
	binary.NativeEndian.PutUint32(b, uint32(level))
	binary.NativeEndian.PutUint32(b[4:], uint32(typ))
}
