package udt

import (
	"encoding/binary"
	"math"
	"time"
)

// A feedback packet is what receivers of our kind send instead of ACKs and
// loss reports once both sides have agreed on it. The package comment
// specifies it.
const feedbackType = 0x4642

const (
	feedbackWords = 10
	// maxReported bounds the ranges of one feedback packet, whatever its size.
	maxReported = 512
)

// feedback is a decoded report.
type feedback struct {
	next       seqNo
	window     uint32 // packets
	echo       seqNo
	arrived    uint32 // µs on the receiver's clock
	delay      time.Duration
	received   uint32
	duplicates uint32
	end        seqNo
	speed      uint32 // packets/s
	capacity   uint32 // packets/s
	missing    spans  // as distances from next
}

// appendTo appends the words of f but for the missing ranges, which follow.
func (f *feedback) appendTo(words []uint32) []uint32 {
	return append(words, uint32(f.next), f.window, uint32(f.echo), f.arrived,
		uint32(min(f.delay.Microseconds(), math.MaxUint32)), f.received, f.duplicates, uint32(f.end), f.speed, f.capacity)
}

// parse decodes a payload. The spans of f are used again.
func (f *feedback) parse(p []byte) (ok bool) {
	if len(p) < 4*feedbackWords || len(p)%8 != 0 || len(p) > 4*feedbackWords+8*maxReported {
		return false
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(p[4*i:]) }
	*f = feedback{
		next: seqNo(word(0)), window: word(1), echo: seqNo(word(2)), arrived: word(3),
		delay: time.Duration(word(4)) * time.Microsecond, received: word(5), duplicates: word(6),
		end: seqNo(word(7)), speed: positive(word(8)), capacity: positive(word(9)), missing: f.missing[:0],
	}
	end := int64(f.end.sub(f.next))
	if max(f.next, f.echo, f.end) > seqMask || end < 0 {
		return false
	}
	at := int64(0)
	for i := feedbackWords; 4*i < len(p); i += 2 {
		first, last := seqNo(word(i)), seqNo(word(i+1))
		if max(first, last) > seqMask {
			return false
		}
		s := span{int64(first.sub(f.next)), int64(last.sub(f.next)) + 1}
		if s.from < at || s.to <= s.from || s.to > end {
			return false
		}
		f.missing = append(f.missing, s)
		at = s.to
	}
	return true
}
