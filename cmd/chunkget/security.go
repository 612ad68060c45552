package main

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/chunkget/chunkget/internal/credentials"
	"github.com/chunkget/chunkget/internal/pin"
	"github.com/spf13/pflag"
)

// security is what the user says about who servers are, and who the user is.
type security struct {
	caCert     string
	cert, key  string
	tokenFile  string
	allowPlain bool
	noNetrc    bool

	mirrors []*url.URL // further servers that the user has named

	// Set by validate.
	told  []*url.URL // whose servers hear the secrets
	trust *trust
	auth  map[string]string // origin → Authorization
	plain []string          // hosts whose login in .netrc is not sent
}

func (s *security) addFlags(f *pflag.FlagSet) {
	f.StringVar(&s.caCert, "cacert", "", "trust the authorities in `FILE` (PEM) for udts:// and https://, instead of those of the system")
	f.StringVar(&s.cert, "cert", "", "show servers of the URLs the client certificate in `FILE` (PEM)")
	f.StringVar(&s.key, "key", "", "private key of --cert, in `FILE` (PEM; default: the file of --cert)")
	f.StringVar(&s.tokenFile, "token-file", "", "send a token of `FILE` as Bearer to the server of the URLs: of lines ORIGIN TOKEN that of exactly its scheme://host[:port] or host[:port], else the first token, which is for one server; to no other server")
	f.BoolVar(&s.allowPlain, "allow-plain-token", false, "send a token or a login of .netrc over udt:// or http://, too, where others can read it")
	f.BoolVar(&s.noNetrc, "no-netrc", false, "do not look for the login of a host in ~/.netrc, or the file that $NETRC names")
}

// validate reads the files and the pins of the URLs.
func (s *security) validate(urls []*url.URL, header http.Header) error {
	s.trust = &trust{named: make(map[string]bool), bare: make(map[string]bool), pins: make(map[string]pin.Pin)}
	s.auth, s.plain = make(map[string]string), nil
	all := append(slices.Clip(urls), s.mirrors...)
	s.told = all
	for _, u := range all {
		if err := s.addPin(u); err != nil {
			return err
		}
		s.trust.named[origin(u)] = true
	}
	if err := s.loadCertificates(); err != nil {
		return err
	}
	if s.tokenFile != "" {
		if one, err := s.loadTokens(urls, header); one || err != nil {
			return err
		}
	}
	if s.noNetrc || header.Get("Authorization") != "" {
		return nil
	}
	return s.lookUp(netrcFile(), all)
}

func (s *security) addPin(u *url.URL) error {
	p, ok, err := pin.ParseFragment(u.Fragment)
	const hint = "a pinned URL looks like udts://host:9000/path#pin=sha256:..., as chunkserve --tls prints it"
	switch was, known := s.trust.pins[origin(u)]; {
	case err != nil:
		return &usageError{err.Error(), hint}
	case !ok:
		return nil
	case u.Scheme != "udts" && u.Scheme != "https":
		return &usageError{fmt.Sprintf("a pin has no effect with %s://, which is not encrypted", u.Scheme), hint}
	case known && was != p:
		return &usageError{fmt.Sprintf("two pins for one server, %s", quote(u.Host)), "a server has one key; fetch from the other one by itself"}
	}
	s.trust.pins[origin(u)] = p
	return nil
}

func (s *security) loadCertificates() (err error) {
	if s.caCert != "" {
		if s.trust.roots, err = credentials.LoadPool(s.caCert); err != nil {
			return fileError("--cacert", err, "name a file with certificates in PEM")
		}
	}
	if s.key != "" && s.cert == "" {
		return &usageError{"--key without --cert", "name the certificate of that key with --cert FILE"}
	}
	if s.cert != "" {
		pair, err := credentials.LoadPair(s.cert, cmp.Or(s.key, s.cert))
		if err != nil {
			return fileError("--cert", err, "name files with a certificate and its private key in PEM")
		}
		s.trust.cert = &pair
	}
	return nil
}

// loadTokens takes what the token file has for the servers of the URLs and of --mirror.
// one is true if it is the one token for the one server of the URLs.
func (s *security) loadTokens(urls []*url.URL, header http.Header) (one bool, err error) {
	data, err := credentials.ReadFile(s.tokenFile)
	var tokens *credentials.ClientTokens
	if err == nil {
		if tokens, err = credentials.ParseClientTokens(data, defaultPorts); err != nil {
			err = fmt.Errorf("%s: %w", quote(s.tokenFile), err)
		}
	}
	if err != nil {
		return false, fileError("--token-file", err, "name a file with the token that the server's operator has given you, or with lines ORIGIN TOKEN")
	}
	if tokens.One == "" {
		for i, u := range append(slices.Clip(urls), s.mirrors...) {
			if i == len(urls) {
				header = nil // what it says is not for mirrors
			}
			token, ok := tokens.By[origin(u)]
			if !ok {
				s.trust.bare[origin(u)] = true
				continue
			}
			if err := s.tell(u, token, header); err != nil {
				return false, err
			}
		}
		return false, nil
	}
	if len(urls) == 0 {
		return true, &usageError{"--token-file is for the server of a URL, but there is none", "what a Metalink names gets no token"}
	}
	for _, u := range urls {
		if origin(u) != origin(urls[0]) {
			return true, &usageError{fmt.Sprintf("--token-file has one token for one server, but the URLs are of %s and %s", quote(urls[0].Host), quote(u.Host)),
				"write lines of the form ORIGIN TOKEN, such as: https://host:8443 TOKEN"}
		}
		if err := s.tell(u, tokens.One, header); err != nil {
			return true, err
		}
	}
	return true, nil
}

