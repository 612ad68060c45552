package udtpool

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/pin"
	"github.com/chunkget/chunkget/internal/tlsport"
	"github.com/chunkget/chunkget/udt"
)

// Requests over udts, with the pin of the server: the first connections make full
// handshakes, later ones resume. A wrong pin and an unknown authority are errors
// of dialling, and nothing has been sent then.
func TestTLS(t *testing.T) {
	files, err := tlsport.SelfSigned(t.TempDir(), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	source, err := tlsport.Open(files, slog.New(slog.DiscardHandler), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	inner, err := udt.Listen("udt", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served atomic.Int32
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		io.WriteString(w, "hello")
	})}
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(tlsport.Wrap(inner, tlsport.Options{Source: source, Require: true})) })
	defer serving.Wait()
	defer srv.Close()
	u := &url.URL{Scheme: "udts", Host: inner.Addr().String(), Path: "/"}

	var full, resumed atomic.Int32
	good := source.Pin().Config(new(tls.Config))
	verify := good.VerifyConnection
	good.VerifyConnection = func(s tls.ConnectionState) error {
		if s.DidResume {
			resumed.Add(1)
		} else {
			full.Add(1)
		}
		return verify(s)
	}
	p := New(Config{Connections: 4, TLS: func(address string) *tls.Config {
		if address != u.Host {
			t.Errorf("asked for the configuration of %s", address)
		}
		return good
	}})
	for range 3 {
		if got := mustGet(t, p, u); got != "hello" {
			t.Errorf("got %q", got)
		}
		p.CloseIdleConnections()
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if full.Load() != 1 || resumed.Load() != 2 {
		t.Errorf("%d full handshakes, %d resumed", full.Load(), resumed.Load())
	}

	was := served.Load()
	for what, cfg := range map[string]*tls.Config{"another pin": pin.Pin{}.Config(new(tls.Config)), "no authority": nil} {
		p := New(Config{Connections: 2, TLS: func(string) *tls.Config { return cfg }})
		_, err := get(t.Context(), p, u)
		_, unpinned := errors.AsType[*pin.MismatchError](err)
		_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
		if _, ok := errors.AsType[*DialError](err); !ok || unpinned != (cfg != nil) || unverified != (cfg == nil) {
			t.Errorf("%s: %v", what, err)
		}
		p.Close()
	}
	if served.Load() != was {
		t.Error("a request has reached a server that was not verified")
	}
}
