package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A proxy that repeats the login that it was sent gets nothing of it into messages and
// events: in what it says of a request that it passes on, of a tunnel that it does not
// make, and in an answer that is none.
func TestProxyRepeatsItsLogin(t *testing.T) {
	repeat := func(r *http.Request) string {
		login := r.Header.Get("Proxy-Authorization")
		plain, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(login, "Basic "))
		if err != nil || len(plain) == 0 {
			t.Errorf("asked with %q", login)
		}
		_, password, _ := strings.Cut(string(plain), ":")
		return fmt.Sprintf("%s %s %s %s", login, plain, password, url.QueryEscape(password))
	}
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, repeat(r))
		},
		"status": func(w http.ResponseWriter, r *http.Request) {
			writeRaw(w, "HTTP/1.1 407 "+repeat(r)+"\r\nContent-Length: 0\r\n\r\n")
		},
		"malformed": func(w http.ResponseWriter, r *http.Request) { writeRaw(w, repeat(r)+"\r\n\r\n") },
		"tag": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"`+repeat(r)+`"`)
			w.Header().Set("Content-Disposition", "attachment; filename="+strings.Fields(repeat(r))[1])
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.Repeat("x", 100)))
		},
	} {
		for _, password := range []string{"tiny", "long-enough/for all"} {
			for _, target := range []string{"http://h.invalid/x", "https://h.invalid/x"} {
				p := httptest.NewServer(http.HandlerFunc(answer))
				proxy := &url.URL{Scheme: "http", Host: p.Listener.Addr().String(), User: url.UserPassword("somebody", password)}
				coded := base64.StdEncoding.EncodeToString([]byte("somebody:" + password))
				commands := [][]string{{"-v", "--tries", "1", "-o", "x"}, {"--json", "--tries", "1"}}
				if name == "status" && len(password) > 8 {
					commands = append(commands, []string{"doctor"}, []string{"doctor", "--json"})
				}
				for _, args := range commands {
					var out, errs strings.Builder
					run(t.Context(), append(args, "--no-config", "-d", t.TempDir(), "--proxy", proxy.String(), target), &out, &errs)
					shown := out.String() + errs.String()
					shown = strings.ReplaceAll(shown, proxy.Redacted(), "")
					for _, secret := range []string{password, url.QueryEscape(password), coded} {
						if strings.Contains(shown, secret) {
							t.Errorf("%s, %s, %s: %s", name, target, args, shown)
							break
						}
					}
				}
				p.Close()
			}
		}
	}
}

// writeRaw sends an answer as it is, and nothing else.
func writeRaw(w http.ResponseWriter, answer string) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	io.WriteString(c, answer)
	c.Close()
}

// What a proxy of the environment is told is known, too.
func TestProxyOfTheEnvironment(t *testing.T) {
	for value, want := range map[string]string{
		"":                        "",
		"http://u:secret12@p:1":   "p:1",
		"u:secret12@p:1":          "p:1",
		"socks5://u:secret12@p:1": "p:1",
		"http://u:secret12@h%zz":  "",
	} {
		t.Setenv("HTTPS_PROXY", value)
		u := environmentProxy(value)
		if got := ""; u != nil && u.Host != want || u == nil && got != want {
			t.Errorf("%q is %v, want %s", value, u, want)
		}
		secrets := strings.Join(new(options).proxySecrets(), "\n")
		if strings.Contains(secrets, "secret12") != (want != "") {
			t.Errorf("%q: secrets %q", value, secrets)
		}
	}
}
