package udt

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Users tell timeouts from other errors by net.Error.
func TestErrorKinds(t *testing.T) {
	remote := netip.MustParseAddrPort("192.0.2.1:80")
	for _, tt := range []struct {
		err     error
		timeout bool
		is      error  // one that it wraps, or nil
		text    string // part of it
	}{
		{&PeerTimeoutError{Silence: 30_012 * ms}, true, nil, "30s"},
		{&NoAnswerError{Addr: remote, Requests: 7, Waited: 2 * time.Second}, true, nil, "192.0.2.1:80 (UDP) to 7 handshake requests in 2s"},
		{&UnreachableError{remote}, false, syscall.ECONNREFUSED, "192.0.2.1:80"},
		{&PeerError{Code: 4000}, false, nil, "4000"},
		{errDeadline, true, os.ErrDeadlineExceeded, "timeout"},
		{ErrRejected, false, nil, "rejected"},
	} {
		err := &net.OpError{Op: "read", Net: "udt", Err: tt.err}
		var ne net.Error
		if !errors.As(err, &ne) || ne.Timeout() != tt.timeout {
			t.Errorf("%v: timeout %v, want %v", err, ne.Timeout(), tt.timeout)
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%v is not %v", err, tt.is)
		}
		if !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%q does not tell %q", err, tt.text)
		}
	}
}
