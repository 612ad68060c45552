package udt

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// A packetConn carries datagrams. *net.UDPConn is one; tests have others.
type packetConn interface {
	ReadFromUDPAddrPort(b []byte) (n int, addr netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
	LocalAddr() net.Addr
	Close() error
}

// A kernelSocket is what is done to a socket of the kernel beside moving datagrams.
type kernelSocket interface {
	syscall.Conn
	Close() error
}

// route is where the packets of a connection go, and which local address they
// come from: a peer drops what does not come from the address that it dialled.
type route struct {
	remote netip.AddrPort
	local  netip.Addr // invalid unless the socket is bound to a wildcard address
	oob    []byte     // the control message that says so to the kernel
	// path is what sending to remote needs and has taught, nil where packets
	// are not sent in runs. It belongs to whoever sends on the route.
	path *path
}

// datagramIO moves datagrams between a socket and the kernel.
type datagramIO interface {
	// recv waits for datagrams, reads them into in's slab and appends them to
	// dst as runs. The runs are valid until the next call, and beyond it for
	// whoever holds a reference to their slab. One goroutine may call it.
	recv(in *slabReader, dst []inbound) ([]inbound, error)
	// send sends packets, of which none is empty, to r. It returns the first
	// error, having tried all.
	send(packets [][]byte, r route) error
}

// socket is the UDP socket of an endpoint. One goroutine reads, any may write.
type socket struct {
	datagramIO
	conn  packetConn
	local netip.AddrPort
	// kernel is the socket if that is one of the kernel's, else nil.
	kernel kernelSocket
	// prompt: many datagrams are read at a time, and sending waits for the kernel at
	// most, not for a peer that waits for us. So who reads may run connections, too.
	prompt bool
	// packetInfo: the kernel reports for each datagram which local address it
	// came to. Wanted on sockets that are bound to a wildcard address.
	packetInfo bool
	// probe sends a packet that nobody may fragment, nil where that cannot be.
	probe probeSender
	// batches is the datagramIO if that is the kernel's batched one, else nil.
	batches *batchIO
}

func newSocket(pc net.PacketConn, cfg *Config) (*socket, error) {
	conn, ok := pc.(packetConn)
	if !ok {
		conn = &addrPortConn{pc}
	}
	local, err := addrPortOf(pc.LocalAddr())
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, local: local}
	udp, ok := pc.(*net.UDPConn)
	if !ok {
		s.datagramIO = &singleIO{conn: conn}
		return s, nil
	}
	if udp.RemoteAddr() != nil {
		conn = connectedConn{udp}
		s.conn = conn
	}
	most, err := setBuffers(udp, cfg)
	if err != nil {
		return nil, fmt.Errorf("size the buffers of the UDP socket: %w", err)
	}
	if err := enableErrorQueue(udp); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		cfg.logger().Warn("peers that are gone will be noticed by their silence only", "err", err)
	}
	if local.Addr().IsUnspecified() {
		switch err := enablePacketInfo(udp); {
		case err == nil:
			s.packetInfo = true
		case !errors.Is(err, errors.ErrUnsupported):
			cfg.logger().Warn("answers may leave from another local address than was dialled", "err", err)
		}
	}
	if mode := cfg.offload(); mode != OffloadOff {
		switch s.batches, err = newBatchIO(udp, cfg, mode, most); {
		case err == nil:
			s.datagramIO, s.kernel, s.prompt = s.batches, s.batches.taken(), true
			s.probe = s.batches.probeSender()
			return s, nil
		case !errors.Is(err, errors.ErrUnsupported):
			cfg.logger().Warn("every UDP datagram costs a system call", "err", err)
		}
	}
	s.kernel, s.probe = udp, newProbeSender(udp, nil)
	single := &singleIO{conn: conn}
	if s.packetInfo {
		single.udp, single.oob = udp, make([]byte, packetInfoSpace)
	}
	s.datagramIO = single
	return s, nil
}

// close closes the socket, and ends a recv that waits.
func (s *socket) close() error {
	if s.kernel != nil {
		return s.kernel.Close()
	}
	return s.conn.Close()
}

// empty reports whether the latest recv took all that there was.
func (s *socket) empty() bool { return s.batches != nil && s.batches.empty() }

// more reports whether the latest recv is known to have left something.
func (s *socket) more() bool { return s.batches != nil && !s.batches.empty() }

