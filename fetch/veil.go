package fetch

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A Veil hides secrets in text that a server may have had a part in: words of its own, or
// names that it gives. All that a call of this package tells passes one: events, log and
// errors; so does what a program tells besides, if it uses one.
//
// Beside own words, names and numbers only that is hidden which is a secret for sure, and
// too long to be there by chance: of URLs passwords and the values of parameters whose
// names say so, of headers what is not of common use. Where it is a server's own words
// that are shown, more is hidden before.
//
// The zero Veil hides nothing yet, and so does nil. Its methods may be called from
// several goroutines.
type Veil struct {
	mu      sync.RWMutex
	secrets map[head][]string // guarded by mu
}

// head is how a secret begins, without what sameByte takes for the same: a list of signed
// URLs has a great many secrets, and no text is held against all of them.
type head [shortSecret]byte

func (h *head) set(i int, b byte) {
	if b == '+' {
		b = ' '
	}
	h[i] = lower(b)
}

// commonFields are request fields that say nothing which may not be told, but perhaps what
// is told anyway, such as the URL; so are those whose names begin with Sec-.
var commonFields = []string{"Cache-Control", "Origin", "Pragma", "Referer", "X-Requested-With"}

// Add hides from now on what is secret in the URLs and in a header, and further texts.
func (v *Veil) Add(urls []*url.URL, header http.Header, further ...string) {
	s, users := certainOfHeader(header)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.add(s.add(further...), users)
	for _, u := range urls {
		v.add(certainOfURL(u), users)
	}
}

// add is Add for secrets but those that are names of users. The caller holds v.mu.
func (v *Veil) add(s, users secrets) {
	for _, secret := range s {
		if len(secret) < shortSecret || slices.Contains(users, secret) {
			continue
		}
		var h head
		for i := range h {
			h.set(i, secret[i])
		}
		if v.secrets == nil {
			v.secrets = make(map[head][]string)
		}
		if !slices.Contains(v.secrets[h], secret) {
			v.secrets[h] = append(v.secrets[h], secret)
		}
	}
}

// find appends where the secrets are in units. v.mu is held.
func (v *Veil) find(spans []span, units []unit) []span {
	var h head
	for i := range len(units) - len(h) + 1 {
		for k := range h {
			h.set(k, units[i+k].b)
		}
		for _, secret := range v.secrets[h] {
			spans = findAt(spans, units, i, secret)
		}
	}
	return spans
}

// Confides reports whether req tells its server a secret: what a [Veil] would hide, if it
// were long enough.
func Confides(req *http.Request) bool {
	s, _ := certainOfHeader(req.Header)
	return len(s)+len(certainOfURL(req.URL)) > 0
}

// certainOfURL returns what is secret for sure in u.
func certainOfURL(u *url.URL) (s secrets) {
	if password, ok := u.User.Password(); ok {
		s = s.add(password)
	}
	for param := range strings.SplitSeq(u.RawQuery, "&") {
		name, value, _ := strings.Cut(param, "=")
		if secretParameter(name, value) {
			s = s.add(value)
		}
	}
	return s
}

// certainOfHeader returns what is secret for sure in a header, and names of users that are
// part of it.
func certainOfHeader(header http.Header) (s, users secrets) {
	for name, values := range header {
		name = http.CanonicalHeaderKey(name)
		if slices.Contains(commonFields, name) || strings.HasPrefix(name, "Sec-") {
			continue
		}
		s = s.ofHeader(http.Header{name: values})
		for _, value := range values {
			users = users.add(userOf(name, value))
		}
	}
	return s, users
}

// userOf returns the name in the login that a field has, "" if it has none. It may be
// part of the path, too.
func userOf(field, value string) string {
	scheme, rest, _ := strings.Cut(value, " ")
	if field != "Authorization" && field != "Proxy-Authorization" || !strings.EqualFold(scheme, "Basic") {
		return ""
	}
	login, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return ""
	}
	user, _, _ := strings.Cut(string(login), ":")
	return user
}

// Text returns text without the secrets in it.
func (v *Veil) Text(text string) string {
	if v == nil {
		return text
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if len(v.secrets) == 0 {
		return text
	}
	return hide(text, len(text), v.find)
}

// err returns err with a text without secrets. What is about the disk and the options has
// nothing of a server in it, and names of files in full.
func (v *Veil) err(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok && (e.Kind == KindDisk || e.Kind == KindUsage) {
		return err
	}
	was := err.Error()
	text := v.Text(was)
	if text == was {
		return err
	}
	return &hidingError{text, err}
}

// name returns a URL as events, journals and logs name it: of others it may repeat
// secrets in the path.
func (o *Options) name(u *url.URL) string { return o.veil.Text(RedactURL(u)) }

// event returns e with texts without secrets. Path is the user's, or named without them.
func (v *Veil) event(e Event) Event {
	e.URL, e.Reason, e.Mirror, e.By, e.Err = v.Text(e.URL), v.Text(e.Reason), v.Text(e.Mirror), v.Text(e.By), v.err(e.Err)
	return e
}

// result hides the secrets in what r says of mirrors.
func (v *Veil) result(r *Result) {
	for i := range r.Mirrors {
		r.Mirrors[i].URL, r.Mirrors[i].Dropped = v.Text(r.Mirrors[i].URL), v.err(r.Mirrors[i].Dropped)
	}
}

// logger returns log without the secrets in what is told to it.
func (v *Veil) logger(log *slog.Logger) *slog.Logger { return slog.New(veiledLog{v, log.Handler()}) }

// veiledLog is a handler behind a veil.
type veiledLog struct {
	veil *Veil
	slog.Handler
}

func (l veiledLog) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, l.veil.Text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(l.attr(a))
		return true
	})
	return l.Handler.Handle(ctx, out)
}

func (l veiledLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	hidden := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		hidden[i] = l.attr(a)
	}
	return veiledLog{l.veil, l.Handler.WithAttrs(hidden)}
}

func (l veiledLog) WithGroup(name string) slog.Handler {
	return veiledLog{l.veil, l.Handler.WithGroup(name)}
}

// attr returns a without secrets. Numbers and times are none.
func (l veiledLog) attr(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindString, slog.KindAny:
		if was := a.Value.String(); l.veil.Text(was) != was {
			a.Value = slog.StringValue(l.veil.Text(was))
		}
	case slog.KindGroup:
		members := slices.Clone(a.Value.Group())
		for i := range members {
			members[i] = l.attr(members[i])
		}
		a.Value = slog.GroupValue(members...)
	}
	return a
}
