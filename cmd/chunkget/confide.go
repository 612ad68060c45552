package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/chunkget/chunkget/fetch"
)

// At the TCP port of a udt:// server there may be somebody else, and without TLS nobody
// proves who he is. Tokens, logins, cookies and the like are for the server of the URL, so
// where requests have any, TCP is no rival of UDT, but only a way for when UDT does not get
// through; and it is that only after the server there has said, in an answer to a request
// without any, that it speaks UDT at the port of the URL, as chunkserve does. Another
// service that happens to be there does not; nor does another chunkserve, whose UDT is
// elsewhere, or a proxy before one. So behind a mapping of ports, where the server knows
// its port by another number, it takes --transport tcp. Whoever lies gets them; so does
// everybody on the way.

// confide takes note if req tells a udt:// server secrets. With --transport tcp the user
// has said where they are to go.
func (r *routes) confide(req *http.Request) {
	if r.mode != transportAuto || req.URL.Scheme != "udt" || !fetch.Confides(req) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.confided[origin(req.URL)] = true
}

// confides reports whether the server of u is told secrets over plain UDT.
func (r *routes) confides(u *url.URL) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.confided[origin(u)]
}

// vouch returns nil once what is at the TCP port of a udt:// server has said that it
// speaks UDT at the same port. It is told nothing but the port.
func (t *transports) vouch(ctx context.Context, u *url.URL) error {
	r, key := t.route, origin(u)
	r.mu.Lock()
	known := r.vouched[key]
	r.mu.Unlock()
	if known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.dialTimeout)
	defer cancel()
	root := url.URL{Scheme: inPlaceOf[u.Scheme], Host: hostPort(u), Path: "/"}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, root.String(), nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := t.inPlace(u).RoundTrip(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if err := refusedByProxy(resp.StatusCode); err != nil && proxied(t.inPlace(u), req) {
		return err
	}
	if port, ok := alternativePort(resp.Header.Values("Alt-Svc"), u.Scheme); !ok || port != portOf(root.Host) {
		return &strangerError{portOf(root.Host)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.vouched[key] = true
	return nil
}

// A strangerError says that no secrets are told to what is at a TCP port.
type strangerError struct{ port string }

func (e *strangerError) Error() string {
	return fmt.Sprintf("what is at TCP port %s does not say that it is the same server, so no token, login, cookie or header is sent there (--transport tcp sends them)", e.port)
}

func isStranger(err error) bool {
	_, ok := errors.AsType[*strangerError](err)
	return ok
}
