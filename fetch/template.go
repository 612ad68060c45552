package fetch

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/chunkget/chunkget/segment"
)

// partRelation is the relation of a Link-Template that makes the URL of a part;
// package serve specifies it.
const partRelation = "https://github.com/chunkget/chunkget#part"

// maxTemplate is the longest template that is taken for one, in bytes.
const maxTemplate = 8 << 10

// partTemplate makes URLs of parts of a file.
type partTemplate struct {
	base     *url.URL
	template string
}

// partLink returns the template that the answer offers for parts of the file, if
// they are of the same origin as the answer itself.
func partLink(resp *http.Response) *partTemplate {
	for _, v := range resp.Header.Values("Link-Template") {
		for _, l := range parseLinkTemplates(v) {
			if l.params["rel"] != partRelation || len(l.target) > maxTemplate {
				continue
			}
			t := &partTemplate{resp.Request.URL, l.target}
			if u := t.url(segment.Range{Start: 0, End: 1}); u != nil && sameOrigin(u, t.base) {
				return t
			}
		}
	}
	return nil
}

// url returns the URL of the part r, or nil if the template has anything but one
// each of the expressions {first} and {last} (RFC 6570, level 1).
func (t *partTemplate) url(r segment.Range) *url.URL {
	if strings.Count(t.template, "{first}") != 1 || strings.Count(t.template, "{last}") != 1 || strings.Count(t.template, "{") != 2 || strings.Count(t.template, "}") != 2 {
		return nil
	}
	u, err := t.base.Parse(strings.NewReplacer(
		"{first}", strconv.FormatInt(r.Start, 10), "{last}", strconv.FormatInt(r.End-1, 10)).Replace(t.template))
	if err != nil {
		return nil
	}
	return withoutFragment(u)
}

// parseLinkTemplates parses the value of a Link-Template field (RFC 9652), a list
// of strings with parameters (RFC 9651). It stops at the first member that is
// malformed and returns those before it.
func parseLinkTemplates(s string) (links []link) {
	for {
		s = strings.TrimLeft(s, " \t,")
		if !strings.HasPrefix(s, `"`) {
			return links
		}
		// A string has the form of the value of a parameter of Link.
		_, target, rest, ok := parseLinkParam("template=" + s)
		if !ok {
			return links
		}
		l := link{target: target, params: map[string]string{}}
		s = rest
		for strings.HasPrefix(s, ";") {
			var name, value string
			name, value, s, ok = parseLinkParam(s[1:])
			if !ok {
				return links
			}
			l.params[name] = value
		}
		if s != "" && s[0] != ',' {
			return links
		}
		links = append(links, l)
	}
}
