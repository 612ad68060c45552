package fetch

import (
	"cmp"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/chunkget/chunkget/internal/printable"
)

// secrets is what requests tell a server and nobody else may read. Servers repeat
// requests in what they say of a refusal, and that is shown, logged and passed on in
// events. A server that wants to hide what it repeats can, since it knows the secret
// anyway; this is about those that do not think of it. Where a server's words are by
// themselves, all that was sent is hidden in them; see [Veil] for the rest.
type secrets []string

const (
	// A secret shorter than this counts only where it is a word by itself, or a
	// version number in the query would take the digits out of every text.
	shortSecret = 8
	// As much of the beginning of a longer one counts as all of it: a text may have
	// been cut.
	longSecret = 16
	// A text that repeats another one which does, say, encodes twice.
	maxEncoded = 3

	// A URL with more parameters is no request for a file. Servers choose those of
	// redirects, and looking for each of a great many takes for ever.
	maxParameters = 256
)

// everything, as a secret, has all of a text hidden.
const everything = ""

// ofRequests returns s with what req and those that were redirected to it say.
func (s secrets) ofRequests(req *http.Request) secrets {
	out := slices.Clone(s)
	for req != nil {
		out = out.ofURL(req.URL).ofHeader(req.Header)
		if req.Response == nil {
			break
		}
		req = req.Response.Request
	}
	return out
}

// ofURL returns s with user information and query of u. Names of parameters say what
// a secret is, and are none.
func (s secrets) ofURL(u *url.URL) secrets {
	if u == nil {
		return s
	}
	if u.User != nil {
		password, _ := u.User.Password()
		s = s.add(u.User.Username(), password)
		for part := range strings.SplitSeq(u.User.String(), ":") { // as it is written
			s = s.add(part)
		}
	}
	if strings.Count(u.RawQuery, "&")+strings.Count(u.RawQuery, ";") >= maxParameters {
		return append(s, everything)
	}
	for param := range strings.FieldsFuncSeq(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, ok := strings.Cut(param, "=")
		if !ok {
			name, value = "", param
		}
		if !ownParameter(name, value) {
			s = s.add(value)
		}
	}
	return s
}

// ownParameter tells what names a resource beside the file (serve/doc.go), and is in
// every text about it.
func ownParameter(name, value string) bool {
	switch name {
	case "digest":
		return slices.Contains([]string{"tree", "leaves", "meta4"}, value)
	case "bytes", "pieces":
		return strings.Trim(value, "0123456789-") == ""
	}
	return false
}

// openFields are request fields that are no secrets.
var openFields = []string{
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Content-Length", "Content-Range", "Content-Type", "Host",
	"If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Range", "User-Agent", "Want-Repr-Digest",
}

// ofHeader returns s with the fields of h, and the parts of those whose form is known.
func (s secrets) ofHeader(h http.Header) secrets {
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		if slices.Contains(openFields, name) {
			continue
		}
		for _, v := range values {
			s = s.add(v)
			switch name {
			case "Authorization", "Proxy-Authorization":
				s = s.ofCredentials(v)
			case "Cookie":
				for pair := range strings.SplitSeq(v, ";") {
					_, value, _ := strings.Cut(pair, "=")
					s = s.add(strings.Trim(value, ` "`))
				}
			default:
				for word := range strings.FieldsSeq(v) {
					if len(word) >= shortSecret {
						s = s.add(word)
					}
				}
			}
		}
	}
	return s
}

// ofCredentials returns s with what follows the scheme in an Authorization, and the
// login in it.
func (s secrets) ofCredentials(v string) secrets {
	scheme, rest, ok := strings.Cut(v, " ")
	if !ok {
		return s
	}
	s = s.add(strings.TrimSpace(rest))
	if !strings.EqualFold(scheme, "Basic") {
		return s
	}
	if login, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest)); err == nil {
		user, password, _ := strings.Cut(string(login), ":")
		s = s.add(string(login), user, password)
	}
	return s
}

// add returns s with values, as they are and decoded.
func (s secrets) add(values ...string) secrets {
	for _, v := range values {
		forms := []string{v}
		if plain, err := url.QueryUnescape(v); err == nil {
			forms = append(forms, plain)
		}
		if plain, err := url.PathUnescape(v); err == nil {
			forms = append(forms, plain)
		}
		for _, f := range forms {
			if f != "" && f != hidden && !slices.Contains(s, f) {
				s = append(s, f)
			}
		}
	}
	return s
}

// hide returns text, of which the first most bytes count, with every secret in them
// hidden, also if it is encoded, up to maxEncoded times, for URLs, HTML, or as a string
// of JSON or Go. A secret that begins there is hidden although it ends beyond, as far as
// text goes.
func (s secrets) hide(text string, most int) string {
	switch {
	case len(s) == 0:
		return text[:min(most, len(text))]
	case text != "" && slices.Contains(s, everything):
		return hidden
	}
	return hide(text, most, s.find)
}

