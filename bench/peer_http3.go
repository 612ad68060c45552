package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicConfig gives QUIC windows that no link here fills, as the namespaces give
// TCP.
func quicConfig() *quic.Config {
	return &quic.Config{
		InitialStreamReceiveWindow:     4 << 20,
		MaxStreamReceiveWindow:         64 << 20,
		InitialConnectionReceiveWindow: 8 << 20,
		MaxConnectionReceiveWindow:     128 << 20,
	}
}

func serveOverHTTP3(ctx context.Context, o *peerOptions, ready func()) error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	pc, err := net.ListenPacket("udp", o.address)
	if err != nil {
		return err
	}
	defer pc.Close()
	s := &http3.Server{
		Handler:    contentHandler(o.dir),
		TLSConfig:  http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}}),
		QUICConfig: quicConfig(),
	}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	ready()
	if err := s.Serve(pc); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP/3: %w", err)
	}
	return nil
}

func fetchOverHTTP3(ctx context.Context, o *peerOptions) error {
	var transports []http.RoundTripper
	for range o.connections {
		t := &http3.Transport{
			// The server made its certificate a moment ago and runs on this
			// machine: there is nothing to check it against.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			QUICConfig:      quicConfig(),
		}
		defer t.Close()
		transports = append(transports, t)
	}
	return fetchRanges(ctx, "https://"+o.address+"/"+contentName, o, transports)
}

// selfSigned makes a certificate for an hour.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "bench"},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
