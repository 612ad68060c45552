package fetch

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSecretsAreHidden(t *testing.T) {
	const key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY="
	sent := secrets(nil).ofURL(&url.URL{
		User:     url.UserPassword("alice", "pässword & more"),
		RawQuery: "sig=wJalrXUtnFEMI%2FK7MDENG%2BbPxRfiCY%3D&v=2&flag-alone&digest=tree&bytes=0-99;old=semicolon1&t=two+words+here&empty=",
	}).ofHeader(http.Header{
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("bob:tiny"))},
		"Cookie":        {`sid=cookie-value; b="quoted-one"`},
		"X-Api-Key":     {"Key custom-header-value"},
		"User-Agent":    {"chunkget"},
		"Host-Key":      {"host-key-value"},
		"x-lower":       {"lower-case-value"},
		"Range":         {"bytes=0-1048575"},
	})
	lower := secrets(nil).ofHeader(http.Header{"authorization": {"Basic Ym9iOnRpbnk="}})
	bearer := secrets(nil).ofHeader(http.Header{"Authorization": {"Bearer token0123456789abcdef"}, "Proxy-Authorization": {"Digest x"}})
	for _, tt := range []struct {
		name     string
		of       secrets
		in, want string
	}{
		{"nothing", sent, "no such file: tree of 0-99, asked by chunkget", "no such file: tree of 0-99, asked by chunkget"},
		{"no secrets", nil, "sig=" + key, "sig=" + key},
		{"as it is", sent, "bad sig " + key + ".", "bad sig REDACTED."},
		{"of a query", sent, "bad ?sig=" + url.QueryEscape(key) + "&x=1", "bad ?sig=REDACTED&x=1"},
		{"hex in lower case", sent, "wJalrXUtnFEMI%2fK7MDENG%2bbPxRfiCY%3d", "REDACTED"},
		{"in part", sent, "wJalrXUtnFEMI/K7MDENG%2bbPxRfiCY%3d", "REDACTED"},
		{"of a path", sent, "/" + url.PathEscape(key) + "/", "/REDACTED/"},
		{"twice", sent, url.QueryEscape(url.QueryEscape(key)), "REDACTED"},
		{"every byte", sent, "%77%4A%61%6C%72%58%55%74%6E%46%45%4D%49%2F%4B%37%4D%44%45%4E%47%2B%62%50%78%52%66%69%43%59%3D!", "REDACTED!"},
		{"HTML", sent, html.EscapeString("<pässword & more>"), "&lt;REDACTED&gt;"},
		{"HTML by number", sent, "wJalrXUtnFEMI&#47;K7MDENG&#x2b;bPxRfiCY&#61;", "REDACTED"},
		{"JSON", sent, `{"sig":"wJalrXUtnFEMI\/K7MDENG\u002bbPxRfiCY="}`, `{"sig":"REDACTED"}`},
		{"bytes", sent, `wJalrXUtnFEMI\x2fK7MDENG+bPxRfiCY=`, "REDACTED"},
		{"folded", sent, strings.ToLower(key), "REDACTED"},
		{"again", sent, key + key + " " + key, "REDACTEDREDACTED REDACTED"},
		{"spaces", sent, "two words here, two+words+here, two%20words%20here", "REDACTED, REDACTED, REDACTED"},
		{"user", sent, "alice may not; malice may", "REDACTED may not; malice may"},
		{"password", sent, url.QueryEscape("pässword & more"), "REDACTED"},
		{"Basic", sent, "Basic Ym9iOnRpbnk=, bob:tiny, bob, tiny", "REDACTED, REDACTED, REDACTED, REDACTED"},
		{"short", sent, "version 2 of 22, v2, 2", "version REDACTED of 22, v2, REDACTED"},
		{"without a name", sent, "flag-alone", "REDACTED"},
		{"semicolon", sent, "semicolon1", "REDACTED"},
		{"cookies", sent, "cookie-value quoted-one sid", "REDACTED REDACTED sid"},
		{"header", sent, "custom-header-value", "REDACTED"},
		{"header like a common one", sent, "host-key-value", "REDACTED"},
		{"header in lower case", sent, "lower-case-value", "REDACTED"},
		{"whole header", sent, "X-Api-Key: Key custom-header-value", "X-Api-Key: REDACTED"},
		{"Bearer", bearer, "Bearer token0123456789abcdef", "REDACTED"},
		{"Basic in lower case", lower, "bob:tiny, tiny", "REDACTED, REDACTED"},
		{"token", bearer, "<token0123456789abcdef>", "<REDACTED>"},
		{"cut", bearer, "token0123456789a", "REDACTED"},
		{"cut early", bearer, "token0", "token0"},
		{"beyond what is shown", bearer, strings.Repeat("x", maxSaid-3) + " token0123456789abcdef more", strings.Repeat("x", maxSaid-3) + " REDACTED"},
		{"malformed escapes", sent, `% %2 %zz & &; &#; &#xffffffff; \ \u12 \x2 \`, `% %REDACTED %zz & &; &#; &#xffffffff; \ \u12 \x2 \`},
	} {
		got := tt.of.hide(tt.in, maxSaid)
		if got != tt.want {
			t.Errorf("%s: %q became %q, want %q", tt.name, tt.in, got, tt.want)
		}
		if again := tt.of.hide(got, len(got)); again != got {
			t.Errorf("%s: and then %q", tt.name, again)
		}
	}
}

