package udtpool

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/chunkget/chunkget/udt"
)

// endpoint is the UDP socket that all connections of a pool share unless it was
// given a dial function. One socket means one port to keep open in a firewall,
// and one binding in a NAT.
type endpoint struct {
	timeout time.Duration
	path    func(address string) udt.Path // nil = nothing is remembered

	mu     sync.Mutex
	config udt.Config    // guarded by mu
	e      *udt.Endpoint // guarded by mu; nil before the first dial
	closed bool          // guarded by mu
}

func newEndpoint(cfg Config) *endpoint {
	return &endpoint{
		config: udt.Config{
			Logger:   cfg.Logger,
			Ask:      cfg.Ask,
			OnAnswer: cfg.OnAnswer,
			// A connection is closed when nobody needs it any more. What the server
			// has not acknowledged by then is a request whose answer is unwanted.
			Linger: -1,
		},
		timeout: cfg.DialTimeout,
		path:    cfg.Path,
	}
}

// dial is the default of Config.Dial.
func (s *endpoint) dial(ctx context.Context, network, address string) (net.Conn, error) {
	e, err := s.open()
	if err != nil {
		return nil, err
	}
	d := udt.Dialer{Endpoint: e, Timeout: s.timeout, EarlyData: true}
	if s.path != nil {
		d.Path = s.path(address)
	}
	return d.DialContext(ctx, network, address)
}

func (s *endpoint) open() (*udt.Endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.e == nil {
		e, err := udt.ListenEndpoint("udt", ":0", &s.config)
		if err != nil {
			return nil, err
		}
		s.e = e
	}
	return s.e, nil
}

// ask makes a what servers are asked for.
func (s *endpoint) ask(a udt.Ask) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.Ask = a
	if s.e == nil {
		return nil
	}
	return s.e.Ask(a)
}

func (s *endpoint) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.e == nil {
		return nil
	}
	e := s.e
	s.e = nil
	return e.Close()
}
