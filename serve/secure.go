package serve

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

// An encrypted connection may be one of TLS and is no *tls.Conn, since it carries
// plain text as well. It tells which, nil for plain text.
type encrypted interface {
	net.Conn
	State() *tls.ConnectionState
}

type connKey struct{}

// rememberConn is the ConnContext of a Server.
func rememberConn(ctx context.Context, c net.Conn) context.Context {
	if e, ok := c.(encrypted); ok {
		return context.WithValue(ctx, connKey{}, e)
	}
	return ctx
}

// withTLSState gives requests the field TLS that an http.Server only knows of a
// *tls.Conn.
func withTLSState(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e, ok := r.Context().Value(connKey{}).(encrypted); ok && r.TLS == nil {
			r.TLS = e.State()
		}
		h.ServeHTTP(w, r)
	})
}
