package fetch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// TestRedirectLeaks: what belongs to the origin of the URL reaches no other
// server, in no request, and not the first one either after another has been in
// between.
func TestRedirectLeaks(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(6*mib, 11)
		evil := &recorder{next: &file{data: data, etag: `"a"`, tree: true}}
		home := &recorder{next: &file{data: data, etag: `"a"`, tree: true}}
		homeBase, homeRT := tr.serve(t, home)
		evilBase, evilRT := tr.serve(t, evil)
		routes := roundTripFunc(func(req *http.Request) (*http.Response, error) {
			if strings.HasPrefix(evilBase, req.URL.Scheme+"://"+req.URL.Host) {
				return evilRT.RoundTrip(req)
			}
			return homeRT.RoundTrip(req)
		})
		home.redirect = map[string]string{"/out": evilBase + "/x", "/there-and-back": evilBase + "/back", "/inside": "/x"}
		evil.redirect = map[string]string{"/back": homeBase + "/home"}
		for _, tt := range []struct {
			path    string
			keeping bool // the file itself is still of the same origin
		}{{"/out", false}, {"/there-and-back", false}, {"/inside", true}} {
			for _, asUser := range []bool{true, false} {
				home.reset()
				evil.reset()
				r := newRig(t, transport{serve: func(*testing.T, http.Handler) (string, http.RoundTripper) { return homeBase, routes }}, nil, tt.path)
				r.opts.Output = "x"
				r.opts.Header = http.Header{"Cookie": {"c=1"}, "X-Secret": {"s"}, "x-in-lower-case": {"s"}}
				if asUser {
					r.opts.URL.User = url.UserPassword("u", "p")
				} else {
					r.opts.Header.Set("Authorization", "Bearer b")
				}
				r.must("x", data)
				if n := len(evil.seen("")); n == 0 != tt.keeping {
					t.Errorf("%s: %d requests reached the other server", tt.path, n)
				}
				lost := evil.seen("")
				kept := home.seen("/x")
				if !tt.keeping {
					lost = append(lost, home.seen("/home")...)
					kept = home.seen(tt.path)
				}
				for _, req := range lost {
					for _, k := range []string{"X-Secret", "X-In-Lower-Case", "Authorization", "Cookie", "Referer"} {
						if v := req.Header.Get(k); v != "" {
							t.Errorf("%s: %s %q reached %s%s", tt.path, k, v, req.Host, req.URL)
						}
					}
				}
				for _, req := range kept {
					if req.Header.Get("Authorization") == "" || req.Header.Get("Cookie") == "" || req.Header.Get("X-Secret") == "" || req.Header.Get("X-In-Lower-Case") == "" {
						t.Errorf("%s: %s without what the user gave for it", tt.path, req.URL)
					}
				}
				if len(kept) == 0 {
					t.Errorf("%s: no request to %s", tt.path, homeBase)
				}
			}
		}
	})
}

// TestRedirectLeaksWithTree: the same of a file that is repaired, whose tree a redirect
// through another server has led to.
func TestRedirectLeaksWithTree(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		data := randomData(2*mib, 14)
		home := &recorder{next: &file{data: data, etag: `"a"`, tree: true, leaves: true}}
		evil := &recorder{}
		r := alike(t, tr, home, evil)
		r.opts.URL.Path = "/there-and-back"
		home.redirect = map[string]string{"/there-and-back": r.opts.Mirrors[0].URL.JoinPath("back").String()}
		evil.redirect = map[string]string{"/x/back": r.opts.URL.Scheme + "://" + r.opts.URL.Host + "/home"}
		r.opts.Mirrors = nil
		r.opts.Header = http.Header{"Authorization": {"Bearer b"}}
		r.opts.Output = "x"
		bad := slices.Clone(data)
		bad[mib+1] ^= 1
		r.dir.Put("x", bad)
		if _, err := Repair(t.Context(), r.opts); err != nil {
			t.Fatal(err)
		}
		r.wantFile("x", data)
		asked := home.seen("/home")
		if len(asked) < 4 {
			t.Errorf("%d requests after the redirect", len(asked))
		}
		for _, req := range asked {
			if req.Header.Get("Authorization") != "" {
				t.Errorf("it reached %s", req.URL)
			}
		}
	})
}

// recorder redirects some paths and keeps all requests.
type recorder struct {
	next     http.Handler
	redirect map[string]string

	mu       sync.Mutex
	requests []*http.Request
}

func (s *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	if to := s.redirect[r.URL.Path]; to != "" {
		http.Redirect(w, r, to, http.StatusFound)
		return
	}
	s.next.ServeHTTP(w, r)
}

func (s *recorder) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// seen returns the requests of a path, or all of them for "".
func (s *recorder) seen(path string) (found []*http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if path == "" || r.URL.Path == path {
			found = append(found, r)
		}
	}
	return found
}

