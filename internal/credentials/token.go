package credentials

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"path"
	"strings"
)

// A grant is one line of a token file: TOKEN [PREFIX].
type grant struct {
	digest [sha256.Size]byte // of the token
	prefix string            // of URL paths, "/" for all of them; without a slash at the end otherwise
}

// What is wrong with token files, of servers and of clients.
var (
	errNoToken = errors.New("no token in it")
	errToken   = errors.New("a token consists of letters, digits and -._~+/ and perhaps = at the end")
)

// parseTokens reads a token file of a server: one token a line, perhaps followed
// by the prefix of the paths that it opens, perhaps by a comment.
func parseTokens(data []byte) (grants []grant, err error) {
	for n, line := range lines(data) {
		token, prefix, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		grants = append(grants, grant{sha256.Sum256([]byte(token)), prefix})
	}
	if len(grants) == 0 {
		return nil, errNoToken
	}
	return grants, nil
}

// lines yields the number and the fields of each line that has any, without
// comments: what follows a field that begins with #.
func lines(data []byte) func(func(int, []string) bool) {
	return func(yield func(int, []string) bool) {
		n := 0
		for line := range strings.Lines(string(data)) {
			n++
			fields := strings.Fields(line)
			for i, f := range fields {
				if strings.HasPrefix(f, "#") {
					fields = fields[:i]
					break
				}
			}
			if len(fields) > 0 && !yield(n, fields) {
				return
			}
		}
	}
}

func parseLine(fields []string) (token, prefix string, err error) {
	token, prefix = fields[0], "/"
	switch {
	case len(fields) > 2:
		return "", "", errors.New("more than a token and a path prefix; comments begin with #")
	case !validToken(token):
		return "", "", errToken
	case len(fields) == 2:
		prefix = fields[1]
		if !strings.HasPrefix(prefix, "/") {
			return "", "", errors.New("a path prefix begins with /")
		}
		if clean := path.Clean(prefix); prefix != "/" && strings.TrimSuffix(prefix, "/") != clean {
			return "", "", errors.New("a path prefix has no empty, . or .. elements")
		}
		if prefix != "/" {
			prefix = strings.TrimSuffix(prefix, "/")
		}
	}
	return token, prefix, nil
}

// validToken reports whether s can be sent as a Bearer token (RFC 6750, section
// 2.1).
func validToken(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") == ""
}

// A Verdict is what a token is good for.
type Verdict int

const (
	Unknown   Verdict = iota // no such token
	Elsewhere                // it opens other paths
	Granted
)

// check compares token with all grants, in a time that does not depend on which
// of them matches or how far. A path is as in a URL, decoded.
func check(grants []grant, token, urlPath string) (v Verdict) {
	digest := sha256.Sum256([]byte(token))
	for i := range grants {
		g := &grants[i]
		if subtle.ConstantTimeCompare(g.digest[:], digest[:]) != 1 {
			continue
		}
		if g.opens(urlPath) {
			v = Granted
		} else {
			v = max(v, Elsewhere)
		}
	}
	return v
}

// opens reports whether urlPath is at or below the prefix. A path with elements
// that name nothing is below none but the root.
func (g *grant) opens(urlPath string) bool {
	if g.prefix == "/" {
		return true
	}
	if clean := path.Clean(urlPath); clean != urlPath && clean+"/" != urlPath {
		return false
	}
	rest, ok := strings.CutPrefix(urlPath, g.prefix)
	return ok && (rest == "" || rest[0] == '/')
}