// crowded reports whether the reader had better do nothing but read: half of the
// kernel's buffer is taken.
func (s *socket) crowded() bool { return s.batches != nil && s.batches.crowded() }

// setBuffers asks for the configured socket buffers. That the kernel grants
// less is not an error. Without a size in the configuration, larger ones stay as
// they are: who opened the socket may have been allowed more than we are. Where it
// is for us to say, it returns what the send buffer may have at most, else 0.
func setBuffers(udp *net.UDPConn, cfg *Config) (mostSend int, err error) {
	recv, send := cfg.udpRecvBuffer(), cfg.udpSendBuffer()
	hasRecv, hasSend := grantedBuffers(udp)
	if cfg.UDPRecvBuffer == 0 {
		recv = max(recv, hasRecv)
	}
	if cfg.UDPSendBuffer == 0 {
		if hasSend < send {
			mostSend = send
		}
		send = max(send, hasSend)
	}
	if recv != hasRecv {
		if err := udp.SetReadBuffer(recv); err != nil {
			return 0, err
		}
	}
	if send != hasSend {
		if err := udp.SetWriteBuffer(send); err != nil {
			return 0, err
		}
	}
	forceBuffers(udp, recv, send)
	return mostSend, nil
}

// route returns the way to remote from the given local address.
func (s *socket) route(remote netip.AddrPort, local netip.Addr) route {
	r := route{remote: remote}
	if s.packetInfo && local.IsValid() {
		r.local = local.Unmap()
		r.oob = packetInfo(local, s.local.Addr().Is6())
	}
	if s.batches != nil {
		r.path = s.batches.newPath(remote)
	}
	return r
}

// drainErrors calls refused for each destination whose host has answered by
// ICMP that the port is closed.
func (s *socket) drainErrors(refused func(remote netip.AddrPort)) {
	if s.kernel == nil {
		return
	}
	// The socket is in use inside refusedPorts, and whoever closes it waits.
	for _, remote := range refusedPorts(s.kernel) {
		refused(remote)
	}
}

// singleIO moves one datagram per call. It works everywhere.
type singleIO struct {
	conn packetConn
	// udp is set if local addresses are to be read from and told to the kernel.
	udp *net.UDPConn
	oob []byte // scratch of the read goroutine
}

func (s *singleIO) recv(in *slabReader, dst []inbound) ([]inbound, error) {
	var n, oobn int
	var from netip.AddrPort
	var err error
	buf := in.reserve(maxDatagram)
	if s.udp == nil {
		n, from, err = s.conn.ReadFromUDPAddrPort(buf)
	} else {
		n, oobn, _, from, err = s.udp.ReadMsgUDPAddrPort(buf, s.oob)
	}
	if err != nil {
		return dst, err
	}
	return append(dst, inbound{
		slab: in.slab, data: in.take(n), segment: max(n, 1), from: unmap(from), local: parsePacketInfo(s.oob[:oobn]),
	}), nil
}

func (s *singleIO) send(packets [][]byte, r route) error {
	var first error
	for _, p := range packets {
		var err error
		if s.udp != nil {
			_, _, err = s.udp.WriteMsgUDPAddrPort(p, r.oob, r.remote)
		} else {
			_, err = s.conn.WriteToUDPAddrPort(p, r.remote)
		}
		if err != nil && first == nil {
			first = err
		}
	}
	return first
}

func unmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func addrPortOf(a net.Addr) (netip.AddrPort, error) {
	switch a := a.(type) {
	case *net.UDPAddr:
		return unmap(a.AddrPort()), nil
	case *Addr:
		return unmap(a.ap), nil
	}
	return netip.AddrPort{}, fmt.Errorf("%T is not the address of a UDP socket", a)
}

// addrPortConn makes a packetConn of any net.PacketConn with UDP addresses.
type addrPortConn struct{ net.PacketConn }

func (c *addrPortConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := c.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	ap, err := addrPortOf(from)
	return n, ap, err
}

func (c *addrPortConn) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	return c.WriteTo(b, net.UDPAddrFromAddrPort(addr))
}

// connectedConn is a socket that has one peer, of which all packets come, and to which
// all go.
type connectedConn struct{ *net.UDPConn }

func (c connectedConn) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return c.Write(b) }
