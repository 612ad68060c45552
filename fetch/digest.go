package fetch

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strings"
)

// A Digest is the digest of a whole file. The zero Digest is none.
type Digest struct {
	Algorithm string // sha-256 or sha-512, as RFC 9530 and RFC 5854 write them
	Sum       []byte
}

// digestAlgorithms are those that are known, the preferred one first: where a
// processor has instructions for one of them, it is SHA-256.
var digestAlgorithms = []struct {
	name string
	size int // bytes
	make func() hash.Hash
}{
	{"sha-256", sha256.Size, sha256.New},
	{"sha-512", sha512.Size, sha512.New},
}

// wantReprDigest is the value of Want-Repr-Digest (RFC 9530, section 4).
const wantReprDigest = "sha-256=10, sha-512=3"

// NewDigest returns a Digest after checking that its length fits a known
// algorithm.
func NewDigest(algorithm string, sum []byte) (Digest, error) {
	for _, a := range digestAlgorithms {
		switch {
		case a.name != algorithm:
		case len(sum) != a.size:
			return Digest{}, fmt.Errorf("%s has %d bytes, not %d", algorithm, a.size, len(sum))
		default:
			return Digest{algorithm, sum}, nil
		}
	}
	return Digest{}, fmt.Errorf("unknown digest algorithm %q", algorithm)
}

// ParseDigest reads ALGORITHM:HEX, with sha256, sha-256, sha512 or sha-512 in
// any case.
func ParseDigest(s string) (Digest, error) {
	algorithm, digits, ok := strings.Cut(s, ":")
	if !ok {
		return Digest{}, fmt.Errorf("%q is not of the form sha256:HEX", s)
	}
	algorithm = strings.ToLower(algorithm)
	if rest, ok := strings.CutPrefix(algorithm, "sha"); ok && !strings.HasPrefix(rest, "-") {
		algorithm = "sha-" + rest
	}
	sum, err := hex.DecodeString(digits)
	if err != nil {
		return Digest{}, fmt.Errorf("%q has no hexadecimal digits after the colon", s)
	}
	return NewDigest(algorithm, sum)
}

// IsZero reports whether d is none.
func (d Digest) IsZero() bool { return d.Algorithm == "" }

// String formats d as ParseDigest reads it.
func (d Digest) String() string { return d.Algorithm + ":" + hex.EncodeToString(d.Sum) }

// Equal reports whether both are the same.
func (d Digest) Equal(e Digest) bool {
	return d.Algorithm == e.Algorithm && bytes.Equal(d.Sum, e.Sum)
}

// newHash returns the hash of d's algorithm, which is known.
func (d Digest) newHash() hash.Hash {
	for _, a := range digestAlgorithms {
		if a.name == d.Algorithm {
			return a.make()
		}
	}
	panic("BUG: digest of " + d.Algorithm)
}

// reprDigest returns the digest of the whole file that Repr-Digest (RFC 9530)
// announces, the preferred one if there are several. The field is a dictionary
// of byte sequences (RFC 9651): sha-256=:BASE64:. Without it the older Digest
// counts (RFC 3230 and RFC 5843), which servers with mirrors send (RFC 6249):
// SHA-256=BASE64.
func reprDigest(h http.Header) Digest {
	for _, a := range digestAlgorithms {
		for _, v := range h.Values("Repr-Digest") {
			for m := range strings.SplitSeq(v, ",") {
				key, value, _ := strings.Cut(strings.TrimSpace(m), "=")
				value, _, _ = strings.Cut(value, ";")
				if key != a.name || len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
					continue
				}
				if sum, err := base64.StdEncoding.DecodeString(value[1 : len(value)-1]); err == nil && len(sum) == a.size {
					return Digest{a.name, sum}
				}
			}
		}
	}
	for _, a := range digestAlgorithms {
		for _, v := range h.Values("Digest") {
			for m := range strings.SplitSeq(v, ",") {
				name, value, _ := strings.Cut(strings.TrimSpace(m), "=")
				if !strings.EqualFold(name, a.name) {
					continue
				}
				if sum, err := base64.StdEncoding.DecodeString(value); err == nil && len(sum) == a.size {
					return Digest{a.name, sum}
				}
			}
		}
	}
	return Digest{}
}
