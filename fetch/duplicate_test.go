package fetch

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestDuplicates(t *testing.T) {
	for _, tt := range []struct {
		name, base string
		links      []string
		want       string
	}{
		{"RFC 6249, section 3", "http://www.example.com/example.ext", []string{
			`<http://www2.example.com/example.ext>; rel=duplicate; pri=1; pref`,
			`<ftp://ftp.example.com/example.ext>; rel=duplicate; pri=2; geo=gb; depth=1`,
			`<http://example.com/example.ext.torrent>; rel=describedby; type="application/x-bittorrent"`,
		}, "http://www2.example.com/example.ext"},
		{"by priority, without one last", "http://h/x", []string{`<http://c/x>; rel="duplicate", <http://b/x>; pri=20; rel=duplicate`, `<udt://a:9000/x>; rel=Duplicate; pri=3`},
			"udt://a:9000/x http://b/x http://c/x"},
		{"priorities that are none", "http://h/x", []string{`<http://a/x>; rel=duplicate; pri=0, <http://b/x>; rel=duplicate; pri=-1, <http://c/x>; rel=duplicate; pri=9999999, <http://d/x>; rel=duplicate; pri=999998`},
			"http://d/x http://a/x http://b/x http://c/x"},
		{"list of relations", "http://h/x", []string{`<http://a/x>; rel="alternate duplicate"`, `<http://b/x>; rel="duplicates"`}, "http://a/x"},
		{"relative", "http://h/dir/x", []string{`<../y>; rel=duplicate`}, "http://h/y"},
		{"of another resource", "http://h/x", []string{`<http://a/x>; rel=duplicate; anchor="/z"`}, ""},
		{"out of encryption", "https://h/x", []string{`<http://a/x>; rel=duplicate, <udt://b/x>; rel=duplicate, <udts://c/x>; rel=duplicate`}, "udts://c/x"},
		{"into encryption", "udt://h/x", []string{`<https://a/x>; rel=duplicate`}, "https://a/x"},
		{"with a login", "http://h/x", []string{`<http://user:pass@a/x>; rel=duplicate`}, ""},
		{"no host", "http://h/x", []string{`<http:///x>; rel=duplicate, <file:///etc/passwd>; rel=duplicate, <data:,x>; rel=duplicate`}, ""},
		{"twice, and with a fragment", "http://h/x", []string{`<http://a/x#1>; rel=duplicate, <http://a/x>; rel=duplicate; pri=1`}, "http://a/x"},
		{"too many", "http://h/x", []string{strings.Repeat(`<x>; rel=duplicate, <y>; rel=duplicate, `, 50) + func() (s string) {
			for i := range 50 {
				s += fmt.Sprintf("<http://h%d/x>; rel=duplicate, ", i)
			}
			return s
		}()}, "http://h/x http://h/y http://h0/x http://h1/x http://h2/x http://h3/x http://h4/x http://h5/x"},
	} {
		u, err := url.Parse(tt.base)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range duplicates(&http.Response{Request: &http.Request{URL: u}, Header: http.Header{"Link": tt.links}}) {
			got = append(got, d.String())
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, s, tt.want)
		}
	}
}

func FuzzDuplicates(f *testing.F) {
	f.Add(`<http://www2.example.com/example.ext>; rel=duplicate; pri=1; pref`, true)
	f.Add(`<//a/x>; rel="duplicate x", <https://u@b/>;rel=duplicate`, false)
	f.Fuzz(func(t *testing.T, link string, tls bool) {
		base := &url.URL{Scheme: "udt", Host: "h", Path: "/x"}
		if tls {
			base.Scheme = "udts"
		}
		urls := duplicates(&http.Response{Request: &http.Request{URL: base}, Header: http.Header{"Link": {link}}})
		if len(urls) > maxDuplicates {
			t.Fatalf("%d addresses", len(urls))
		}
		for _, u := range urls {
			if !fetchable(u) || u.User != nil || u.Fragment != "" || tls && !secure(u.Scheme) {
				t.Fatalf("%q gives %q", link, u)
			}
		}
	})
}

// TestDigestField: the older field counts where the newer one is missing.
func TestDigestField(t *testing.T) {
	const sum, other = "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564="
	for field, want := range map[string]string{
		"SHA-256=" + sum: "sha-256",
		"MD5=HUXZLQLMuI/KZ5KDcJPcOA==, sha-256=" + sum: "sha-256",
		"SHA-256=:" + sum + ":":                        "",
		"SHA-256=" + sum[:20]:                          "",
		"SHA=" + sum:                                   "",
	} {
		if got := reprDigest(http.Header{"Digest": {field}}); got.Algorithm != want {
			t.Errorf("%q gives %v", field, got)
		}
	}
	both := http.Header{"Digest": {"SHA-256=" + sum}, "Repr-Digest": {"sha-256=:" + other + ":"}}
	if got := reprDigest(both); got.Sum[0] != 0x2c {
		t.Errorf("both give %v", got)
	}
}
