package tlsport

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// selfSignedFile is the name of a file with a key pair of our own making: one
// file, so that certificate and key cannot come apart.
const selfSignedFile = "tls.pem"

// selfSignedLife is long, since clients know the server by its key.
const selfSignedLife = 20 * 365 * 24 * time.Hour

// SelfSigned returns the files of a key pair in dir, which must exist. The pair
// is made if it is not there: ECDSA with P-256, self-signed, for this host's name
// and for address, which may be nil.
func SelfSigned(dir string, address net.IP, now time.Time) (Files, error) {
	name := filepath.Join(dir, selfSignedFile)
	files := Files{Cert: name, Key: name}
	if _, err := os.Stat(name); err == nil {
		return files, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Files{}, fmt.Errorf("%q: %w", name, cause(err))
	}
	content, err := newPair(address, now)
	if err != nil {
		return Files{}, fmt.Errorf("make a key pair: %w", err)
	}
	if err := writeSecret(name, content); err != nil {
		return Files{}, fmt.Errorf("keep the key pair: %w", err)
	}
	return files, nil
}

func newPair(address net.IP, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil && host != "" && host != "localhost" {
		names = append(names, host)
	}
	addresses := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if address != nil && !address.IsLoopback() {
		addresses = append(addresses, address)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "chunkserve"},
		DNSNames:              names,
		IPAddresses:           addresses,
		NotBefore:             now.Add(-time.Hour), // clocks differ
		NotAfter:              now.Add(selfSignedLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	return signed(template, key)
}

// signed returns the certificate, signed by its own key, with that key.
func signed(template *x509.Certificate, key crypto.PrivateKey) ([]byte, error) {
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.(crypto.Signer).Public(), key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...), nil
}

// writeSecret makes a file that is complete whenever it is there, readable by
// its owner only. One that another process has made in the meantime stays.
func writeSecret(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), selfSignedFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	err = os.Link(f.Name(), name)
	switch {
	case err == nil, errors.Is(err, fs.ErrExist):
		return nil
	}
	return os.Rename(f.Name(), name) // file systems without links
}