// TestRefusedRedirects: some redirects end the download at the first try.
func TestRefusedRedirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct{ from, to string }{
			{"https://h/x", "http://h/x"},
			{"udts://h/x", "udt://h/x"},
			{"https://h/x", "udt://h/x"},
			{"udts://h/x", "http://h/x?token=SECRET"},
			{"udt://h/x", "udt://h/%zz?token=SECRET"},
			{"http://h/x", "/x"}, // for ever
		} {
			n := 0
			rt := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				n++
				if secure(r.URL.Scheme) != strings.Contains(tt.from, "s://") {
					t.Errorf("asked %s", r.URL)
				}
				return &http.Response{StatusCode: 302, Status: "302 Found", Header: http.Header{"Location": {tt.to}}, Body: http.NoBody, Request: r}, nil
			})
			base := strings.TrimSuffix(tt.from, "/x")
			r := newRig(t, transport{serve: func(*testing.T, http.Handler) (string, http.RoundTripper) { return base, rt }}, nil, "/x")
			e := r.fails(KindNetwork)
			if strings.Contains(e.Error(), "SECRET") {
				t.Errorf("%s to %s: %v", tt.from, tt.to, e)
			}
			if n != 1 && n != DefaultMaxRedirects+1 {
				t.Errorf("%s to %s: %d requests", tt.from, tt.to, n)
			}
		}
	})
}

// TestRedirectLimit: as many redirects are followed as may be, and not one more.
func TestRedirectLimit(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(mib, 13), etag: `"a"`, tree: true}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if left, ok := strings.CutPrefix(r.URL.Path, "/x/"); ok && left != "" {
				http.Redirect(w, r, "/x/"+left[1:], http.StatusFound)
				return
			}
			f.ServeHTTP(w, r)
		})
		for _, tt := range []struct {
			most, redirects int
			want            string // error, "" for none
		}{
			{-1, 0, ""},
			{-1, 1, "no redirect is followed"},
			{1, 1, ""},
			{1, 2, "more than 1 redirect"},
			{0, DefaultMaxRedirects, ""},
			{0, DefaultMaxRedirects + 1, "more than 10 redirects"},
			{12, 12, ""},
		} {
			r := newRig(t, tr, h, "/x/"+strings.Repeat("r", tt.redirects))
			r.opts.Output = "x"
			r.opts.MaxRedirects = tt.most
			if tt.want == "" {
				r.must("x", f.data)
				continue
			}
			if e := r.fails(KindNetwork); !strings.Contains(e.Error(), tt.want) || !strings.Contains(e.Hint, "--max-redirects") {
				t.Errorf("%d redirects, at most %d: %v, hint %q", tt.redirects, tt.most, e, e.Hint)
			}
		}
	})
}

// TestSecretsStayOut of events, journals, logs and errors.
func TestSecretsStayOut(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(12*mib, 12), etag: `"a"`, tree: true}
		f.script = func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
			if r.FormValue("token") != "SECRET" || r.FormValue("v") != "1" {
				t.Errorf("query %q", r.URL.RawQuery)
			}
			if _, password, _ := r.BasicAuth(); password != "SECRET" {
				t.Errorf("header %v", r.Header)
			}
			if n > 1 {
				w.WriteHeader(403)
			}
			return n > 1
		}
		r := newRig(t, tr, f, "/x?v=1&token=SECRET")
		r.opts.URL.User = url.UserPassword("u", "SECRET")
		var log bytes.Buffer
		r.opts.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		e := r.fails(KindAuth)
		if !e.Resumable {
			t.Fatalf("nothing kept: %v", e)
		}
		events, err := json.Marshal(r.events)
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{
			"error": fmt.Sprintf("%v %+v", e, *e), "log": log.String(), "events": string(events), "journal": string(r.dir.Bytes("x.part.journal")),
		} {
			if strings.Contains(text, "SECRET") {
				t.Errorf("%s: %q", what, text)
			}
			if what == "journal" && !strings.Contains(text, "x?v=1&token=REDACTED") {
				t.Errorf("journal without the URL: %q", text)
			}
		}
		// A renewed signature is no other file.
		f.honest()
		r.opts.URL.RawQuery = "v=1&token=OTHER"
		if r.must("x", f.data); r.hasNote("another URL") {
			t.Errorf("events %+v", r.events)
		}
	})
}

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://u:p@h/x#pin=1":               "http://h/x",
		"http://h/x?a=b&c":                   "http://h/x?a=b&c",
		"http://h/x?X-Amz-Signature=ab%3D&a": "http://h/x?X-Amz-Signature=REDACTED&a",
		"http://h/x?X-Amz-Credential=1&X-Amz-Security-Token=2&X-Amz-Date=3": "http://h/x?X-Amz-Credential=REDACTED&X-Amz-Security-Token=REDACTED&X-Amz-Date=3",
		"http://h/x?access_token=1&TOKEN=2&tok%65n=3":                       "http://h/x?access_token=REDACTED&TOKEN=REDACTED&tok%65n=REDACTED",
		"http://h/x?sig=1&se=2&design=3&author=4&%zz=5":                     "http://h/x?sig=REDACTED&se=2&design=3&author=4&%zz=REDACTED",
		"http://h/x?api-key=1&key=a.iso&monkey=3&password=":                 "http://h/x?api-key=REDACTED&key=a.iso&monkey=3&password=",
		"http://h/x?key=AIzaSyD4mK7nQ2rT9w":                                 "http://h/x?key=REDACTED",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := RedactURL(u); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func FuzzRedactQuery(f *testing.F) {
	f.Add("a=b&token=c", "s")
	f.Add("a&%zz=1&=", "&")
	f.Fuzz(func(t *testing.T, query, secret string) {
		once := RedactQuery(query)
		if again := RedactQuery(once); again != once {
			t.Errorf("%q became %q and then %q", query, once, again)
		}
		if got := RedactQuery("password=" + url.QueryEscape(secret) + "&" + query); secret != "" && got != "password=REDACTED&"+once && query != "" {
			t.Errorf("got %q", got)
		}
	})
}
