package udt

import (
	"encoding/binary"
	"iter"
)

// A NAK carries a compressed loss list: a word with bit 31 clear is one lost
// number; a word with bit 31 set starts a closed range that the next word,
// with bit 31 clear, ends.

// seqRange is the half-open range [start, end) of sequence numbers.
type seqRange struct{ start, end seqNo }

func (r seqRange) len() int { return r.end.sub(r.start) }

// appendLoss appends the entry of r, one or two words.
func appendLoss(words []uint32, r seqRange) []uint32 {
	last := uint32(r.end.add(-1))
	if r.len() == 1 {
		return append(words, last)
	}
	return append(words, uint32(r.start)|controlBit, last)
}

// lossReport iterates over the ranges of a NAK payload. It stops at the first
// malformed entry: a range that does not end or ends before it starts.
func lossReport(p []byte) iter.Seq[seqRange] {
	return func(yield func(seqRange) bool) {
		for len(p) >= 4 {
			w := binary.BigEndian.Uint32(p)
			p = p[4:]
			r := seqRange{start: seqNo(w & seqMask)}
			r.end = r.start.add(1)
			if w&controlBit != 0 {
				if len(p) < 4 {
					return
				}
				last := binary.BigEndian.Uint32(p)
				p = p[4:]
				r.end = seqNo(last & seqMask).add(1)
				if last&controlBit != 0 || r.len() <= 0 {
					return
				}
			}
			if !yield(r) {
				return
			}
		}
	}
}
