//go:build !linux

package lossyrelay

import "net"

// growBuffers asks for large kernel buffers; the system may grant less.
func growBuffers(c *net.UDPConn) {
	c.SetReadBuffer(socketBuffer)
	c.SetWriteBuffer(socketBuffer)
}
