package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/chunkget/chunkget/internal/connstats"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
)

// transports carries requests of every scheme. It is the only place that knows
// which scheme travels over what.
type transports struct {
	udt   *udtpool.Pool
	tcp   *http.Transport
	trust *trust
	limit *readLimit // nil = none
	route *routes

	dialTimeout time.Duration // for a connection over TCP and the TLS handshake
	dial        func(ctx context.Context, network, address string) (net.Conn, error)
}

// newTransports makes room for n requests for data at a time and one more for
// the hash tree, so that pieces can be checked while data flows.
//
// The header of an answer may have maxHeader bytes, over whatever it comes. Servers are
// asked to send as ask says; u shows what they refuse. The connections are added to
// conns. trust says which servers are believed.
func newTransports(n int, dialTimeout time.Duration, maxHeader int64, trust *trust, ask udt.Ask, paths *pathMemory, u *ui, log *slog.Logger, conns *observation) *transports {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: dialTimeout}
	trips := &tripTimes{least: make(map[string]time.Duration)}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		begun := time.Now()
		c, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		trips.add(address, cmp.Or(kernelTrip(c), time.Since(begun)))
		return conns.add(c), nil
	}
	shared := trust.config("")
	shared.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	t := &transports{
		trust:       trust,
		dialTimeout: dialTimeout,
		dial:        dialer.DialContext,
		udt: udtpool.New(udtpool.Config{
			Connections: n + 1,
			DialTimeout: dialTimeout,
			HeaderBytes: maxHeader,
			Ask:         ask,
			OnAnswer:    answerNotes(u),
			TLS:         trust.overUDT,
			Path:        paths.path,
			Opened:      func(c net.Conn) { conns.add(c) },
			Logger:      log,
		}),
		tcp: &http.Transport{
			Proxy:       http.ProxyFromEnvironment,
			DialContext: dial,
			// HTTP/2 would put all requests on one connection, and n segments
			// would be one flow.
			Protocols:              protocols,
			MaxConnsPerHost:        n + 1,
			MaxIdleConnsPerHost:    n + 1,
			IdleConnTimeout:        udtpool.DefaultIdleTimeout,
			TLSHandshakeTimeout:    dialTimeout,
			TLSClientConfig:        shared,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
			ReadBufferSize:         64 << 10,
		},
	}
	t.route = newRoutes(transportAuto, t.udt, t.reach, func(c *contest) time.Duration {
		return trips.shortest(c.overTCP, t.minRTT(c.address))
	}, trust, paths, u.note)
	return t
}

// tripTimes are the shortest round trips of connections over TCP, by host:port: as the
// kernel tells, else the time to connect. Kernels answer by themselves, so busy processors
// do not make a short path a long one, as they do over UDT.
type tripTimes struct {
	mu    sync.Mutex
	least map[string]time.Duration
}

// kernelTrip is the round trip of a new connection as the kernel tells, 0 if it does not.
func kernelTrip(c net.Conn) time.Duration {
	if c, ok := c.(*net.TCPConn); ok {
		return connstats.TCP(c, connstats.Receiving).Stats().Path.MinRTT
	}
	return 0
}

func (t *tripTimes) add(address string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if was := t.least[address]; was == 0 || d < was {
		t.least[address] = d
	}
}

// shortest returns the time for address, or another one if that is known and shorter.
func (t *tripTimes) shortest(address string, other time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.least[address]
	if d == 0 || other > 0 && other < d {
		return other
	}
	return d
}

func (t *transports) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.limit != nil && req.Body != nil && req.Body != http.NoBody {
		body := t.limit.body(req.Context(), req.Body)
		req = req.WithContext(req.Context())
		req.Body = body
	}
	resp, err := t.roundTrip(req)
	if err == nil {
		resp.Body = t.limit.body(req.Context(), resp.Body)
	}
	return resp, err
}

func (t *transports) roundTrip(req *http.Request) (*http.Response, error) {
	switch req.URL.Scheme {
	case "udt", "udts":
		return t.overEither(req)
	case "https":
		return t.fromTCP(t.trust.overTCP(origin(req.URL), t.tcp), req)
	case "http":
		return t.fromTCP(t.tcp, req)
	}
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, fmt.Errorf("unknown scheme %q: %w", req.URL.Scheme, errors.ErrUnsupported)
}

// overEither makes a request to a udt:// or udts:// server over what was chosen for
// it. The port of TCP has the same key.
func (t *transports) overEither(req *http.Request) (*http.Response, error) {
	t.route.confide(req)
	c, err := t.route.choose(req.Context(), req.URL)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	if c.overTCP {
		resp, err := t.overTCP(req)
		if err != nil {
			t.route.reconsider(req.URL, c, err)
		}
		return resp, err
	}
	if t.route.confides(req.URL) {
		resp, err := t.overUDT(c.passage, req)
		if err != nil {
			t.route.reconsider(req.URL, c, err)
			return nil, err
		}
		resp.Request = req
		return resp, nil
	}
	f := t.route.takeOff(req)
	if f.way == wayTCP {
		return f.landed(t.overTCP(req))
	}
	resp, err := t.overUDT(c.passage, req)
	if err != nil {
		t.route.reconsider(req.URL, c, err)
		return f.landed(nil, err)
	}
	resp.Request = req
	if !proxied(t.inPlace(req.URL), via(req, inPlaceOf[req.URL.Scheme], hostPort(req.URL))) {
		t.route.rival(req.URL, resp, func(ctx context.Context, etag string) error { return t.sameOverTCP(ctx, req, etag) })
	}
	return f.landed(resp, nil)
}

