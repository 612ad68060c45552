package udt

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// enableErrorQueue has the kernel keep the ICMP errors that packets of this
// socket meet. One socket serves many peers, so the plain error of the next
// call would not say whose it is.
func enableErrorQueue(udp *net.UDPConn) error {
	return control(udp, func(fd int) error {
		v4 := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		v6 := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
		if v4 == nil || v6 == nil {
			return nil // each fails on a socket of the other family
		}
		return errors.Join(v4, v6)
	})
}

// maxQueuedErrors bounds one visit of the error queue.
const maxQueuedErrors = 64

// refusedPorts empties the error queue and returns the destinations whose port
// was refused. Other errors end nothing and are dropped.
func refusedPorts(udp syscall.Conn) (refused []netip.AddrPort) {
	_ = control(udp, func(fd int) error {
		var data [1]byte
		var oob [512]byte
		for range maxQueuedErrors {
			_, oobn, _, to, err := unix.Recvmsg(fd, data[:], oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return nil
			}
			if !portRefused(oob[:oobn]) {
				continue
			}
			if remote := fromSockaddr(to); remote.IsValid() {
				refused = append(refused, remote)
			}
		}
		return nil
	})
	return refused
}

// portRefused reports whether the control messages carry ECONNREFUSED, which
// the kernel makes of ICMP's port unreachable.
func portRefused(oob []byte) bool {
	for len(oob) > 0 {
		hdr, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return false
		}
		isError := hdr.Level == unix.IPPROTO_IP && hdr.Type == unix.IP_RECVERR ||
			hdr.Level == unix.IPPROTO_IPV6 && hdr.Type == unix.IPV6_RECVERR
		if isError && len(data) >= int(unsafe.Sizeof(unix.SockExtendedErr{})) {
			ee := (*unix.SockExtendedErr)(unsafe.Pointer(&data[0]))
			if unix.Errno(ee.Errno) == unix.ECONNREFUSED {
				return true
			}
		}
		oob = rest
	}
	return false
}
