// Package pin names a server's public key, so that a client can know it again
// without anybody who vouches for it: SHA-256 over the SubjectPublicKeyInfo of the
// certificate (RFC 7469, section 2.4). A pin outlives certificates that are
// renewed with the same key.
package pin

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// A Pin is the digest of a public key.
type Pin [sha256.Size]byte

const (
	key       = "pin"
	algorithm = "sha256"
)

// Of returns the pin of the key in a certificate.
func Of(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// String returns sha256: and the digest in base64url without padding.
func (p Pin) String() string {
	return algorithm + ":" + base64.RawURLEncoding.EncodeToString(p[:])
}

// Fragment returns what is to be put behind the # of a URL.
func (p Pin) Fragment() string { return key + "=" + p.String() }

// ParseFragment reads the pin in the fragment of a URL, decoded. ok is false if
// the fragment is about something else. Errors repeat nothing of it.
func ParseFragment(fragment string) (p Pin, ok bool, err error) {
	for part := range strings.SplitSeq(fragment, "&") {
		value, is := strings.CutPrefix(part, key+"=")
		switch {
		case !is:
			continue
		case ok:
			return Pin{}, false, errors.New("more than one pin")
		}
		if p, err = Parse(value); err != nil {
			return Pin{}, false, err
		}
		ok = true
	}
	return p, ok, nil
}

// Parse reads what String writes. Padding at the end is accepted.
func Parse(s string) (p Pin, err error) {
	name, digest, ok := strings.Cut(s, ":")
	if !ok || name != algorithm {
		return Pin{}, errors.New("a pin begins with the word sha256 and a colon")
	}
	digest = strings.TrimSuffix(digest, "=")
	// The decoder of the standard library skips line breaks.
	b, err := base64.RawURLEncoding.Strict().DecodeString(digest)
	if err != nil || len(b) != len(p) || strings.ContainsAny(digest, "\r\n") {
		return Pin{}, fmt.Errorf("a pin has %d characters of base64url after the colon", base64.RawURLEncoding.EncodedLen(len(p)))
	}
	return Pin(b), nil
}

// A MismatchError is a server with another key than the pinned one.
type MismatchError struct{ Got Pin }

func (e *MismatchError) Error() string { return "the server's key is not the pinned one" }

// Config returns base for a server whose key must be the pinned one. The pin
// takes the place of the chain of certificates, the host name and the dates. It is
// checked for resumed sessions as well.
func (p Pin) Config(base *tls.Config) *tls.Config {
	cfg := base.Clone()
	cfg.InsecureSkipVerify = true // VerifyConnection is called all the same
	cfg.VerifyConnection = p.verify
	return cfg
}

func (p Pin) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server has shown no certificate")
	}
	if got := Of(s.PeerCertificates[0]); subtle.ConstantTimeCompare(got[:], p[:]) != 1 {
		return &MismatchError{got}
	}
	return nil
}
