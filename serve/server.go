package serve

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// defaultShutdownTimeout is how long responses under way may go on after the
// server was told to stop. Clients resume, so it need not be long.
const defaultShutdownTimeout = 5 * time.Second

// ServerOptions are the settings of a Server. The zero value is ready to use.
type ServerOptions struct {
	// ShutdownTimeout is how long responses under way may go on when the server
	// stops; 0 means 5 seconds, negative not at all.
	ShutdownTimeout time.Duration

	// Limits are those on connections and requests.
	Limits Limits

	// Logger gets what goes wrong with connections; nil logs nothing.
	Logger *slog.Logger
}

// A Server serves one http.Handler on any number of listeners, with limits that
// suit the open Internet. Use NewServer.
type Server struct {
	http     http.Server
	gate     *gate
	requests *requestLimiter
	shutdown time.Duration
	open     atomic.Int64   // connections
	conns    sync.WaitGroup // goroutines of connections, which belong to http
}

// NewServer returns a Server for h.
func NewServer(h http.Handler, o ServerOptions) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ShutdownTimeout == 0 {
		o.ShutdownTimeout = defaultShutdownTimeout
	}
	l := o.Limits.withDefaults()
	s := &Server{
		shutdown: max(0, o.ShutdownTimeout),
		gate:     newGate(l, o.Logger),
		requests: &requestLimiter{next: withTLSState(h), pace: newPace(l)},
	}
	if l.RequestRate > 0 {
		s.requests.rates = newRequestRates(l.RequestRate)
	}
	s.http = http.Server{
		Handler:           s.requests,
		ConnContext:       rememberConn,
		ReadHeaderTimeout: l.HeaderTime,
		IdleTimeout:       l.IdleTime,
		MaxHeaderBytes:    l.HeaderBytes,
		ErrorLog:          log.New(&errorLog{log: o.Logger}, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.open.Add(1)
				s.conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.open.Add(-1)
				s.conns.Done()
			}
		},
	}
	return s
}

// LimitStats are what the limits of a Server have done.
type LimitStats struct {
	ConnsRefused    int64 `json:"connections_refused"` // connections closed because there were too many
	ConnsSlow       int64 `json:"connections_slow"`    // connections cut off because the client was too slow
	RequestsRefused int64 `json:"requests_refused"`    // requests answered 429
}

// LimitStats returns a snapshot.
func (s *Server) LimitStats() LimitStats {
	return LimitStats{
		ConnsRefused: s.gate.refused.Load(), ConnsSlow: s.gate.slow.Load(), RequestsRefused: s.requests.limited.Load(),
	}
}

// OpenConns returns the number of open connections.
func (s *Server) OpenConns() int { return int(s.open.Load()) }

// Serve accepts connections from all listeners, which Guard has made or which
// are not limited in number and slowness, until ctx is done or one of them
// fails; it then closes all of them, waits for the responses under way as long
// as the shutdown timeout allows, and drops the rest. No request is being served
// when it returns, nil if it ended because of ctx. Call it once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() {
			// Shutdown makes it return, and the loop below waits for that.
			err := s.http.Serve(l)
			if errors.Is(err, http.ErrServerClosed) {
				err = nil
			} else {
				err = fmt.Errorf("serve on %s %s: %w", l.Addr().Network(), l.Addr(), err)
			}
			ended <- err
		}()
	}
	var failed error
	running := len(listeners)
	select {
	case <-ctx.Done():
	case failed = <-ended:
		running--
	}
	// ctx is done, but what it asked for takes its time.
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.shutdown)
	defer cancel()
	if err := s.http.Shutdown(bound); err != nil {
		// What is left is dropped; its clients see the connection break.
		s.http.Close()
	}
	for range running {
		failed = errors.Join(failed, <-ended)
	}
	// The last thing that a connection's goroutine does is to report it closed.
	s.conns.Wait()
	return failed
}
