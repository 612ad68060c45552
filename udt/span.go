package udt

import "slices"

// span is the half-open range [from, to) of packets of one connection,
// numbered from 0.
type span struct{ from, to int64 }

// spans is a set of packets: ascending, disjoint, non-empty spans.
type spans []span

// cutBefore removes everything before packet i.
func (s spans) cutBefore(i int64) spans {
	n := 0
	for n < len(s) && s[n].to <= i {
		n++
	}
	s = slices.Delete(s, 0, n)
	if len(s) > 0 {
		s[0].from = max(s[0].from, i)
	}
	return s
}

// split divides s by m: it appends to in what both contain and calls out for
// each span that only s contains.
func (s spans) split(m spans, in spans, out func(span)) spans {
	k := 0
	for _, u := range s {
		for k < len(m) && m[k].to <= u.from {
			k++
		}
		at := u.from
		for j := k; j < len(m) && m[j].from < u.to; j++ {
			common := span{max(m[j].from, u.from), min(m[j].to, u.to)}
			if at < common.from {
				out(span{at, common.from})
			}
			in = append(in, common)
			at = common.to
		}
		if at < u.to {
			out(span{at, u.to})
		}
	}
	return in
}
