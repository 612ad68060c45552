package udt

import (
	"encoding/binary"
	"reflect"
	"slices"
	"testing"
	"time"
)

// payloadOf returns the payload of a report.
func payloadOf(f feedback) []byte {
	words := f.appendTo(nil)
	for _, s := range f.missing {
		words = append(words, uint32(f.next.add(int(s.from))), uint32(f.next.add(int(s.to)-1)))
	}
	var p []byte
	for _, w := range words {
		p = binary.BigEndian.AppendUint32(p, w)
	}
	return p
}

func TestFeedbackRoundTrip(t *testing.T) {
	for _, f := range []feedback{
		{next: 1, end: 1},
		{
			next: 1000, window: 8192, echo: 1234, arrived: 1 << 31, delay: 1500 * time.Microsecond,
			received: 77, duplicates: 3, end: 1300, speed: 25_000, capacity: 80_000,
			missing: spans{{0, 1}, {5, 8}, {299, 300}},
		},
		{next: seqMask - 2, echo: 5, end: 10, missing: spans{{1, 4}, {6, 7}}}, // across the wrap
	} {
		var got feedback
		if !got.parse(payloadOf(f)) || !reflect.DeepEqual(got, f) {
			t.Errorf("got %+v, want %+v", got, f)
		}
	}
}

func TestFeedbackMalformed(t *testing.T) {
	good := feedback{next: 100, echo: 150, end: 200, missing: spans{{10, 20}, {30, 40}}}
	word := func(i int, v uint32) []byte {
		p := payloadOf(good)
		binary.BigEndian.PutUint32(p[4*i:], v)
		return p
	}
	for name, p := range map[string][]byte{
		"empty":                 nil,
		"short":                 payloadOf(good)[:4*feedbackWords-8],
		"half a range":          payloadOf(good)[:4*feedbackWords+4],
		"no sequence number":    word(0, 1<<31),
		"echo too large":        word(2, 1<<31),
		"ends before it begins": word(7, 99),
		"range before the rest": word(10, 99),
		"range backwards":       word(11, 105),
		"ranges overlap":        word(12, 119),
		"range beyond the end":  word(13, 200),
		"range of no number":    word(13, 1<<31|139),
		"too many ranges":       make([]byte, 4*feedbackWords+8*(maxReported+1)),
	} {
		if f := (feedback{}); f.parse(p) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzFeedback(f *testing.F) {
	f.Add(payloadOf(feedback{next: 100, echo: 150, end: 200, missing: spans{{10, 20}, {30, 40}}}))
	f.Add(payloadOf(feedback{next: seqMask, end: 3, missing: spans{{0, 1}}}))
	f.Fuzz(func(t *testing.T, p []byte) {
		var r feedback
		if !r.parse(p) {
			return
		}
		end := int64(r.end.sub(r.next))
		at := int64(0)
		for _, s := range r.missing {
			if s.from < at || s.to <= s.from || s.to > end {
				t.Fatalf("spans %v of a report up to %d", r.missing, end)
			}
			at = s.to
		}
		if again := (feedback{}); !again.parse(payloadOf(r)) || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v", r, again)
		}
	})
}

// split agrees with sets of single packets.
func TestSpansSplit(t *testing.T) {
	set := func(s spans) map[int64]bool {
		m := make(map[int64]bool)
		for _, x := range s {
			for i := x.from; i < x.to; i++ {
				m[i] = true
			}
		}
		return m
	}
	// Every set of packets 0..7 as spans.
	all := make([]spans, 256)
	for bits := range all {
		for i := int64(0); i < 8; i++ {
			if bits>>i&1 == 0 {
				continue
			}
			if n := len(all[bits]); n > 0 && all[bits][n-1].to == i {
				all[bits][n-1].to++
			} else {
				all[bits] = append(all[bits], span{i, i + 1})
			}
		}
	}
	for a := range all {
		for b := range all {
			var out spans
			in := all[a].split(all[b], nil, func(s span) { out = append(out, s) })
			both, only := set(in), set(out)
			for i := int64(0); i < 8; i++ {
				inA, inB := a>>i&1 == 1, b>>i&1 == 1
				if both[i] != (inA && inB) || only[i] != (inA && !inB) {
					t.Fatalf("%v split by %v: both %v, only %v", all[a], all[b], in, out)
				}
			}
			if !slices.IsSortedFunc(in, func(x, y span) int { return int(x.from - y.from) }) {
				t.Fatalf("%v is not ascending", in)
			}
		}
		for i := int64(-1); i < 10; i++ {
			cut := set(slices.Clone(all[a]).cutBefore(i))
			for k := int64(0); k < 8; k++ {
				if cut[k] != (a>>k&1 == 1 && k >= i) {
					t.Fatalf("%v cut before %d: %v", all[a], i, cut)
				}
			}
		}
	}
}
