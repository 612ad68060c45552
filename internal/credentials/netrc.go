package credentials

import (
	"fmt"
	"strings"
)

// Login is a name with a password.
type Login struct{ User, Password string }

// Netrc returns what a .netrc file has for exactly this host, nil if it has
// nothing. The entry "default" is not used: it would tell a password to any
// server. A file that others can read is an error only if it is needed.
func Netrc(path, host string) (*Login, error) {
	c, err := read(path)
	if err != nil {
		return nil, err
	}
	l, err := parseNetrc(string(c.data), host)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	if l == nil {
		return nil, nil
	}
	if err := checkMode(path, c.mode); err != nil {
		return nil, err
	}
	return l, nil
}

// parseNetrc looks for the first entry of host. The format is that of ftp(1):
// words, of which machine begins an entry, and macdef a text up to an empty line.
// As curl does, it takes words in double quotes with \ before quotes, and lines
// that begin with # for comments.
func parseNetrc(s, host string) (*Login, error) {
	p := netrcParser{rest: s}
	var found *Login
	for {
		word, ok, err := p.next()
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return found, nil
		}
		switch word {
		case "machine":
			if found != nil {
				return found, nil
			}
			name, err := p.value("machine")
			if err != nil {
				return nil, err
			}
			if strings.EqualFold(name, host) {
				found = new(Login)
			}
		case "default":
			return found, nil // nothing that follows it is looked at by anybody
		case "login", "password", "account":
			v, err := p.value(word)
			if err != nil {
				return nil, err
			}
			switch {
			case found == nil:
			case word == "login":
				found.User = v
			case word == "password":
				found.Password = v
			}
		case "macdef":
			p.skipMacro()
		default:
			return nil, fmt.Errorf("line %d: not a word of such files", p.line())
		}
	}
}

type netrcParser struct {
	rest string
	read int // line breaks so far
}

func (p *netrcParser) line() int { return p.read + 1 }

// advance drops n bytes.
func (p *netrcParser) advance(n int) {
	p.read += strings.Count(p.rest[:n], "\n")
	p.rest = p.rest[n:]
}

const netrcSpace = " \t\r\n"

// next returns the next word.
func (p *netrcParser) next() (word string, ok bool, err error) {
	for {
		p.advance(len(p.rest) - len(strings.TrimLeft(p.rest, netrcSpace)))
		if !strings.HasPrefix(p.rest, "#") {
			break
		}
		end := strings.IndexByte(p.rest, '\n')
		if end < 0 {
			end = len(p.rest)
		}
		p.advance(end)
	}
	if p.rest == "" {
		return "", false, nil
	}
	return p.word()
}

// word reads a word that begins here, also one with a # at its beginning, as a
// password may have.
func (p *netrcParser) word() (word string, ok bool, err error) {
	if !strings.HasPrefix(p.rest, `"`) {
		end := strings.IndexAny(p.rest, netrcSpace)
		if end < 0 {
			end = len(p.rest)
		}
		word = p.rest[:end]
		p.advance(end)
		return word, true, nil
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.advance(i + 1)
			return b.String(), true, nil
		case '\n':
			return "", false, fmt.Errorf("line %d: a quote without its end", p.line())
		case '\\':
			if i++; i < len(p.rest) {
				b.WriteByte(p.rest[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", false, fmt.Errorf("line %d: a quote without its end", p.line())
}

// value returns the word that belongs to a keyword.
func (p *netrcParser) value(keyword string) (string, error) {
	p.advance(len(p.rest) - len(strings.TrimLeft(p.rest, netrcSpace)))
	if p.rest == "" {
		return "", fmt.Errorf("line %d: nothing after %s", p.line(), keyword)
	}
	v, _, err := p.word()
	return v, err
}

// skipMacro skips up to the end of a line that is empty.
func (p *netrcParser) skipMacro() {
	if i := strings.Index(p.rest, "\n\n"); i >= 0 {
		p.advance(i + 2)
		return
	}
	p.advance(len(p.rest))
}
