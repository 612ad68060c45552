package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"
)

func TestNetworkError(t *testing.T) {
	wrapped := func(err error) error { return fmt.Errorf("round trip: %w", err) }
	for _, tt := range []struct {
		err  error
		want Kind
	}{
		{errors.New("broken"), KindNetwork},
		{syscall.ECONNRESET, KindNetwork},
		{&net.OpError{Op: "read", Err: syscall.ETIMEDOUT}, KindTimeout},
		{os.ErrDeadlineExceeded, KindTimeout},
		{context.DeadlineExceeded, KindTimeout},
		{&net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}, KindNetwork},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, KindNetwork},
		{&tls.CertificateVerificationError{Err: errors.New("unknown authority")}, KindAuth},
	} {
		if got := networkError("op", wrapped(tt.err)).Kind; got != tt.want {
			t.Errorf("%v is %v, want %v", tt.err, got, tt.want)
		}
	}
}

// What will not change by trying again fails at once.
func TestFirstContactIsFinal(t *testing.T) {
	for _, cause := range []error{
		&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
		&tls.CertificateVerificationError{Err: errors.New("unknown authority")},
	} {
		asked := 0
		_, err := Get(t.Context(), Options{
			URL: &url.URL{Scheme: "http", Host: "nobody", Path: "/f"},
			Dir: t.TempDir(),
			Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
				asked++
				return nil, cause
			}),
		})
		if !errors.Is(err, cause) || asked != 1 {
			t.Errorf("%v: asked %d times, %v", cause, asked, err)
		}
	}
}
