package fetch

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// A finalError is one that another try would not change.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// redirectsError is one redirect more than one request follows. Another try would not
// change it.
type redirectsError struct{ most int }

func (e *redirectsError) Error() string {
	switch e.most {
	case 0:
		return "the server redirects, and no redirect is followed"
	case 1:
		return "more than 1 redirect"
	}
	return fmt.Sprintf("more than %d redirects", e.most)
}

// checkRedirect lets no redirect leave encryption, and keeps what the user
// wants to tell one server from another.
func (c *client) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > c.maxRedirects {
		return &redirectsError{c.maxRedirects}
	}
	if secure(via[len(via)-1].URL.Scheme) && !secure(req.URL.Scheme) {
		return &finalError{fmt.Errorf("redirect from %s to %s, which is not encrypted", via[len(via)-1].URL.Scheme, redact(req.URL))}
	}
	req.Header.Del("Referer")
	// Once another origin has been seen, nothing is restored, even if a later
	// redirect leads back.
	for _, v := range append(via, req) {
		if !sameOrigin(v.URL, c.url) {
			for k := range c.header {
				delete(req.Header, k) // as it was set, in whatever case
			}
			req.Header.Del("Authorization")
			req.Header.Del("Cookie")
			break
		}
	}
	return nil
}

func secure(scheme string) bool { return scheme == "https" || scheme == "udts" }

// sameOrigin compares scheme, host and port (RFC 6454), ports as written.
func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Host, b.Host)
}

// strayed reports whether the redirects that led to req went through another
// origin.
func strayed(req *http.Request) bool {
	for r := req; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		if !sameOrigin(r.Response.Request.URL, req.URL) {
			return true
		}
	}
	return false
}

// forOffered returns the client for what the answer r offers beside itself. If
// another origin was on the way to r, it tells nothing of what the user has given
// for the origin of the URL, even if that is where the offer leads back to.
func (c *client) forOffered(r *remote) *client {
	if !r.strayed {
		return c
	}
	bare := *c
	bare.header = nil
	return &bare
}

// takeUser moves user information from a URL into the header, where it is dropped
// like everything else that is meant for one origin.
func takeUser(u *url.URL, header http.Header) http.Header {
	if u.User == nil {
		return header
	}
	if header = header.Clone(); header == nil {
		header = http.Header{}
	}
	if header.Get("Authorization") == "" {
		password, _ := u.User.Password()
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	u.User = nil
	return header
}
