package fetch

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
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

// What could not be connected to, and what to do about it.
func TestConnectHints(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, tt := range []struct {
		err  error
		want string // part of the hint, "" for none
	}{
		{refused, "nothing listens at that port"},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: refused}, "address of the proxy"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, "name of the host in the URL"},
		{fmt.Errorf("dial udt: %w", &net.DNSError{Err: "server misbehaving", IsTemporary: true}), "name servers"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}, ""},
		{syscall.ECONNRESET, ""},
	} {
		got := networkError("op", fmt.Errorf("round trip: %w", tt.err)).Hint
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%v: hint %q, want %q", tt.err, got, tt.want)
		}
	}
}

func TestSpeaksNoTLS(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, true},
		{http.ErrSchemeMismatch, true},
		{&tls.CertificateVerificationError{Err: errors.New("unknown authority")}, false},
		{io.EOF, false},
		{nil, false},
	} {
		err := tt.err
		if err != nil {
			err = fmt.Errorf("round trip: %w", err)
		}
		if got := SpeaksNoTLS(err); got != tt.want {
			t.Errorf("%v: %v, want %v", err, got, tt.want)
		}
		if tt.err == nil {
			continue
		}
		if hint := networkError("op", err).Hint; strings.Contains(hint, "does not speak TLS") != tt.want {
			t.Errorf("%v: hint %q", err, hint)
		}
	}
}

// Answers other than the wanted one: what the server says of them, and what to do.
func TestStatusSaysWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name        string
		url         string
		status      string
		contentType string
		body        string
		header      http.Header // of the answer
		auth        string      // that was sent
		message     string      // end of it
		hint        string      // part of it, "" for none
	}{
		{name: "TLS wanted", url: "http://h/f", status: "400 TLS required", contentType: "text/plain; charset=utf-8", body: "this server speaks TLS only: use https:// or udts://\n",
			message: `"400 TLS required": "this server speaks TLS only: use https:// or udts://"`, hint: "use https:// or udts://"},
		{name: "TLS wanted by Go", url: "udt://h/f", status: "400 Bad Request", body: "Client sent an HTTP request to an HTTPS server.\n",
			message: `"Client sent an HTTP request to an HTTPS server."`, hint: "use https:// or udts://"},
		{name: "bad request", url: "https://h/f", status: "400 Bad Request", contentType: "text/plain", body: "TLS", message: `: "TLS"`},
		{name: "one line", status: "500 Internal Server Error", contentType: "text/plain", body: "what\x1b it says\nmore", message: `"500 Internal Server Error": "what\x1b it says"`},
		{name: "long", status: "500 Internal Server Error", contentType: "text/plain", body: strings.Repeat("x", 10_000), message: `: "` + strings.Repeat("x", 300) + `"`},
		{name: "HTML", status: "500 Internal Server Error", contentType: "text/html", body: "<html>", message: `answered "500 Internal Server Error"`},
		{name: "nothing new", status: "404 Not Found", contentType: "text/plain", body: "404 page not found\n", message: `answered "404 Not Found"`, hint: "check the path"},
		{name: "no token", status: "401 Unauthorized", message: `"401 Unauthorized"`},
		{name: "wrong token", status: "401 Unauthorized", auth: "Bearer x", message: `"401 Unauthorized"`, hint: "is not accepted"},
		{name: "token for something else", status: "403 Forbidden", auth: "Bearer x", message: `"403 Forbidden"`, hint: "is not accepted for this URL"},
		{name: "too many", status: "429 Too Many Requests", message: "", hint: "fewer connections"},
		{name: "too many, soon", status: "429 Too Many Requests", header: http.Header{"Retry-After": {"60"}}, message: "", hint: "fewer connections"},
		{name: "much later", status: "503 Service Unavailable", header: http.Header{"Retry-After": {"7200"}}, message: "", hint: "come again in 2h0m0s"},
		{name: "soon", status: "503 Service Unavailable", header: http.Header{"Retry-After": {"60"}}, message: ""},
	} {
		code, _ := strconv.Atoi(tt.status[:3])
		req, err := http.NewRequest(http.MethodGet, cmp.Or(tt.url, "http://h/f"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.auth != "" {
			req.Header.Set("Authorization", tt.auth)
		}
		h := tt.header.Clone()
		if h == nil {
			h = make(http.Header)
		}
		h.Set("Content-Type", tt.contentType)
		err = checkStatus(&http.Response{Status: tt.status, StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(tt.body)), Request: req}, nil, DefaultMaxRetryAfter, time.Time{})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.StatusCode != code || !strings.HasSuffix(err.Error(), tt.message) || (e.Hint == "") != (tt.hint == "") || !strings.Contains(e.Hint, tt.hint) {
			t.Errorf("%s: %v; %+v", tt.name, err, e)
		}
	}
}