// The text of an error is no server's alone: what it wraps is known, and addresses stay.
func TestErrorsKeepWhatTheyWrap(t *testing.T) {
	sent := secrets(nil).ofURL(&url.URL{RawQuery: "v=1&token=SECRET-TOKEN"})
	plain := fmt.Errorf("read 127.0.0.1:1: %w", io.ErrUnexpectedEOF)
	if got := sent.hiding(plain); got != plain {
		t.Errorf("%v became %v", plain, got)
	}
	got := sent.hiding(fmt.Errorf("malformed response \x1b[2JSECRET-TOKEN: %w", io.ErrUnexpectedEOF))
	if want := `malformed response \x1b[2JREDACTED: unexpected EOF`; got.Error() != want || !errors.Is(got, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := len(sent.hiding(errors.New(strings.Repeat("x", 1<<20))).Error()); n > readSaid {
		t.Errorf("%d bytes of text", n)
	}
}

// A redirect to a URL with more parameters than anybody looks for has all hidden that is
// said of it.
func TestSecretsOfManyParameters(t *testing.T) {
	var query strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&query, "&%d", i)
	}
	req := &http.Request{Response: &http.Response{Request: &http.Request{URL: &url.URL{Path: "/x", RawQuery: "token=SECRET-TOKEN"}}}, URL: &url.URL{Path: "/y", RawQuery: query.String()}}
	sent := secrets(nil).ofRequests(req)
	if got := sent.hide("no 49999, no SECRET-TOKEN", maxSaid); got != hidden {
		t.Errorf("got %q", got)
	}
	if got := sent.hiding(fmt.Errorf("no 49999: %w", io.EOF)); got.Error() != hidden || !errors.Is(got, io.EOF) {
		t.Errorf("got %q", got)
	}
	if got := sent.hide("", maxSaid); got != "" {
		t.Errorf("nothing became %q", got)
	}
}

