package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/chunkget/chunkget/internal/credentials"
	"github.com/chunkget/chunkget/internal/tlsport"
	"github.com/chunkget/chunkget/serve"
	"github.com/spf13/pflag"
)

// security is what the command line says about encryption and about who may
// fetch.
type security struct {
	selfSigned bool
	cert, key  string
	clientCA   string
	requireTLS bool
	tokenFile  string
}

func (s *security) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&s.selfSigned, "tls", false, "speak TLS 1.3, too; without --tls-cert with a key pair that is made once and kept in the state folder")
	f.StringVar(&s.cert, "tls-cert", "", "speak TLS 1.3 with the certificate in `FILE` (PEM, with those between it and a root)")
	f.StringVar(&s.key, "tls-key", "", "private key of --tls-cert, in `FILE` (PEM)")
	f.BoolVar(&s.requireTLS, "require-tls", false, "refuse plain text")
	f.StringVar(&s.clientCA, "client-ca", "", "serve only clients whose certificate an authority in `FILE` (PEM) vouches for; implies --require-tls")
	f.StringVar(&s.tokenFile, "token-file", "", "serve only requests with a token of `FILE`, one a line, perhaps followed by the path prefix that it opens")
}

func (s *security) encrypts() bool { return s.selfSigned || s.cert != "" }

func (s *security) validate() error {
	const how = "add --tls, or --tls-cert FILE --tls-key FILE"
	switch {
	case (s.cert == "") != (s.key == ""):
		return &usageError{"--tls-cert and --tls-key need each other", "give both; they may name the same file"}
	case s.requireTLS && !s.encrypts():
		return &usageError{"--require-tls without TLS would serve nobody", how}
	case s.clientCA != "" && !s.encrypts():
		return &usageError{"--client-ca needs TLS", how}
	}
	return nil
}

// access decides who may fetch and how. Its files are read again when they
// change.
type access struct {
	tls    tlsport.Options
	pinned bool                // clients know the server by its key, not by an authority
	tokens *credentials.Tokens // nil lets everybody in
	upload *credentials.Tokens // for uploads, nil for the same
	log    *slog.Logger
}

// open reads the files, and makes a key pair if one is asked for and missing.
func (s *security) open(o *options, log *slog.Logger, now time.Time) (*access, error) {
	a := &access{log: log}
	if s.encrypts() {
		files := tlsport.Files{Cert: s.cert, Key: s.key, ClientCA: s.clientCA}
		if s.cert == "" {
			dir, err := stateDir(o.state, userStateDir)
			if err != nil {
				return nil, &hintedError{fmt.Errorf("find a place for the key pair of --tls: %w", err), "name a folder for it with --state DIR"}
			}
			made, err := tlsport.SelfSigned(dir, listenIP(o.listen), now)
			if err != nil {
				return nil, &hintedError{err, "name a folder that can be written with --state DIR, or use --tls-cert FILE --tls-key FILE"}
			}
			files.Cert, files.Key = made.Cert, made.Key
		}
		source, err := tlsport.Open(files, log, now)
		if err != nil {
			return nil, fileError("TLS", err)
		}
		a.tls = tlsport.Options{Source: source, Require: s.requireTLS || s.clientCA != "", Logger: log}
		leaf := source.Leaf()
		a.pinned = bytes.Equal(leaf.RawIssuer, leaf.RawSubject)
	}
	if s.tokenFile != "" {
		tokens, err := credentials.OpenTokens(s.tokenFile, log, now)
		if err != nil {
			return nil, fileError("--token-file", err)
		}
		a.tokens = tokens
	}
	if file := o.upload.tokenFile; file != "" {
		tokens, err := credentials.OpenTokens(file, log, now)
		if err != nil {
			return nil, fileError("--upload-token-file", err)
		}
		a.upload = tokens
	}
	if (a.tokens != nil || a.upload != nil) && !a.tls.Require {
		log.Warn("tokens can be read by who is on the way of plain udt:// and http://; --tls --require-tls prevents that")
	}
	return a, nil
}

// fileError says what to do about a file that was named on the command line.
func fileError(what string, err error) error {
	hint := "name files that can be read; keys, certificates and authorities are in PEM"
	if e, ok := errors.AsType[*credentials.ExposedError](err); ok {
		hint = e.Hint()
	} else if strings.HasSuffix(what, "token-file") {
		hint = "one token a line, such as: openssl rand -hex 32 > FILE; chmod 600 FILE"
	}
	return &usageError{fmt.Sprintf("%s: %v", what, err), hint}
}

// listenIP is the address in that of --listen, an address at which others reach
// this machine if there is none, or nil.
func listenIP(address string) net.IP {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "":
		ip = netip.IPv6Unspecified()
	case err != nil:
		return nil // a name
	}
	return reachable(ip).AsSlice()
}

// wrap lets a listener speak what it should. It is the last wrapper of a listener,
// so that all others see what is below TLS.
func (a *access) wrap(l net.Listener) net.Listener { return tlsport.Wrap(l, a.tls) }

// guard lets through to h who may fetch, and who may upload.
func (a *access) guard(h http.Handler) http.Handler {
	require := func(tokens *credentials.Tokens) http.Handler {
		if tokens == nil {
			return h
		}
		return serve.RequireToken(h, tokens, a.log)
	}
	return serve.SplitUploads(require(a.mayUpload()), require(a.tokens))
}

// mayUpload returns the tokens that open uploads, nil if none is needed.
func (a *access) mayUpload() *credentials.Tokens { return cmp.Or(a.upload, a.tokens) }

// url is where clients find path, which is escaped, at address.
func (a *access) url(address, path string) string {
	if a.tls.Source == nil {
		return "udt://" + address + "/" + path
	}
	if a.pinned {
		return "udts://" + address + "/" + path + "#" + a.tls.Source.Pin().Fragment()
	}
	// An authority vouches for names, and seldom for addresses.
	if names := a.tls.Source.Leaf().DNSNames; len(names) > 0 && !strings.HasPrefix(names[0], "*") {
		if _, port, err := net.SplitHostPort(address); err == nil {
			address = net.JoinHostPort(names[0], port)
		}
	}
	return "udts://" + address + "/" + path
}