// tell makes requests to the origin of u say a token, unless they say something else.
func (s *security) tell(u *url.URL, token string, header http.Header) error {
	switch {
	case header.Get("Authorization") != "" || u.User != nil:
		return &usageError{"--token-file excludes another Authorization", "leave out --header Authorization, or the user in the URL"}
	case !s.mayTell(u):
		return &usageError{fmt.Sprintf("a token would go to %s in plain text", quote(u.Host)), "use udts:// or https://; where the network is trusted, add --allow-plain-token"}
	}
	s.auth[origin(u)] = "Bearer " + token
	return nil
}

// lookUp takes what a .netrc has for the hosts of the URLs.
func (s *security) lookUp(netrc string, urls []*url.URL) error {
	if netrc == "" {
		return nil
	}
	for _, u := range urls {
		if _, known := s.auth[origin(u)]; known || u.User != nil {
			continue
		}
		login, err := credentials.Netrc(netrc, u.Hostname())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fileError("login of "+quote(u.Hostname()), err, "correct the file, or do without it: --no-netrc")
		case login == nil:
		case !s.mayTell(u):
			s.plain = append(s.plain, u.Host)
		default:
			s.auth[origin(u)] = "Basic " + base64.StdEncoding.EncodeToString([]byte(login.User+":"+login.Password))
		}
	}
	return nil
}

// netrcFile returns the name of the .netrc, "" if there can be none.
func netrcFile() string {
	if name := os.Getenv("NETRC"); name != "" {
		return name
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	if runtime.GOOS == "windows" {
		return filepath.Join(home, "_netrc")
	}
	return filepath.Join(home, ".netrc")
}

// mayTell reports whether a secret may be sent to the server of u.
func (s *security) mayTell(u *url.URL) bool {
	if s.allowPlain || u.Scheme == "udts" || u.Scheme == "https" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(u.Hostname(), "localhost")
}

// trusted is what validate has found, or what there is without it.
func (s *security) trusted() *trust {
	if s.trust == nil {
		return new(trust)
	}
	return s.trust
}

// noteUntold says what is not done.
func (s *security) noteUntold(u *ui) {
	for _, host := range s.plain {
		u.note("the login for %s in .netrc is not sent in plain text; --allow-plain-token sends it", quote(host))
	}
	if u.verbose {
		for _, o := range slices.Sorted(maps.Keys(s.trusted().bare)) {
			u.note("--token-file has no token for %s", quote(o))
		}
	}
}

// header returns the fields for requests to the origin of u.
func (s *security) header(h http.Header, u *url.URL) http.Header {
	auth, ok := s.auth[origin(u)]
	if !ok || u.User != nil {
		return h
	}
	if h = h.Clone(); h == nil {
		h = make(http.Header)
	}
	h.Set("Authorization", auth)
	return h
}

// secrets returns what somebody is told who may not be the server of a transfer: a
// proxy, or another server of this run, which may know each other.
func (o *options) secrets() []string {
	out := o.proxySecrets()
	for _, auth := range o.security.auth {
		_, rest, _ := strings.Cut(auth, " ")
		out = append(out, auth, rest)
		if login, err := base64.StdEncoding.DecodeString(rest); err == nil && strings.HasPrefix(auth, "Basic ") {
			_, password, _ := strings.Cut(string(login), ":")
			out = append(out, string(login), password)
		}
	}
	return out
}

// draw has all that is printed from now on pass a veil over what servers and proxies
// are told.
func (o *options) draw(u *ui) { u.veil.Add(o.security.told, o.header, o.secrets()...) }

// fileError says what to do about a file that was named on the command line.
func fileError(what string, err error, hint string) error {
	if e, ok := errors.AsType[*credentials.ExposedError](err); ok {
		hint = e.Hint()
	}
	return &usageError{fmt.Sprintf("%s: %v", what, err), hint}
}

// parseTarget reads the one URL of a command and what is said about its server.
func (o *options) parseTarget(s string) (*url.URL, error) {
	u, err := parseURL(s)
	if err != nil {
		return nil, err
	}
	return u, o.security.validate([]*url.URL{u}, o.header)
}

// origin names the server of a URL: scheme, host and port.
func origin(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(hostPort(u)) }
