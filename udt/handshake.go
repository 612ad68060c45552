package udt

import (
	"encoding/binary"
	"net/netip"
)

const (
	udtVersion = 4
	// sockStream is the socket type of a byte stream; 2 would be datagrams.
	sockStream = 1

	// Limits on what a peer may announce. Sequence arithmetic needs windows
	// far below 2^30; the smallest MSS is the C++ library's.
	minMSS    = 76
	maxMSS    = 65535
	minWindow = 32
	maxWindow = 1 << 26
)

// Request types of a handshake.
const (
	reqRendezvous  int32 = 0    // first step of a rendezvous
	reqInduction   int32 = 1    // client asks for a cookie, listener hands it out
	reqConclusion  int32 = -1   // request with cookie, acceptance, second step of a rendezvous
	reqAgreement   int32 = -2   // a connected rendezvous socket answers a repeated handshake
	reqRejected    int32 = 1002 // wrong version or type, or the backlog is full
	reqRejectFirst int32 = 1000 // this and everything above means "no"
)

// handshake is the body of a handshake packet.
type handshake struct {
	version  uint32
	sockType uint32
	isn      seqNo
	mss      uint32 // bytes, IP and UDP headers included
	window   uint32 // packets
	reqType  int32
	id       socketID // the sender's socket
	cookie   uint32
	addr     netip.Addr // the receiver of this packet, as its sender sees it
}

// parseHandshake decodes a handshake body. It checks only the length:
// what values are acceptable depends on who asks.
func parseHandshake(b []byte) (h handshake, ok bool) {
	if len(b) < handshakeSize {
		return handshake{}, false
	}
	w := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	h = handshake{
		version:  w(0),
		sockType: w(1),
		isn:      seqNo(w(2) & seqMask),
		mss:      w(3),
		window:   w(4),
		reqType:  int32(w(5)),
		id:       socketID(w(6)),
		cookie:   w(7),
	}
	// Each word of the address travels with its bytes reversed: the C++ library
	// swaps the words of an address that is in network order already.
	var a [16]byte
	for i := range 4 {
		binary.LittleEndian.PutUint32(a[4*i:], w(8+i))
	}
	if w(9)|w(10)|w(11) == 0 {
		h.addr = netip.AddrFrom4([4]byte(a[:4]))
	} else {
		h.addr = netip.AddrFrom16(a)
	}
	return h, true
}

// append appends the whole handshake packet, header included.
func (h handshake) append(b []byte, dst socketID) []byte {
	var ip [4]uint32
	switch a := h.addr.Unmap(); {
	case a.Is4():
		a4 := a.As4()
		ip[0] = binary.LittleEndian.Uint32(a4[:])
	case a.Is6():
		a16 := a.As16()
		for i := range ip {
			ip[i] = binary.LittleEndian.Uint32(a16[4*i:])
		}
	}
	return appendControl(b, ctrlHandshake, 0, dst,
		h.version, h.sockType, uint32(h.isn), h.mss, h.window,
		uint32(h.reqType), uint32(h.id), h.cookie, ip[0], ip[1], ip[2], ip[3])
}

// plausible reports whether the numbers of h may be used for a connection.
func (h handshake) plausible() bool {
	return h.mss >= minMSS && h.mss <= maxMSS &&
		h.window >= 1 && h.window <= maxWindow &&
		h.id > 0 && h.id <= seqMask
}
