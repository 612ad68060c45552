package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/pin"
)

// trust says whom to believe, and whom to tell who we are. The zero value knows
// the authorities of the system.
type trust struct {
	roots *x509.CertPool     // nil = those of the system
	cert  *tls.Certificate   // nil = none; for named servers only
	named map[string]bool    // origins of the command line
	bare  map[string]bool    // those of them for which the token file has none
	pins  map[string]pin.Pin // by origin

	mu        sync.Mutex
	pooled    map[string]*http.Transport // guarded by mu; by origin, of servers with a configuration of their own
	standsFor map[string]string          // guarded by mu; https:// origins by the udts:// origins that offer the same
}

// config returns the TLS configuration for an origin. A server that a redirect
// leads to gets no certificate of ours and has no pin.
func (t *trust) config(origin string) *tls.Config {
	c := &tls.Config{RootCAs: t.roots}
	if strings.HasPrefix(origin, "udts:") {
		c.MinVersion = tls.VersionTLS13 // over TCP, too
	}
	if t.cert != nil && t.named[origin] {
		// Whatever authorities the server names: its answer says more than none.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.cert, nil }
	}
	if p, ok := t.pins[origin]; ok {
		return p.Config(c)
	}
	return c
}

// explain says in the hint of an error about a server of the command line that it was told
// no token because the file has none for it.
func (t *trust) explain(u *url.URL, err error) error {
	fe, ok := errors.AsType[*fetch.Error](err)
	if !ok || fe.StatusCode != http.StatusUnauthorized || fe.Hint != "" || !t.bare[origin(u)] {
		return err
	}
	e := *fe
	e.Hint = fmt.Sprintf("--token-file has no token for this server: give it a line %s TOKEN", origin(u))
	return &e
}

// overUDT is config for udtpool. Whoever stands for an https:// server is believed
// what that is.
func (t *trust) overUDT(address string) *tls.Config {
	key := "udts://" + address
	t.mu.Lock()
	if served := t.standsFor[key]; served != "" {
		key = served
	}
	t.mu.Unlock()
	return t.config(key)
}

// stand takes note that the udts:// server at address offers the same as the https://
// server of an origin, by what that says, and so has to prove that it is the same server.
// It reports whether that can be: not if it also stands for another one, or is a server
// of the command line itself, of which other proofs may be asked.
func (t *trust) stand(address, origin string) bool {
	key := "udts://" + address
	_, pinned := t.pins[key]
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.standsFor[key]; pinned || t.named[key] || other != "" && other != origin {
		return false
	}
	if t.standsFor == nil {
		t.standsFor = make(map[string]string)
	}
	t.standsFor[key] = origin
	return true
}

// overTCP returns the transport for requests to an origin, which is shared for
// those that are nothing special.
func (t *trust) overTCP(origin string, shared *http.Transport) *http.Transport {
	if _, pinned := t.pins[origin]; !pinned && (t.cert == nil || !t.named[origin]) && !strings.HasPrefix(origin, "udts:") {
		return shared
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.pooled[origin]
	if own == nil {
		own = shared.Clone()
		own.TLSClientConfig = t.config(origin)
		own.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		if t.pooled == nil {
			t.pooled = make(map[string]*http.Transport)
		}
		t.pooled[origin] = own
	}
	return own
}

// close closes the connections of transports that are not shared.
func (t *trust) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, own := range t.pooled {
		own.CloseIdleConnections()
	}
}