// overTCP makes a request to a udt:// or udts:// server over TCP. All such requests come
// this way.
func (t *transports) overTCP(req *http.Request) (*http.Response, error) {
	if t.route.confides(req.URL) {
		if err := t.vouch(req.Context(), req.URL); err != nil {
			if req.Body != nil {
				req.Body.Close()
			}
			return nil, err
		}
	}
	resp, err := t.inPlace(req.URL).RoundTrip(via(req, inPlaceOf[req.URL.Scheme], hostPort(req.URL)))
	if err == nil {
		resp.Request = req // the address that links and redirects are relative to
	}
	return resp, err
}

// sameOverTCP returns nil if what a udt:// or udts:// server has answered to req is also to
// be had over TCP, by its ETag: at the TCP port may be something else.
func (t *transports) sameOverTCP(ctx context.Context, req *http.Request, etag string) error {
	ctx, cancel := context.WithTimeout(ctx, t.dialTimeout)
	defer cancel()
	head := req.Clone(ctx)
	head.Method = http.MethodHead
	head.Header.Del("Range")
	head.Header.Del("If-Range")
	resp, err := t.overTCP(head)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Etag") != etag {
		return errors.New("the file is another one over TCP")
	}
	return nil
}

// inPlace is what carries requests to a server over TCP.
func (t *transports) inPlace(u *url.URL) *http.Transport {
	if encrypted(u) {
		return t.trust.overTCP(origin(u), t.tcp)
	}
	return t.tcp
}

// reach returns whether a server can be reached over TCP. With TLS the handshake
// belongs to it, as it does over UDT, so that neither side of a race has less to do.
// Through a proxy it takes an answer of the server to know.
func (t *transports) reach(ctx context.Context, u *url.URL) error {
	if t.route.confides(u) {
		return t.vouch(ctx, u)
	}
	ctx, cancel := context.WithTimeout(ctx, t.dialTimeout)
	defer cancel()
	root := url.URL{Scheme: cmp.Or(inPlaceOf[u.Scheme], u.Scheme), Host: hostPort(u), Path: "/"}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, root.String(), nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	if tcp := t.inPlace(u); proxied(tcp, req) {
		resp, err := tcp.RoundTrip(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		return refusedByProxy(resp.StatusCode)
	}
	c, err := t.dial(ctx, "tcp", root.Host)
	if err != nil {
		return err
	}
	defer c.Close()
	if !encrypted(u) {
		return nil
	}
	return handshake(ctx, c, u, t.trust)
}

// fromTCP makes a request to a server of TCP, over UDT if it offers that, else over
// tcp.
func (t *transports) fromTCP(tcp *http.Transport, req *http.Request) (*http.Response, error) {
	f := t.route.takeOff(req)
	if f.way == wayUDT {
		p := f.of.passage
		resp, err := t.overUDT(p, via(req, p.over.Scheme, p.over.Host))
		if err == nil {
			resp.Request = req
		}
		return f.landed(resp, err)
	}
	resp, err := tcp.RoundTrip(req)
	if err == nil && !proxied(tcp, req) {
		t.route.offered(req.URL, resp.Header)
	}
	return f.landed(resp, err)
}

// proxied reports whether requests like req go through a proxy.
func proxied(tcp *http.Transport, req *http.Request) bool {
	if tcp.Proxy == nil {
		return false
	}
	u, err := tcp.Proxy(req)
	return u != nil || err != nil
}

// refusedByProxy returns the error that an answer of the proxy itself means, as far
// as it can be told from one of the server.
func refusedByProxy(status int) error {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return errors.New("the answer is " + strconv.Quote(fmt.Sprintf("%d %s", status, http.StatusText(status))))
	}
	return nil
}

// warm dials ahead where UDT is what the first request will try.
func (t *transports) warm(ctx context.Context, u *url.URL, n int) {
	if udtAddress(u) != "" && t.route.mode != transportTCP {
		t.udt.Warm(ctx, u, n)
	}
}

// minRTT is the shortest round trip to a server, host:port, that open UDT
// connections have seen, 0 if there are none.
func (t *transports) minRTT(address string) (least time.Duration) {
	for _, s := range t.udt.Stats().Conns {
		c, ok := s.Conn.(*udt.Conn)
		if !ok || s.Host != "udt://"+address && s.Host != "udts://"+address {
			continue
		}
		if r := c.Stats().MinRTT; r > 0 && (least == 0 || r < least) {
			least = r
		}
	}
	return least
}

// Close closes all connections.
func (t *transports) Close() error {
	t.route.close()
	t.tcp.CloseIdleConnections()
	t.trust.close()
	return t.udt.Close()
}
