package udt

import "encoding/binary"

// A UDT packet is one UDP datagram: a header of four big-endian words and a
// payload.
//
//	word 0  data:    0 | sequence number (31)
//	        control: 1 | type (15) | extended type (16)
//	word 1  data:    boundary (2) | in order (1) | message number (29)
//	        control: additional information, by type
//	word 2  timestamp; here the check value of check.go
//	word 3  destination socket id

const (
	headerSize = 16
	// ipUDPHeader is what UDT counts for the IP and UDP headers inside the MSS,
	// for IPv6 as well.
	ipUDPHeader = 28
	// mssOverhead turns an MSS into the largest data payload.
	mssOverhead = ipUDPHeader + headerSize

	handshakeSize = 48

	controlBit = 1 << 31
	// messageSolo marks a data packet as the only packet of its message.
	messageSolo = 3 << 30
)

// A ctrlType is the type of a control packet.
type ctrlType uint16

const (
	ctrlNone ctrlType = 1 << 15 // of a data packet; the wire has 15 bits for a type

	ctrlHandshake ctrlType = 0
	ctrlKeepalive ctrlType = 1
	ctrlACK       ctrlType = 2
	ctrlNAK       ctrlType = 3
	ctrlCongested ctrlType = 4 // never sent by 4.11, without effect on receipt
	ctrlShutdown  ctrlType = 5
	ctrlACK2      ctrlType = 6
	ctrlDropReq   ctrlType = 7
	ctrlPeerError ctrlType = 8
	ctrlUser      ctrlType = 0x7FFF
)

// header is the decoded form of the four words. With a field more the compiler would
// keep it in memory, and who reads it there waits for the payload copied before.
type header struct {
	typ  ctrlType
	seq  seqNo  // data only
	info uint32 // word 1
	dst  socketID
}

func (h header) control() bool { return h.typ != ctrlNone }

func (h header) isHandshake() bool { return h.typ == ctrlHandshake }

// parseHeader decodes the header of a datagram; ok is false if b is too short
// to carry one.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < headerSize {
		return header{typ: ctrlNone}, false
	}
	w := binary.BigEndian.Uint32(b)
	if w&controlBit != 0 {
		h.typ = ctrlType(w >> 16 & 0x7FFF)
	} else {
		h.typ = ctrlNone
		h.seq = seqNo(w)
	}
	h.info = binary.BigEndian.Uint32(b[4:])
	h.dst = socketID(binary.BigEndian.Uint32(b[12:]))
	return h, true
}

// destination returns the socket id that a packet is for, 0 if it is too short
// to have one.
func destination(p []byte) socketID {
	if len(p) < headerSize {
		return 0
	}
	return socketID(binary.BigEndian.Uint32(p[12:]))
}

// putDataHeader writes the header of a data packet into p.
func putDataHeader(p []byte, seq seqNo, msg msgNo, dst socketID) {
	_ = p[:headerSize]
	binary.BigEndian.PutUint32(p, uint32(seq))
	binary.BigEndian.PutUint32(p[4:], messageSolo|uint32(msg))
	binary.BigEndian.PutUint32(p[12:], uint32(dst))
	putCheck(p)
}

// appendControl appends a control packet with a payload of whole words to b,
// which is empty. A packet without payload gets the pad word that the C++
// library sends.
func appendControl(b []byte, typ ctrlType, info uint32, dst socketID, words ...uint32) []byte {
	b = binary.BigEndian.AppendUint32(b, controlBit|uint32(typ)<<16)
	b = binary.BigEndian.AppendUint32(b, info)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(dst))
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	if len(words) == 0 {
		b = binary.BigEndian.AppendUint32(b, 0)
	}
	putCheck(b)
	return b
}

// appendUser appends a user-defined control packet with an extended type.
func appendUser(b []byte, ext uint16, info uint32, dst socketID, words ...uint32) []byte {
	b = appendControl(b, ctrlUser, info, dst, words...)
	binary.BigEndian.PutUint16(b[2:], ext)
	putCheck(b)
	return b
}

// extendedType returns the extended type of a control packet.
func extendedType(p []byte) uint16 { return binary.BigEndian.Uint16(p[2:]) }

// ackInfo is the payload of an ACK.
type ackInfo struct {
	seq   seqNo // everything before seq was received
	light bool  // nothing but seq follows

	rtt, rttVar uint32 // µs, the receiver's estimate
	window      uint32 // free receive buffer, packets
	speed       uint32 // packet arrival speed, packets/s, 0 = no estimate
	capacity    uint32 // link capacity, packets/s, 0 = no estimate
}

// parseACK decodes the payload of an ACK. Only the three lengths that exist
// are accepted: 4 (light), 16 (without rates) and 24 bytes.
func parseACK(p []byte) (a ackInfo, ok bool) {
	if len(p) != 4 && len(p) != 16 && len(p) != 24 {
		return ackInfo{}, false
	}
	s := binary.BigEndian.Uint32(p)
	if s > seqMask {
		return ackInfo{}, false
	}
	a.seq = seqNo(s)
	if len(p) == 4 {
		a.light = true
		return a, true
	}
	a.rtt = binary.BigEndian.Uint32(p[4:])
	a.rttVar = binary.BigEndian.Uint32(p[8:])
	a.window = binary.BigEndian.Uint32(p[12:])
	if len(p) == 24 {
		a.speed = positive(binary.BigEndian.Uint32(p[16:]))
		a.capacity = positive(binary.BigEndian.Uint32(p[20:]))
	}
	return a, true
}

// positive maps the negative estimates that the C++ library can produce to
// "no estimate".
func positive(v uint32) uint32 {
	if int32(v) < 0 {
		return 0
	}
	return v
}
