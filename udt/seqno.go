package udt

// Sequence numbers are 31 bits wide and wrap from 2^31-1 to 0. All arithmetic
// on them goes through seqNo so that the wrap is handled in one place.
// Comparisons hold while the two numbers are less than 2^30 apart, which the
// limits on windows guarantee.

const seqMask = 1<<31 - 1

// A seqNo is the sequence number of a data packet, 0..2^31-1.
type seqNo uint32

// add returns the number n packets after s; n may be negative.
func (s seqNo) add(n int) seqNo { return seqNo(uint32(int64(s)+int64(n)) & seqMask) }

// sub returns the signed distance from t to s in packets.
func (s seqNo) sub(t seqNo) int { return int(int32(uint32(s-t)<<1) >> 1) }

// less reports whether s comes before t.
func (s seqNo) less(t seqNo) bool { return s.sub(t) < 0 }

// An ackNo numbers the full ACKs of one receiver, 1..2^31-1, wrapping to 0.
type ackNo uint32

func (a ackNo) next() ackNo { return (a + 1) & seqMask }

// newer reports whether a was issued after b.
func (a ackNo) newer(b ackNo) bool { return int32(uint32(a-b)<<1) > 0 }

// A socketID names a connection at one endpoint, 1..2^31-1. Zero addresses the
// endpoint itself and appears only in connection requests.
type socketID uint32

// maxSocketID is the largest id that we choose ourselves, as the C++ library does.
const maxSocketID = 1 << 30

// A msgNo is the 29-bit message number of a data packet. Stream receivers
// ignore it; 0 and 0x1FFFFFFF are never used.
type msgNo uint32

func (m msgNo) next() msgNo {
	if m++; m >= 0x1FFFFFFF {
		return 1
	}
	return m
}