// hide is that of secrets which find appends the places of.
func hide(text string, most int, find func([]span, []unit) []span) string {
	var spans []span
	for level, units := 0, literal(text); units != nil && level <= maxEncoded; level++ {
		spans = find(spans, units)
		units = decoded(units)
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end)) })
	most = min(most, len(text))
	var b strings.Builder
	at := 0
	for _, sp := range spans {
		if sp.start >= most {
			break
		}
		if sp.start >= at {
			b.WriteString(text[at:sp.start])
			b.WriteString(hidden)
		}
		at = max(at, sp.end)
	}
	if at < most {
		b.WriteString(text[at:most])
	}
	return b.String()
}

// span is a part of a text.
type span struct{ start, end int }

// unit is a byte of a decoded text and where it is written.
type unit struct {
	b byte
	span
}

func literal(text string) []unit {
	units := make([]unit, len(text))
	for i := range units {
		units[i] = unit{text[i], span{i, i + 1}}
	}
	return units
}

// find appends where the secrets are in units.
func (s secrets) find(spans []span, units []unit) []span {
	for i := range units {
		for _, secret := range s {
			spans = findAt(spans, units, i, secret)
		}
	}
	return spans
}

// findAt appends where a secret is that begins with unit i.
func findAt(spans []span, units []unit, i int, secret string) []span {
	n := 0
	for n < len(secret) && i+n < len(units) && sameByte(units[i+n].b, secret[n]) {
		n++
	}
	if n == len(secret) && (n >= shortSecret || alone(units, i, n)) || n >= longSecret {
		spans = append(spans, span{units[i].start, units[i+n-1].end})
	}
	return spans
}

// sameByte compares a byte of a text with one of a secret, which may have been folded
// to lower case, and whose spaces may have become +.
func sameByte(text, secret byte) bool {
	return lower(text) == lower(secret) || text == '+' && secret == ' '
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		b += 'a' - 'A'
	}
	return b
}

// alone reports whether n units from i on are not part of a longer word.
func alone(units []unit, i, n int) bool {
	return (i == 0 || !wordByte(units[i-1].b)) && (i+n == len(units) || !wordByte(units[i+n].b))
}

func wordByte(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= lower(b) && lower(b) <= 'z' || b >= 0x80
}

// decoded takes one level of encoding off units. It returns nil if there is none.
func decoded(units []unit) []unit {
	out := make([]unit, 0, len(units))
	changed := false
	for i := 0; i < len(units); {
		plain, n := decodeOne(units[i:])
		if n == 0 {
			out = append(out, units[i])
			i++
			continue
		}
		changed = true
		where := span{units[i].start, units[i+n-1].end}
		for _, b := range []byte(plain) {
			out = append(out, unit{b, where})
		}
		i += n
	}
	if !changed {
		return nil
	}
	return out
}

// maxEscape is the length of the longest escape, such as &#x1F600;.
const maxEscape = 10

// decodeOne decodes the escape that units begin with, and returns its length, 0 if it
// is none.
func decodeOne(units []unit) (plain string, n int) {
	if !strings.ContainsRune(`%&\`, rune(units[0].b)) {
		return "", 0
	}
	head := make([]byte, 0, maxEscape)
	for _, u := range units[:min(len(units), maxEscape)] {
		head = append(head, u.b)
	}
	switch s := string(head); s[0] {
	case '%':
		return fromHex(s, 1, 2)
	case '&':
		if end := strings.IndexByte(s, ';'); end > 0 {
			if plain := html.UnescapeString(s[:end+1]); plain != s[:end+1] {
				return plain, end + 1
			}
		}
	case '\\':
		switch {
		case len(s) == 1:
		case s[1] == 'x':
			return fromHex(s, 2, 2)
		case s[1] == 'u':
			return fromHex(s, 2, 4)
		case strings.ContainsRune(`"'\/`, rune(s[1])):
			return s[1:2], 2
		}
	}
	return "", 0
}

// fromHex decodes digits of s from at on: two are a byte, four a character.
func fromHex(s string, at, digits int) (plain string, n int) {
	if len(s) < at+digits {
		return "", 0
	}
	v, err := strconv.ParseUint(s[at:at+digits], 16, 32)
	switch {
	case err != nil:
		return "", 0
	case digits == 2:
		return string([]byte{byte(v)}), at + digits
	}
	return string(rune(v)), at + digits
}

// maxSaid is how much of one text of a server is shown, in bytes, and readSaid how much
// is looked at to find out whether a secret begins in it.
const (
	maxSaid  = 300
	readSaid = 4 << 10
)

// quoted returns text for people, without the secrets in it and in quotes.
func (s secrets) quoted(text string) string {
	return strconv.Quote(s.hide(text, maxSaid))
}

// hiding returns err with a text that repeats no secret and steers no terminal. It is
// for errors that have text of a server beside their own, which is full of addresses and
// positions: short numbers stay.
func (s secrets) hiding(err error) error {
	was := err.Error()
	s = slices.DeleteFunc(slices.Clone(s), func(v string) bool {
		return v != everything && len(v) < shortSecret && strings.Trim(v, "0123456789") == ""
	})
	// Its own words come first, and it cuts what it repeats at some length.
	text := printable.Text(s.hide(was[:min(len(was), readSaid)], readSaid))
	if text == was {
		return err
	}
	return &hidingError{text, err}
}

type hidingError struct {
	text string
	err  error
}

func (e *hidingError) Error() string { return e.text }
func (e *hidingError) Unwrap() error { return e.err }