// A server that repeats all that it was told, in every form and place, gets nothing of it
// into errors, hints, events and logs, and no control character either.
func TestEchoedSecretsStayOut(t *testing.T) {
	const token, password, cookie, custom = "tok+SECRET/0", "pass SECRET1", "SECRET-2-cookie", "SECRET3custom"
	header := func() http.Header {
		return http.Header{"Cookie": {"sid=" + cookie}, "X-Api-Key": {custom}}
	}
	user := url.UserPassword("SECRET-user", password)
	// echo is what the server knows: the request, raw and decoded, and the login.
	echo := func(r *http.Request) string {
		login, pass, _ := r.BasicAuth()
		return strings.Join([]string{
			r.RequestURI, r.FormValue("token"), url.QueryEscape(r.RequestURI), html.EscapeString(r.RequestURI), fmt.Sprintf("%q", r.Header),
			login, pass, url.PathEscape(pass), "\x1b[2J\x9b\u202e\a",
		}, " ")
	}
	// The first request may be good, so that a later one to another URL is refused.
	for name, refuse := range map[string]func(w http.ResponseWriter, r *http.Request){
		"body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, echo(r))
		},
		"long body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusInternalServerError)
			for n := range 40 { // one of them is where the text is cut
				io.WriteString(w, strings.Repeat("-", n)+echo(r))
			}
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "ftp://h/"+url.PathEscape(echo(r))+"?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusFound)
		},
		"Content-Range": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", r.FormValue("token")+r.Header.Get("Cookie"))
			w.WriteHeader(http.StatusPartialContent)
		},
		"tag": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", strconv.Quote(r.FormValue("token")+r.Header.Get("Cookie")+r.Header.Get("Authorization")))
			w.Header().Set("Content-Range", "bytes 0-0/1")
			w.WriteHeader(http.StatusPartialContent)
		},
		"coding": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", r.URL.RawQuery+r.Header.Get("X-Api-Key"))
		},
	} {
		for _, later := range []bool{false, true} {
			overAll(t, func(t *testing.T, tr transport) {
				inBubble(t, fmt.Sprintf("%s, later %v", name, later), func(t *testing.T) {
					f := &file{data: randomData(12*mib, 12), etag: `"a"`, tree: true}
					f.script = func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
						if later && n == 1 {
							return false
						}
						refuse(w, r)
						return true
					}
					r := newRig(t, tr, f, "/x?v=1&token="+url.QueryEscape(token))
					r.opts.URL.User = user
					r.opts.Header = header()
					r.opts.Retry.Tries = 2
					var log bytes.Buffer
					r.opts.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
					_, err := r.get(t.Context())
					stayOut(t, err, r.events, log.String(), string(r.dir.Bytes("x.part.journal")))
				})
			})
		}
	}
	t.Run("malformed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rt := roundTripFunc(func(req *http.Request) (*http.Response, error) {
				return nil, fmt.Errorf("malformed HTTP response %q and %s", req.URL.RequestURI(), echo(req))
			})
			r := newRig(t, transport{serve: func(*testing.T, http.Handler) (string, http.RoundTripper) { return "http://h", rt }}, nil, "/x?token="+url.QueryEscape(token))
			r.opts.URL.User = user
			r.opts.Header = header()
			r.opts.Retry.Tries = 2
			_, err := r.get(t.Context())
			stayOut(t, err, r.events)
		})
	})
	t.Run("put", func(t *testing.T) {
		for _, status := range []int{http.StatusForbidden, http.StatusTemporaryRedirect, http.StatusServiceUnavailable} {
			req, err := http.NewRequest(http.MethodPost, "http://h/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = header()
			req.SetBasicAuth(user.Username(), password)
			resp := &http.Response{
				StatusCode: status, Status: fmt.Sprintf("%d %s", status, echo(req)), Request: req, Body: io.NopCloser(strings.NewReader(echo(req))),
				Header: http.Header{"Location": {"http://u:" + url.PathEscape(password) + "@h/" + cookie + "?token=" + custom}},
			}
			stayOut(t, putStatusError(http.MethodPost, req.URL, resp, nil, DefaultMaxRetryAfter, time.Time{}), nil)
		}
	})
}

// stayOut fails if a secret of TestEchoedSecretsStayOut or a control character is in
// what people and programs see of a download.
func stayOut(t *testing.T, err error, events []Event, more ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	told, jerr := json.Marshal(events)
	if jerr != nil {
		t.Fatal(jerr)
	}
	texts := append(more, string(told), err.Error())
	for e := range chain(err) {
		texts = append(texts, e.Hint)
	}
	for _, text := range texts {
		if strings.Contains(strings.ToUpper(text), "SECRET") {
			t.Errorf("told: %q", text)
		}
	}
	for _, text := range append([]string{err.Error()}, reasons(events)...) {
		if strings.ContainsAny(text, "\x1b\u202e\a") || strings.Contains(text, "\x9b") {
			t.Errorf("it steers a terminal: %q", text)
		}
	}
}

// chain yields the errors of this package that err consists of.
func chain(err error) func(func(*Error) bool) {
	return func(yield func(*Error) bool) {
		for e, ok := errors.AsType[*Error](err); ok && yield(e); e, ok = errors.AsType[*Error](e.Err) {
		}
	}
}

func reasons(events []Event) (out []string) {
	for _, e := range events {
		out = append(out, e.Reason)
	}
	return out
}

func FuzzSecretsHide(f *testing.F) {
	f.Add("s3cret/+value", "before ", " after", uint8(3))
	f.Add("a", `\u00`, "&#x", uint8(1))
	f.Add("%41%41%41%41", "%", "41", uint8(0))
	f.Fuzz(func(t *testing.T, secret, before, after string, form uint8) {
		sent := secrets(nil).add(secret)
		encode := []func(string) string{
			func(s string) string { return s }, url.QueryEscape, url.PathEscape, html.EscapeString,
			func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
		}[form%5]
		text := before + encode(secret) + after
		got := sent.hide(text, len(text))
		if len(secret) >= shortSecret && strings.Contains(got, secret) && !strings.Contains(hidden, secret) {
			t.Errorf("%q of %q became %q", secret, text, got)
		}
		if !slices.Equal(sent, secrets(nil).add(secret)) {
			t.Error("the secrets have changed")
		}
	})
}
