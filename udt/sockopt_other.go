//go:build !linux

package udt

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

const packetInfoSpace = 0

func enablePacketInfo(*net.UDPConn) error           { return errors.ErrUnsupported }
func forceBuffers(udp *net.UDPConn, recv, send int) {}
func grantedBuffers(syscall.Conn) (recv, send int)  { return 0, 0 }
func parsePacketInfo([]byte) netip.Addr             { return netip.Addr{} }
func packetInfo(netip.Addr, bool) []byte            { return nil }

func enableErrorQueue(*net.UDPConn) error { return errors.ErrUnsupported }

func refusedPorts(syscall.Conn) []netip.AddrPort { return nil }
