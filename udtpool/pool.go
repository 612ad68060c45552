package udtpool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/chunkget/chunkget/udt"
)

// Ownership.
//
//   - Pool.mu guards every field of Pool below it, every host, and the fields of
//     conn marked so. It is never held across I/O, nor across a call that can run
//     a ClientConn's state hook (Close, RoundTrip, SetStateHook): the hook takes it.
//   - A conn is in exactly one state: idle (on host.idle), busy (owned by one
//     RoundTrip call, then by the response body that call returned), or retired
//     (in no list). Whoever retires it closes it.
//   - The endpoint, if the pool has one, is opened by the first dial and closed by
//     Close after the last one.
//   - Every dial runs in a goroutine counted in Pool.wg, and so does every idle
//     timer. RoundTrip calls are counted too. Close waits for all of them.

// Defaults of Config.
const (
	DefaultConnections = 8
	DefaultDialTimeout = 10 * time.Second
	DefaultIdleTimeout = 90 * time.Second
	DefaultHeaderBytes = 256 << 10
)

const (
	// maxFreshTries is how many new connections one request may use up. A failure
	// on a reused connection is not counted, since an idle connection may have
	// died unnoticed; there are at most Connections of those.
	maxFreshTries = 3

	// A dial that failed while other connections serve the host is repeated after
	// a pause that starts at redialMin and doubles up to redialMax.
	redialMin = 500 * time.Millisecond
	redialMax = 5 * time.Second

	// readBufferBytes is the buffer between a connection and its response body.
	// Reads of at least this size bypass it.
	readBufferBytes = 64 << 10
)

// Config is what New needs. The zero value of a field selects its default.
type Config struct {
	// Connections is how many connections may be open at once to one scheme and
	// host. Default 8.
	Connections int

	// Dial opens one connection. The network is "udt", the address host:port.
	// It must return when its context ends. Default: UDT, with one UDP socket
	// for all connections of the pool.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// DialTimeout limits each call of Dial. Default 10 s.
	DialTimeout time.Duration

	// IdleTimeout is how long a connection may be idle before it is closed.
	// Default 90 s; negative means for ever.
	IdleTimeout time.Duration

	// HeaderBytes is how large the header of an answer may be, informational answers
	// before it included. Default 256 KiB.
	HeaderBytes int64

	// Opened, if not nil, is told of each connection that comes into the pool: what
	// Dial returned. It must not block, and not call the pool.
	Opened func(net.Conn)

	// Ask is how servers are asked to send, and OnAnswer is told what became of
	// that, as in udt.Config. Neither is used with a Dial of one's own.
	Ask      udt.Ask
	OnAnswer func(server netip.AddrPort, s udt.AskStatus)

	// TLS returns the configuration for the server at address, host:port, of a udts
	// URL: authorities, client certificates, a check of one's own. Server name,
	// protocol and least version (1.3) are the pool's business, and so are sessions
	// unless there is a cache. Default: the authorities of the system.
	TLS func(address string) *tls.Config

	// Path returns what is remembered of the way to a server, host:port, as in
	// udt.Dialer. nil remembers nothing.
	Path func(address string) udt.Path

	// Logger receives one record at debug level when a connection is opened,
	// retired, or could not be had. Default: discard.
	Logger *slog.Logger
}

// Pool is an http.RoundTripper over at most Config.Connections connections to
// each host. Its methods may be called from several goroutines.
type Pool struct {
	cfg       Config
	transport *http.Transport // makes ClientConns; never used as a RoundTripper
	ctx       context.Context // ends when Close is called
	cancel    context.CancelFunc
	wg        sync.WaitGroup // dials, idle timers, RoundTrip calls
	endpoint  *endpoint      // nil with a Config.Dial
	sessions  tls.ClientSessionCache

	mu     sync.Mutex // guards the fields below
	closed bool
	hosts  map[hostKey]*host
	count  counters
}

// hostKey tells the connections of one server from those of another.
type hostKey struct {
	scheme  string
	address string // host:port
}

func (k hostKey) String() string { return k.scheme + "://" + k.address }

// defaultPorts lists the URL schemes that the pool serves.
var defaultPorts = map[string]string{"udt": "9000", secured: "9000", "http": "80"}

