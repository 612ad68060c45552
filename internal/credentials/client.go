package credentials

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// ClientTokens is what a client's token file holds: either one token, for the server
// that the user means, or tokens by origin.
type ClientTokens struct {
	One string            // "" if the file says for whom each token is
	By  map[string]string // scheme://host:port, in lower case → token
}

// ParseClientTokens reads a client's token file. Its lines are of the form ORIGIN TOKEN,
// where ORIGIN is scheme://host[:port] or host[:port], or else its first token is the
// one: then the file may as well be one of a server, TOKEN [PREFIX].
//
// ports are the known schemes with their default ports. An origin without a scheme stands
// for that host and port with each of them. No error repeats what is in the file.
func ParseClientTokens(data []byte, ports map[string]string) (*ClientTokens, error) {
	t := new(ClientTokens)
	from := make(map[string]int) // the line of each origin
	for n, line := range lines(data) {
		if len(line) != 2 || !isOrigin(line) {
			if err := t.addOne(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			continue
		}
		if t.One != "" {
			return nil, fmt.Errorf("line %d: %w", n, errMixed)
		}
		origins, err := parseOrigin(line[0], ports)
		if err == nil && !validToken(line[1]) {
			err = errToken
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		for _, o := range origins {
			if before := from[o]; before != 0 {
				return nil, fmt.Errorf("line %d: a second token for the origin of line %d", n, before)
			}
			from[o] = n
			if t.By == nil {
				t.By = make(map[string]string)
			}
			t.By[o] = line[1]
		}
	}
	if t.One == "" && t.By == nil {
		return nil, errNoToken
	}
	return t, nil
}

var errMixed = errors.New("the file has tokens with their origins and others without: write ORIGIN TOKEN in each line, or one token")

// addOne adds a line without an origin. After the first such line others are for nobody.
func (t *ClientTokens) addOne(line []string) error {
	if t.By != nil {
		if _, _, err := parseLine(line); err != nil {
			return fmt.Errorf("neither ORIGIN TOKEN nor a token: %w", err)
		}
		return errMixed
	}
	if t.One != "" {
		return nil
	}
	token, _, err := parseLine(line)
	t.One = token
	return err
}

// isOrigin tells ORIGIN TOKEN from TOKEN PREFIX. No token has a colon, and no path prefix
// is without its slash.
func isOrigin(line []string) bool {
	return strings.Contains(line[0], ":") || !strings.HasPrefix(line[1], "/")
}

// parseOrigin returns the origins that s stands for.
func parseOrigin(s string, ports map[string]string) ([]string, error) {
	schemes := ports
	if scheme, _, ok := strings.Cut(s, "://"); ok {
		port, known := ports[strings.ToLower(scheme)]
		if !known {
			return nil, errors.New("the scheme of the origin is not known")
		}
		schemes = map[string]string{strings.ToLower(scheme): port}
	} else {
		s = "//" + s
	}
	u, err := url.Parse(s)
	bad := errors.New("an origin is scheme://host[:port] or host[:port], without anything behind it")
	if err != nil || u.User != nil || u.Opaque != "" || u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#") {
		return nil, bad
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if !validHost(host) || strings.HasSuffix(u.Host, ":") || strings.HasPrefix(u.Host, "[") != strings.Contains(host, ":") {
		return nil, bad
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0 || strconv.FormatUint(n, 10) != port) {
		return nil, errors.New("the port of the origin is none")
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	var origins []string
	for scheme, standard := range schemes {
		at := port
		if at == "" {
			at = standard
		}
		origins = append(origins, scheme+"://"+host+":"+at)
	}
	return origins, nil
}

// validHost reports whether s is a name or an address as they are in URLs. A pattern is
// none: a token goes to the one server that it is for.
func validHost(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-._:") == ""
}
