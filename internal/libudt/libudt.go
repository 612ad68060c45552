//go:build libudt

package libudt

// #cgo LDFLAGS: -ludt -lstdc++ -lpthread
// #include "shim.h"
import "C"

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// PollInterval is how often a blocked Read or Write looks at its deadline and
// at Close.
const PollInterval = 20 * time.Millisecond

// Error is an error of the library.
type Error struct {
	Op   string
	Code int // major*1000+minor, see the constants
	Text string
}

// Codes of the library that tests ask for.
const (
	CodeTimeout        = 1001 // no answer to the connection request
	CodeRejected       = 1002 // connection request rejected
	CodeSecurity       = 1004 // wrong initial sequence number in the answer
	CodeConnectionLost = 2001 // shut down by the peer, or the peer vanished
	CodeInvalidSocket  = 5004 // closed and cleaned up
	CodeCallTimeout    = 6003 // the time-out of a send or receive call
)

func (e *Error) Error() string { return fmt.Sprintf("libudt %s: %s (%d)", e.Op, e.Text, e.Code) }

// Timeout reports whether the peer did not answer in time.
func (e *Error) Timeout() bool { return e.Code == CodeTimeout || e.Code == CodeCallTimeout }

// Temporary is false; net.Error wants it.
func (e *Error) Temporary() bool { return false }

func errorOf(op string, e *C.peer_error) *Error {
	return &Error{Op: op, Code: int(e.code), Text: C.GoString(&e.text[0])}
}

// Config holds the options of a socket. A nil Config and zero fields stand for
// the library's defaults.
type Config struct {
	Local            string        // address to dial from; "" = any
	Backlog          int           // connections not yet accepted; 0 = 128
	MSS              int           // packet size in bytes with IPv4 and UDP headers; 0 = 1500
	FlowWindow       int           // packets in flight; 0 = 25600
	SendBuffer       int           // bytes; 0 = 8192 packets
	ReceiveBuffer    int           // bytes; 0 = 8192 packets
	UDPSendBuffer    int           // kernel buffer, bytes
	UDPReceiveBuffer int           // kernel buffer, bytes
	Linger           time.Duration // how long Close waits for unacknowledged data, in whole seconds; 0 = 180 s, negative = not at all
	MaxBandwidth     int64         // bytes per second; 0 = unlimited
}

// startup starts the library's threads, once per process.
var startup = sync.OnceValue(func() error {
	var e C.peer_error
	if C.peer_startup(&e) < 0 {
		return errorOf("startup", &e)
	}
	return nil
})

// Listen listens on a UDP address, such as "127.0.0.1:0".
func Listen(address string, cfg *Config) (*Listener, error) {
	s, err := open(address, cfg, false)
	if err != nil {
		return nil, err
	}
	backlog := 128
	if cfg != nil && cfg.Backlog > 0 {
		backlog = cfg.Backlog
	}
	var e C.peer_error
	if C.peer_listen(s, C.int(backlog), &e) < 0 {
		err := errorOf("listen", &e)
		C.peer_close(s, &e)
		return nil, err
	}
	local, _, err := names(s, false)
	if err != nil {
		C.peer_close(s, &e)
		return nil, err
	}
	return &Listener{socket: s, addr: local}, nil
}

// Dial connects to a listener. It fails after 3 s without an answer.
func Dial(address string, cfg *Config) (*Conn, error) {
	local := ""
	if cfg != nil {
		local = cfg.Local
	}
	return dial(local, address, cfg, false)
}

// Rendezvous connects to a peer that does the same at the same time, from a
// local address that the peer knows. It fails after 30 s.
func Rendezvous(local, remote string, cfg *Config) (*Conn, error) {
	return dial(local, remote, cfg, true)
}

func dial(local, remote string, cfg *Config, rendezvous bool) (*Conn, error) {
	to, err := resolve(remote)
	if err != nil {
		return nil, err
	}
	var s C.int
	if local != "" {
		s, err = open(local, cfg, rendezvous)
	} else {
		s, err = socket(to.Addr().Is6(), cfg, rendezvous)
	}
	if err != nil {
		return nil, err
	}
	addr := toC(to)
	var e C.peer_error
	if C.peer_connect(s, &addr, &e) < 0 {
		err := &net.OpError{Op: "dial", Net: "udt", Addr: net.UDPAddrFromAddrPort(to), Err: errorOf("connect", &e)}
		C.peer_close(s, &e)
		return nil, err
	}
	return newConn(s)
}

// open returns a socket bound to the address.
func open(address string, cfg *Config, rendezvous bool) (C.int, error) {
	at, err := resolve(address)
	if err != nil {
		return 0, err
	}
	s, err := socket(at.Addr().Is6(), cfg, rendezvous)
	if err != nil {
		return 0, err
	}
	addr := toC(at)
	var e C.peer_error
	if C.peer_bind(s, &addr, &e) < 0 {
		err := errorOf("bind", &e)
		C.peer_close(s, &e)
		return 0, err
	}
	return s, nil
}

func socket(v6 bool, cfg *Config, rendezvous bool) (C.int, error) {
	if err := startup(); err != nil {
		return 0, err
	}
	if cfg == nil {
		cfg = new(Config)
	}
	o := C.peer_options{
		mss:                C.int(cfg.MSS),
		flow_window:        C.int(cfg.FlowWindow),
		send_buffer:        C.int(cfg.SendBuffer),
		receive_buffer:     C.int(cfg.ReceiveBuffer),
		udp_send_buffer:    C.int(cfg.UDPSendBuffer),
		udp_receive_buffer: C.int(cfg.UDPReceiveBuffer),
		max_bandwidth:      C.int64_t(cfg.MaxBandwidth),
		poll_ms:            C.int(PollInterval.Milliseconds()),
	}
	if cfg.Linger < 0 {
		o.linger = -1
	} else if cfg.Linger > 0 {
		o.linger = C.int(max(1, cfg.Linger/time.Second))
	}
	if rendezvous {
		o.rendezvous = 1
	}
	var family C.int
	if v6 {
		family = 1
	}
	var e C.peer_error
	s := C.peer_socket(family, &o, &e)
	if s < 0 {
		return 0, errorOf("socket", &e)
	}
	return s, nil
}

func resolve(address string) (netip.AddrPort, error) {
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("libudt: %w", err)
	}
	if a.IP == nil {
		a.IP = net.IPv4zero
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

func toC(a netip.AddrPort) C.peer_addr {
	c := C.peer_addr{port: C.uint16_t(a.Port())}
	if a.Addr().Is6() {
		c.v6 = 1
	}
	for i, b := range a.Addr().AsSlice() {
		c.ip[i] = C.uchar(b)
	}
	return c
}

func fromC(c *C.peer_addr) *net.UDPAddr {
	n := 4
	if c.v6 != 0 {
		n = 16
	}
	ip := make([]byte, n)
	for i := range ip {
		ip[i] = byte(c.ip[i])
	}
	return &net.UDPAddr{IP: ip, Port: int(c.port)}
}

// names returns the addresses of a socket.
func names(s C.int, connected bool) (local, remote *net.UDPAddr, err error) {
	var l, r C.peer_addr
	var e C.peer_error
	rp := &r
	if !connected {
		rp = nil
	}
	if C.peer_names(s, &l, rp, &e) < 0 {
		return nil, nil, errorOf("getsockname", &e)
	}
	return fromC(&l), fromC(&r), nil
}