// New returns a pool that has no connection yet.
func New(cfg Config) *Pool {
	if cfg.Connections <= 0 {
		cfg.Connections = DefaultConnections
	}
	if cfg.DialTimeout <= 0 {
		cfg.DialTimeout = DefaultDialTimeout
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = DefaultIdleTimeout
	}
	if cfg.HeaderBytes <= 0 {
		cfg.HeaderBytes = DefaultHeaderBytes
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Pool{cfg: cfg, hosts: make(map[hostKey]*host), sessions: tls.NewLRUClientSessionCache(sessionsKept)}
	if cfg.Dial == nil {
		p.endpoint = newEndpoint(cfg)
		p.cfg.Dial = p.endpoint.dial
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	p.transport = &http.Transport{
		DialContext:            dialledConn,
		Protocols:              protocols,
		DisableCompression:     true,
		MaxResponseHeaderBytes: cfg.HeaderBytes,
		ReadBufferSize:         readBufferBytes,
	}
	return p
}

// RoundTrip implements http.RoundTripper.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := p.roundTrip(req)
	if err != nil && req.Body != nil {
		req.Body.Close()
	}
	return resp, err
}

func (p *Pool) roundTrip(req *http.Request) (*http.Response, error) {
	key, err := keyOf(req.URL)
	if err != nil {
		return nil, err
	}
	if !p.enter() {
		return nil, errClosed
	}
	defer p.wg.Done()

	ctx := req.Context()
	trace := httptrace.ContextClientTrace(ctx)
	repeatable := (req.Method == "" || req.Method == http.MethodGet || req.Method == http.MethodHead) &&
		(req.Body == nil || req.Body == http.NoBody)

	for fresh, reused := 0, 0; ; {
		if trace != nil && trace.GetConn != nil {
			trace.GetConn(key.address)
		}
		c, info, err := p.acquire(ctx, key)
		if err != nil {
			return nil, err
		}
		// A ClientConn does not call GotConn for HTTP/1; the pool does.
		if trace != nil && trace.GotConn != nil {
			trace.GotConn(info)
		}
		resp, answered, err := p.send(c, req)
		if err == nil {
			return resp, nil
		}
		if info.Reused {
			reused++
		} else {
			fresh++
		}
		switch {
		case p.isClosed():
			return nil, errClosed
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case answered || !repeatable || fresh >= maxFreshTries || reused > p.cfg.Connections:
			return nil, fmt.Errorf("request to %s failed on %d connections, the last time: %w", key, fresh+reused, err)
		}
		p.mu.Lock()
		p.count.retries++
		p.mu.Unlock()
		p.cfg.Logger.Debug("request is sent again over another connection", "host", key.String(), "err", err)
	}
}

// send does one request on c, which it owns. It gives c back when there is no
// body to read, and leaves that to the body otherwise. answered reports whether
// any byte of a response came.
func (p *Pool) send(c *conn, req *http.Request) (resp *http.Response, answered bool, err error) {
	// GotFirstResponseByte runs on the connection's read goroutine, possibly
	// while RoundTrip is returning for another reason.
	var got answerFlag
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotFirstResponseByte: got.set})
	resp, err = c.cc.RoundTrip(req.WithContext(ctx))
	if err != nil {
		p.retire(c, err)
		return nil, got.isSet(), err
	}
	resp.Request = req
	if resp.Body == nil || resp.Body == http.NoBody {
		p.release(c)
		return resp, true, nil
	}
	resp.Body = &body{rc: resp.Body, pool: p, conn: c}
	return resp, true, nil
}

// Warm starts to dial until n connections to the server of u, or as many as the
// pool allows, are open or on their way. It returns at once; the dials end with
// ctx. Failures are not reported: a request that needs a connection dials again.
func (p *Pool) Warm(ctx context.Context, u *url.URL, n int) {
	key, err := keyOf(u)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	h := p.hostLocked(key)
	for want := min(n, p.cfg.Connections); len(h.conns)+h.dialing < want; {
		p.startDialLocked(ctx, h)
	}
}

// Connect waits until a connection to the server of u is open that the next request
// can have, and dials if need be.
func (p *Pool) Connect(ctx context.Context, u *url.URL) error {
	key, err := keyOf(u)
	if err != nil {
		return err
	}
	if !p.enter() {
		return errClosed
	}
	defer p.wg.Done()
	c, _, err := p.acquire(ctx, key)
	if err != nil {
		return err
	}
	p.mu.Lock()
	c.requests-- // it was given none
	p.mu.Unlock()
	p.release(c)
	return nil
}

// Ask asks the servers of open connections and of later ones to send in another
// way, as udt.Endpoint.Ask.
func (p *Pool) Ask(a udt.Ask) error {
	if p.endpoint == nil {
		return fmt.Errorf("ask a server to send in another way: %w", errors.ErrUnsupported)
	}
	return p.endpoint.ask(a)
}

// CloseIdleConnections closes the connections that no request is using.
func (p *Pool) CloseIdleConnections() {
	p.mu.Lock()
	var idle []*conn
	for _, h := range p.hosts {
		idle = append(idle, h.idle...)
	}
	p.mu.Unlock()
	for _, c := range idle {
		p.retireIdle(c, errIdleClosed)
	}
}

// Close closes every connection, so that requests and bodies under way fail,
// and waits until all RoundTrip calls and dials have returned.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	var open []*conn
	for _, h := range p.hosts {
		for c := range h.conns {
			open = append(open, c)
		}
		for _, w := range h.waiters {
			w.ready <- grant{err: errClosed}
		}
		h.waiters = nil
	}
	p.mu.Unlock()
	p.cancel()
	var closing sync.WaitGroup
	for _, c := range open {
		// In parallel: a transport may take a round trip to say goodbye.
		closing.Go(func() { p.retire(c, errClosed) })
	}
	closing.Wait()
	p.wg.Wait()
	if p.endpoint != nil {
		return p.endpoint.close()
	}
	return nil
}

// enter counts a RoundTrip call, unless the pool is closed.
func (p *Pool) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Add(1)
	return true
}

func (p *Pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// errClosed is what every call on a closed pool returns.
var errClosed = fmt.Errorf("udtpool: pool is closed: %w", net.ErrClosed)

// errIdleClosed is the reason for closing connections that nobody needed.
var errIdleClosed = errors.New("idle for too long")

// keyOf returns where to connect to for u.
func keyOf(u *url.URL) (hostKey, error) {
	if u == nil {
		return hostKey{}, errors.New("udtpool: request without URL")
	}
	port, ok := defaultPorts[u.Scheme]
	if !ok {
		return hostKey{}, fmt.Errorf("udtpool: unsupported URL scheme %q", u.Scheme)
	}
	if u.Hostname() == "" {
		return hostKey{}, errors.New("udtpool: URL without host")
	}
	if p := u.Port(); p != "" {
		port = p
	}
	return hostKey{scheme: u.Scheme, address: net.JoinHostPort(u.Hostname(), port)}, nil
}
