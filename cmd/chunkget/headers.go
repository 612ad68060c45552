package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/chunkget/chunkget/fetch"
	"golang.org/x/net/http/httpguts"
)

// ownHeaders are the request fields that chunkget sets by itself, or that belong
// to the connection: another value would break the transfer.
var ownHeaders = []string{"Accept-Encoding", "Connection", "Content-Length", "If-Range", "Keep-Alive", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// requestHeader builds the fields of --header and --user-agent. The errors repeat
// no value, which may be a secret.
func requestHeader(fields []string, userAgent string) (http.Header, error) {
	h := make(http.Header)
	for _, f := range fields {
		name, value, ok := strings.Cut(f, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok || !httpguts.ValidHeaderFieldName(name):
			return nil, &usageError{"--header is not of the form 'Name: value'", "for example: --header 'Cookie: a=b'"}
		case !httpguts.ValidHeaderFieldValue(value):
			return nil, &usageError{fmt.Sprintf("--header %s has a value with control characters", quote(name)), ""}
		case slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)):
			return nil, &usageError{fmt.Sprintf("--header %s cannot be set: chunkget needs it for the transfer itself", quote(name)), ""}
		}
		h.Add(name, value)
	}
	if userAgent != "" {
		if !httpguts.ValidHeaderFieldValue(userAgent) {
			return nil, &usageError{"--user-agent has control characters", ""}
		}
		h.Set("User-Agent", userAgent)
	}
	return h, nil
}

// parseProxy reads the URL of --proxy. Its errors repeat no password.
func parseProxy(s string) (*url.URL, error) {
	if s == "" {
		return nil, nil
	}
	u, err := url.Parse(s)
	const hint = "a proxy looks like http://host:3128 or socks5://host:1080"
	switch {
	case err != nil:
		return nil, &usageError{"--proxy is no URL", hint}
	case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) || u.Hostname() == "":
		return nil, &usageError{fmt.Sprintf("--proxy %s cannot be used", quote(u.Redacted())), hint}
	}
	return u, nil
}

// What stands for what is not repeated: of headers and passwords, and of queries
// (fetch.RedactQuery).
const (
	hidden        = "xxxxx"
	hiddenInQuery = "REDACTED"
)

// redact hides, in a command line to show, passwords and other secrets in URLs and
// the values of headers.
func redact(args []string) []string {
	out := make([]string, len(args))
	inHeader := false
	for i, a := range args {
		flag, value, joined := "", a, false
		if f, v, ok := strings.Cut(a, "="); ok && strings.HasPrefix(a, "--") {
			flag, value, joined = f, v, true
		}
		switch {
		case inHeader || joined && flag == "--header":
			name, _, _ := strings.Cut(value, ":")
			value = name + ": " + hidden
		default:
			if u, err := url.Parse(value); err == nil && u.Host != "" {
				query := fetch.RedactQuery(u.RawQuery)
				if u.User != nil || query != u.RawQuery {
					u.RawQuery = query
					value = u.Redacted()
				}
			}
		}
		inHeader = !inHeader && a == "--header"
		if joined {
			value = flag + "=" + value
		}
		out[i] = value
	}
	return out
}
