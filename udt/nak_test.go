package udt

import (
	"encoding/binary"
	"slices"
	"testing"
)

func lossWords(words ...uint32) []byte {
	var p []byte
	for _, w := range words {
		p = binary.BigEndian.AppendUint32(p, w)
	}
	return p
}

func TestLossReport(t *testing.T) {
	const open = controlBit // starts a range
	for _, tt := range []struct {
		name    string
		payload []byte
		want    []seqRange
	}{
		{"empty", nil, nil},
		{"one packet", lossWords(1002), []seqRange{{1002, 1003}}},
		{"range", lossWords(1002|open, 1004), []seqRange{{1002, 1005}}},
		{"range of one", lossWords(7|open, 7), []seqRange{{7, 8}}},
		{"several", lossWords(1, 3|open, 5, 9), []seqRange{{1, 2}, {3, 6}, {9, 10}}},
		{"over the wrap", lossWords(seqMask|open, 1), []seqRange{{seqMask, 2}}},
		{"last number", lossWords(seqMask), []seqRange{{seqMask, 0}}},
		{"up to the last number", lossWords((seqMask-1)|open, seqMask), []seqRange{{seqMask - 1, 0}}},
		{"ends before it starts", lossWords(1, 5|open, 4, 9), []seqRange{{1, 2}}},
		{"longer than numbers can be compared", lossWords(5|open, 5+1<<30-1), nil},
		{"dangling", lossWords(1, 5|open), []seqRange{{1, 2}}},
		{"ended by a start", lossWords(5|open, 6|open, 7), nil},
		{"odd bytes", append(lossWords(5), 1, 2, 3), []seqRange{{5, 6}}},
		{"range cut in its second word", append(lossWords(5|open), 0, 0, 0), nil},
	} {
		if got := slices.Collect(lossReport(tt.payload)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	for range lossReport(lossWords(1, 2, 3)) {
		break // leaving early is allowed
	}
}

func TestAppendLoss(t *testing.T) {
	var words []uint32
	for _, r := range []seqRange{{5, 6}, {8, 10}, {seqMask - 1, 1}, {seqMask, 0}} {
		words = appendLoss(words, r)
	}
	want := []uint32{5, 8 | controlBit, 9, (seqMask - 1) | controlBit, 0, seqMask}
	if !slices.Equal(words, want) {
		t.Errorf("%x, want %x", words, want)
	}
}

func FuzzLossReport(f *testing.F) {
	f.Add(lossWords(1002))
	f.Add(lossWords(1002|controlBit, 1004))
	f.Add(lossWords(seqMask|controlBit, 1, 5))
	f.Add(lossWords(5|controlBit, 4))
	f.Add(lossWords(5 | controlBit))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, p []byte) {
		ranges := slices.Collect(lossReport(p))
		if len(ranges) > len(p)/4 {
			t.Fatalf("%d ranges from %d bytes", len(ranges), len(p))
		}
		var words []uint32
		for _, r := range ranges {
			if r.len() <= 0 || r.start > seqMask || r.end > seqMask {
				t.Fatalf("range %v", r)
			}
			words = appendLoss(words, r)
		}
		if again := slices.Collect(lossReport(lossWords(words...))); !slices.Equal(again, ranges) {
			t.Errorf("%v became %v", ranges, again)
		}
	})
}

// BenchmarkLossReport reads a report of the size that fills a packet, in which
// every second loss is a range.
func BenchmarkLossReport(b *testing.B) {
	var words []uint32
	for s := seqNo(0); len(words)+3 <= 1456/4; s = s.add(10) {
		words = appendLoss(words, seqRange{s, s.add(1)})
		words = appendLoss(words, seqRange{s.add(4), s.add(7)})
	}
	p := lossWords(words...)
	want := len(words) / 3 * 2
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range lossReport(p) {
			n++
		}
		if n != want {
			b.Fatalf("%d ranges, want %d", n, want)
		}
	}
}
