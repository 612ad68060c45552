package udtpool

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// sessionsKept is how many servers' TLS sessions a pool remembers.
const sessionsKept = 64

// secured is the scheme whose connections are encrypted.
const secured = "udts"

// secure does the TLS handshake on a new connection to h. The caller closes nc if
// that fails.
func (p *Pool) secure(ctx context.Context, h *host, nc net.Conn) (net.Conn, error) {
	cfg := new(tls.Config)
	if p.cfg.TLS != nil {
		if c := p.cfg.TLS(h.key.address); c != nil {
			cfg = c.Clone()
		}
	}
	if cfg.ServerName == "" {
		name, _, err := net.SplitHostPort(h.key.address)
		if err != nil {
			return nil, err
		}
		cfg.ServerName = name
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS13)
	cfg.NextProtos = []string{"http/1.1"}
	if cfg.ClientSessionCache == nil {
		cfg.ClientSessionCache = serverSessions{p.sessions, h.key.address}
	}
	c := tls.Client(nc, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("tls handshake: %w", err)
	}
	return c, nil
}

// serverSessions are the sessions of one server, which is more than its host
// name: another port may be another server.
type serverSessions struct {
	tls.ClientSessionCache
	address string
}

func (s serverSessions) Get(string) (*tls.ClientSessionState, bool) {
	return s.ClientSessionCache.Get(s.address)
}

func (s serverSessions) Put(_ string, c *tls.ClientSessionState) {
	s.ClientSessionCache.Put(s.address, c)
}
