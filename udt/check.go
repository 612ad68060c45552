package udt

import (
	"encoding/binary"
	"hash/crc32"
)

// The timestamp of a packet is read by nobody: the C++ library sends 0 in
// control packets and ignores the field everywhere. We put a check value of
// the header there. UDP's checksum is 16 bits wide and optional over IPv4, and
// a flipped bit in a sequence number or an ACK would put data in the wrong
// place or free data that never arrived.
//
// The value is the CRC-32C of all words of the header but the timestamp, and
// for control packets of the payload as well. Who sends one control packet with
// a valid value, the handshake for a start, puts one into every packet; from
// then on packets without one are dropped. Other peers are taken as they are.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkOf returns the check value of a packet, never 0.
func checkOf(p []byte) uint32 {
	covered := p[12:headerSize]
	if p[0]&0x80 != 0 {
		covered = p[12:]
	}
	sum := crc32.Update(crc32.Update(0, castagnoli, p[:8]), castagnoli, covered)
	return max(sum, 1)
}

// putCheck completes a packet.
func putCheck(p []byte) { binary.BigEndian.PutUint32(p[8:], checkOf(p)) }

// checked reports whether p carries a valid check value.
func checked(p []byte) bool { return binary.BigEndian.Uint32(p[8:]) == checkOf(p) }
