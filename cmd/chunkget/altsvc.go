package main

import (
	"net"
	"strconv"
	"strings"
)

// alternativePort returns the port at which a server offers the same by a protocol,
// udt or udts, by the Alt-Svc fields of an answer (RFC 7838, section 3):
//
//	Alt-Svc     = clear / 1#alt-value
//	alt-value   = protocol-id "=" <"> [ host ] ":" port <"> *( OWS ";" OWS parameter )
//
// Another host is no alternative here: nothing would prove that it is the server.
func alternativePort(fields []string, protocol string) (port string, ok bool) {
	for _, f := range fields {
		for f != "" {
			var alternative string
			alternative, f = cutList(f)
			alternative, _, _ = strings.Cut(alternative, ";")
			id, authority, found := strings.Cut(strings.TrimSpace(alternative), "=")
			if !found || id != protocol || len(authority) < 2 || authority[0] != '"' || authority[len(authority)-1] != '"' {
				continue
			}
			host, port, err := net.SplitHostPort(authority[1 : len(authority)-1])
			if n, nerr := strconv.ParseUint(port, 10, 16); err == nil && nerr == nil && host == "" && n > 0 {
				return strconv.FormatUint(n, 10), true
			}
		}
	}
	return "", false
}

// cutList splits the first element off a list (RFC 9110, section 5.6.1), whose
// quoted strings may hold commas.
func cutList(s string) (first, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case quoted && s[i] == '\\':
			i++
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
