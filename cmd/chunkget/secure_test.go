package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/credentials"
	"github.com/chunkget/chunkget/internal/pin"
	"github.com/chunkget/chunkget/internal/scripts"
	"github.com/chunkget/chunkget/internal/tlsport"
	"github.com/chunkget/chunkget/serve"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
	"github.com/rogpeppe/go-internal/testscript"
)

// startSecure starts a chunkserve that takes uploads behind TLS: https is over TCP, udts over UDT,
// and blockedudts over TCP at a udts:// URL. Its
// key pair is dir/tls.pem. arg is client-ca=FILE, token-file=FILE, offer (of UDT with
// TLS, over TCP), require (refuses plain text), mood=WHAT, redirect=URL, bounce (are of the kinds
// moody, redirect and bounce) or "", with FILE in dir.
func startSecure(kind, dir, arg string) (_ *server, err error) {
	log, now := slog.New(slog.DiscardHandler), time.Now()
	s := &server{hold: -1}
	files, err := tlsport.SelfSigned(dir, nil, now)
	if err != nil {
		return nil, err
	}
	name, file, _ := strings.Cut(arg, "=")
	if name == "client-ca" {
		files.ClientCA = filepath.Join(dir, file)
	}
	source, err := tlsport.Open(files, log, now)
	if err != nil {
		return nil, err
	}
	s.pin = source.Pin().Fragment()
	h, stop, err := uploadsHandler(s, dir, "")
	if err != nil {
		return nil, err
	}
	if newHandler := map[string]func(*server, string, string) (http.Handler, func(), error){
		"mood": moodyHandler, "redirect": redirectHandler, "bounce": bounceHandler,
	}[name]; newHandler != nil {
		stop()
		if h, stop, err = newHandler(s, dir, file); err != nil {
			return nil, err
		}
		if stop == nil {
			stop = func() {}
		}
	}
	if name == "token-file" {
		tokens, err := credentials.OpenTokens(filepath.Join(dir, file), log, now)
		if err != nil {
			stop()
			return nil, err
		}
		h = serve.RequireToken(h, tokens, log)
	}
	var l net.Listener
	var silent net.PacketConn
	switch kind {
	case "udts":
		l, err = udt.Listen("udt", "127.0.0.1:0")
	case "blockedudts":
		l, silent, err = silentPort()
	default:
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		stop()
		return nil, err
	}
	s.url = kind + "://" + l.Addr().String()
	if kind == "blockedudts" {
		stopHandler := stop
		stop = func() {
			silent.Close()
			stopHandler()
		}
		s.url = "udts://" + l.Addr().String()
	}
	srv := &http.Server{Handler: h}
	var serving sync.WaitGroup
	if arg == "offer" {
		also, err := udt.Listen("udt", "127.0.0.1:0")
		if err != nil {
			stop()
			return nil, errors.Join(err, l.Close())
		}
		srv.Handler = withHeader{h, "Alt-Svc", `udts=":` + portOf(also.Addr().String()) + `"`}
		serving.Go(func() { srv.Serve(tlsport.Wrap(also, tlsport.Options{Source: source})) })
	}
	serving.Go(func() { srv.Serve(tlsport.Wrap(l, tlsport.Options{Source: source, Require: arg == "require"})) })
	s.close = func() {
		srv.Close()
		serving.Wait()
		stop()
	}
	return s, nil
}

// scriptMkpair writes a self-signed certificate for a client, with its key.
func scriptMkpair(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 1, "mkpair FILE")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: args[0]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	ts.Check(err)
	ts.Check(errors.Join(
		pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		f.Close()))
}

// A udts:// URL has TLS 1.3 over TCP as well, which an https:// URL need not have.
func TestNoOlderTLSInPlaceOfUDT(t *testing.T) {
	old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.StartTLS()
	defer old.Close()
	host := old.Listener.Addr().String()
	roots := x509.NewCertPool()
	roots.AddCert(old.Certificate())
	who := &trust{roots: roots, pins: map[string]pin.Pin{}}
	for _, pinned := range []bool{false, true} {
		if pinned {
			who.pins["udts://"+host], who.pins["https://"+host] = pin.Of(old.Certificate()), pin.Of(old.Certificate())
		}
		rt := newTransports(1, time.Second, udtpool.DefaultHeaderBytes, who, udt.Ask{}, new(pathMemory), newUI(io.Discard, io.Discard), slog.New(slog.DiscardHandler), new(observation))
		rt.route.mode = transportTCP
		for scheme, works := range map[string]bool{"https": true, "udts": false} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+host+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := rt.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != works {
				t.Errorf("%s, pinned %v, to a server of TLS 1.2: %v", scheme, pinned, err)
			}
		}
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	}
}
