package tlsport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/chunkget/chunkget/internal/credentials"
	"github.com/chunkget/chunkget/internal/pin"
)

// checkInterval is the least time between two looks at whether files have changed.
const checkInterval = time.Second

// Files names what a Source reads, in PEM.
type Files struct {
	Cert     string // the certificate, perhaps followed by those between it and a root
	Key      string // its private key
	ClientCA string // who may vouch for clients; "" asks for no client certificate
}

func (f Files) names() []string {
	if f.ClientCA == "" {
		return []string{f.Cert, f.Key}
	}
	return []string{f.Cert, f.Key, f.ClientCA}
}

// A Source has the configuration of a TLS server from files, and follows them.
type Source struct {
	files Files
	log   *slog.Logger

	mu     sync.Mutex    // guards the fields below
	config *tls.Config   // of the last version without mistakes
	loaded []fs.FileInfo // of that version
	failed []fs.FileInfo // of the version that was complained of last
	looked time.Time
}

// Open reads the files. What is wrong with later versions goes to log; until
// that is put right, the Source has what it had before.
func Open(files Files, log *slog.Logger, now time.Time) (*Source, error) {
	s := &Source{files: files, log: log, looked: now}
	infos, err := s.stat()
	if err != nil {
		return nil, err
	}
	if s.config, err = files.load(); err != nil {
		return nil, err
	}
	s.loaded = infos
	return s, nil
}

// Config returns the configuration for a handshake that begins now. Sessions are
// resumed within one version of the files: whoever has been shut out by a change
// of theirs is out.
func (s *Source) Config(now time.Time) *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.looked) < checkInterval {
		return s.config
	}
	s.looked = now
	infos, err := s.stat()
	if err == nil && sameVersions(infos, s.loaded) {
		s.failed = nil
		return s.config
	}
	var config *tls.Config
	if err == nil {
		// Also if that has failed before: files are written one after the other,
		// and within one tick of the file system's clock.
		config, err = s.files.load()
	}
	if err != nil {
		if s.failed == nil || !sameVersions(infos, s.failed) {
			s.log.Warn("new TLS files are not usable; the old ones stay in use", "err", err)
		}
		if s.failed = infos; infos == nil {
			s.failed = []fs.FileInfo{}
		}
		return s.config
	}
	s.config, s.loaded, s.failed = config, infos, nil
	s.log.Info("TLS files read again", "expires", config.Certificates[0].Leaf.NotAfter)
	return s.config
}

// Leaf returns the certificate in use.
func (s *Source) Leaf() *x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.Certificates[0].Leaf
}

// Pin returns the pin of the key in use.
func (s *Source) Pin() pin.Pin { return pin.Of(s.Leaf()) }

func (s *Source) stat() (infos []fs.FileInfo, err error) {
	for _, name := range s.files.names() {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, cause(err))
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func sameVersions(a, b []fs.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !credentials.SameVersion(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (f Files) load() (*tls.Config, error) {
	cert, err := credentials.LoadPair(f.Cert, f.Key)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{cert},
		// HTTP/2 would put all requests of a client on one connection.
		NextProtos: []string{"http/1.1"},
		// Small records at the beginning are for pages that are shown bit by bit.
		DynamicRecordSizingDisabled: true,
	}
	if f.ClientCA != "" {
		if cfg.ClientCAs, err = credentials.LoadPool(f.ClientCA); err != nil {
			return nil, err
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}

// cause returns err without the operation and the path.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
