package fetch

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"

	"github.com/chunkget/chunkget/internal/pin"
)

// refusals are the alerts with which a TLS peer says that it does not take our
// certificate, or wants one (RFC 8446, section 6.2). Others are about damage or
// about what the two ends have in common. The type of alerts is not exported.
var refusals = []string{
	"tls: bad certificate", "tls: unsupported certificate", "tls: revoked certificate", "tls: expired certificate",
	"tls: unknown certificate", "tls: unknown certificate authority", "tls: access denied", "tls: certificate required",
}

// untrusted reports whether one end of a TLS connection does not accept who the
// other one is, and what to do about it.
func untrusted(err error) (hint string, ok bool) {
	if _, ok := errors.AsType[*pin.MismatchError](err); ok {
		return "if its key was replaced on purpose, get the new URL from whoever runs it; if not, somebody may be in between", true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "use the URL with #pin=sha256:... that chunkserve printed, or name the authority of its certificate with --cacert FILE", true
	}
	for e := err; e != nil; {
		op, ok := errors.AsType[*net.OpError](e)
		if !ok {
			break
		}
		if op.Op == "remote error" && slices.Contains(refusals, op.Err.Error()) {
			return "the server wants a certificate that it knows: give it with --cert FILE --key FILE", true
		}
		e = op.Err
	}
	return "", false
}
