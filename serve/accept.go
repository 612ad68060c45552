package serve

import (
	"net/http"
	"strings"
)

// Content codings (RFC 9110, 8.4.1) that bodies can be sent in.
const (
	codingZstd = "zstd"
	codingGzip = "gzip"
)

// accepted holds how much a client wants each coding, in thousandths; 0 refuses it.
type accepted struct{ zstd, gzip, identity int }

// byDefault is the weight of identity where the client does not name it: it may
// be sent, and anything that was asked for goes before it.
const byDefault = 1

// acceptedCodings reads Accept-Encoding (RFC 9110, 12.5.3). Without the field
// any coding may be sent, but only identity is sure to be understood.
//
// A member whose weight is malformed counts as refused if it names a coding of
// ours, and says nothing otherwise.
func acceptedCodings(h http.Header) accepted {
	const unnamed = -1
	values, ok := h["Accept-Encoding"]
	if !ok {
		return accepted{identity: byDefault}
	}
	a := accepted{zstd: unnamed, gzip: unnamed, identity: unnamed}
	others := unnamed
	for _, v := range values {
		for member := range strings.SplitSeq(v, ",") {
			name, params, weighted := strings.Cut(member, ";")
			weight, ok := 1000, true
			if weighted {
				weight, ok = parseWeight(params)
			}
			switch strings.ToLower(strings.Trim(name, " \t")) {
			case codingZstd:
				a.zstd = weight
			case codingGzip, "x-gzip":
				a.gzip = weight
			case "identity":
				if ok {
					a.identity = weight
				}
			case "*":
				if ok {
					others = weight
				}
			}
		}
	}
	for _, w := range []*int{&a.zstd, &a.gzip, &a.identity} {
		if *w == unnamed {
			*w = others
		}
	}
	if a.identity == unnamed {
		a.identity = byDefault
	}
	a.zstd, a.gzip = max(a.zstd, 0), max(a.gzip, 0)
	return a
}

// weightOf returns the weight of one of our codings.
func (a accepted) weightOf(coding string) int {
	if coding == codingZstd {
		return a.zstd
	}
	return a.gzip
}

// parseWeight reads the weight that follows a coding and its semicolon, in
// thousandths (RFC 9110, 12.4.2):
//
//	weight = OWS ";" OWS "q=" qvalue
//	qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )
//
// It returns 0 and false for anything else.
func parseWeight(s string) (thousandths int, ok bool) {
	s = strings.Trim(s, " \t")
	if len(s) < 3 || len(s) > 7 || s[0]|0x20 != 'q' || s[1] != '=' || s[2] != '0' && s[2] != '1' {
		return 0, false
	}
	thousandths = 1000 * int(s[2]-'0')
	if s = s[3:]; s == "" {
		return thousandths, true
	}
	if s[0] != '.' {
		return 0, false
	}
	unit := 100
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		thousandths += unit * int(c-'0')
		unit /= 10
	}
	if thousandths > 1000 {
		return 0, false
	}
	return thousandths, true
}
