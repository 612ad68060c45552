package fetch

import (
	"iter"
	"net/http"
	"slices"
	"strings"
)

// link is one link of a Link field (RFC 8288).
type link struct {
	target string            // as written, may be relative
	params map[string]string // names in lower case, the first of each name
}

// links returns the links of an answer that are about what was asked for.
func links(resp *http.Response) iter.Seq[link] {
	return func(yield func(link) bool) {
		for _, v := range resp.Header.Values("Link") {
			for _, l := range parseLinks(v) {
				if _, other := l.params["anchor"]; !other && !yield(l) {
					return
				}
			}
		}
	}
}

// hasRelation reports whether l has a relation: rel is a list of them (RFC 8288,
// section 3.3).
func (l link) hasRelation(want string) bool {
	return slices.ContainsFunc(strings.Fields(l.params["rel"]), func(r string) bool { return strings.EqualFold(r, want) })
}

// describes reports whether l leads to a description of that media type.
func (l link) describes(mediaType string) bool {
	return l.hasRelation("describedby") && strings.EqualFold(l.params["type"], mediaType)
}

// parseLinks parses the value of a Link field. It stops at the first link that
// is malformed and returns those before it.
func parseLinks(s string) (links []link) {
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" || s[0] != '<' {
			return links
		}
		target, rest, ok := strings.Cut(s[1:], ">")
		if !ok {
			return links
		}
		l := link{target: target, params: map[string]string{}}
		s = strings.TrimLeft(rest, " \t")
		for strings.HasPrefix(s, ";") {
			var name, value string
			name, value, s, ok = parseLinkParam(s[1:])
			if !ok {
				return links
			}
			if _, dup := l.params[name]; !dup && name != "" {
				l.params[name] = value
			}
		}
		if s != "" && s[0] != ',' {
			return links
		}
		links = append(links, l)
	}
}

// parseLinkParam parses name, name=token or name="string" and what follows it.
func parseLinkParam(s string) (name, value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	i := strings.IndexAny(s, "=;,")
	if i < 0 {
		i = len(s)
	}
	name = strings.ToLower(strings.TrimRight(s[:i], " \t"))
	s = s[i:]
	if !strings.HasPrefix(s, "=") {
		return name, "", s, true
	}
	s = strings.TrimLeft(s[1:], " \t")
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ";, \t")
		if i < 0 {
			i = len(s)
		}
		return name, s[:i], strings.TrimLeft(s[i:], " \t"), true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
			if i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			return name, b.String(), strings.TrimLeft(s[i+1:], " \t"), true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", "", false
}
