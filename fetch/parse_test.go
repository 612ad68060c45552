package fetch

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chunkget/chunkget/segment"
)

func TestParseContentRange(t *testing.T) {
	for _, tt := range []struct {
		in         string
		start, end int64
		total      int64
		ok         bool
	}{
		{"bytes 42-1233/1234", 42, 1234, 1234, true}, // RFC 9110, 14.4
		{"bytes 42-1233/*", 42, 1234, -1, true},
		{"bytes */1234", 0, 0, 1234, true},
		{"bytes 0-0/1", 0, 1, 1, true},
		{"BYTES 0-0/1", 0, 1, 1, true}, // range units are case-insensitive
		{"bytes */0", 0, 0, 0, true},
		{"bytes 0-9223372036854775806/9223372036854775807", 0, 1<<63 - 1, 1<<63 - 1, true},
		{"", 0, 0, 0, false},
		{"bytes", 0, 0, 0, false},
		{"bytes ", 0, 0, 0, false},
		{"bytes 0-0", 0, 0, 0, false},
		{"bytes 0-0/", 0, 0, 0, false},
		{"bytes */*", 0, 0, 0, false},
		{"bytes=0-0/1", 0, 0, 0, false},
		{"bytes 5-4/10", 0, 0, 0, false},
		{"bytes 0-10/10", 0, 0, 0, false}, // complete-length <= last-pos
		{"bytes 0-9/9", 0, 0, 0, false},
		{"bytes -5/10", 0, 0, 0, false},
		{"bytes 5-/10", 0, 0, 0, false},
		{"bytes +0-1/10", 0, 0, 0, false},
		{"bytes 0-+1/10", 0, 0, 0, false},
		{"bytes 0 - 1/10", 0, 0, 0, false},
		{"bytes  0-1/10", 0, 0, 0, false},
		{"bytes 0-1/10 ", 0, 0, 0, false},
		{"bytes 0-1/1e3", 0, 0, 0, false},
		{"bytes 0x0-1/10", 0, 0, 0, false},
		{"bytes 0-9223372036854775807/*", 0, 0, 0, false}, // its end does not fit
		{"bytes 0-1/99999999999999999999", 0, 0, 0, false},
		{"bytes 0-1,3-4/10", 0, 0, 0, false},
		{"items 0-1/10", 0, 0, 0, false},
	} {
		got, err := parseContentRange(tt.in)
		if (err == nil) != tt.ok {
			t.Errorf("%q: error %v, want ok = %v", tt.in, err, tt.ok)
			continue
		}
		if want := (contentRange{segment.Range{Start: tt.start, End: tt.end}, tt.total}); tt.ok && got != want {
			t.Errorf("%q = %+v, want %+v", tt.in, got, want)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 42-1233/1234", "bytes */7", "bytes 0-0/*", "bytes 9223372036854775806-9223372036854775806/9223372036854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cr, err := parseContentRange(s)
		if err != nil {
			return
		}
		var again string
		total := "*"
		if cr.total >= 0 {
			total = fmt.Sprint(cr.total)
		}
		if cr.r.Empty() {
			again = "bytes */" + total
		} else {
			if cr.r.Start < 0 || cr.total >= 0 && cr.r.End > cr.total {
				t.Fatalf("%q gives %+v", s, cr)
			}
			again = fmt.Sprintf("bytes %d-%d/%s", cr.r.Start, cr.r.End-1, total)
		}
		if cr2, err := parseContentRange(again); err != nil || cr2 != cr {
			t.Fatalf("%q -> %+v -> %q -> %+v, %v", s, cr, again, cr2, err)
		}
	})
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ dispo, url, want string }{
		{"", "http://h/a/big.iso", "big.iso"},
		{"", "http://h/a/big.iso?x=/etc/passwd#y", "big.iso"},
		{"", "http://h/", "download"},
		{"", "http://h", "download"},
		{"", "http://h/a/", "a"},
		{"", "http://h/a/..", "download"},
		{"", "http://h/a/%2e%2e", "download"},
		{"", "http://h/a/..%2f..%2fetc%2fpasswd", "passwd"},
		{"", "http://h/a/%5c%5cserver%5cshare", "share"},
		{"", "http://h/%00", "download"},
		{"", "http://h/x%0ay", "xy"},
		{"", "http://h/na%C3%AFve", "naïve"},
		{"", "http://h/%ff%fe", "download"},
		{"attachment; filename=plain.txt", "http://h/u", "plain.txt"},
		{`attachment; filename="two words.txt"`, "http://h/u", "two words.txt"},
		{`attachment; filename="../../etc/passwd"`, "http://h/u", "passwd"},
		{`attachment; filename="..\\..\\boot.ini"`, "http://h/u", "boot.ini"},
		{`attachment; filename="/"`, "http://h/u", "u"},
		{`attachment; filename=""`, "http://h/u", "u"},
		{`attachment; filename=".."`, "http://h/u", "u"},
		{`attachment; filename=".bashrc"`, "http://h/u", "bashrc"},
		{`attachment; filename="-rf"`, "http://h/u", "rf"},
		{`attachment; filename="~"`, "http://h/u", "u"},
		{`attachment; filename="CON"`, "http://h/u", "_CON_"},
		{`attachment; filename="nul.txt"`, "http://h/u", "_nul.txt_"},
		{`attachment; filename="COM7.log"`, "http://h/u", "_COM7.log_"},
		{`attachment; filename="com.log"`, "http://h/u", "com.log"},
		{`attachment; filename="C:evil"`, "http://h/u", "C_evil"},
		{`attachment; filename="x.txt:stream"`, "http://h/u", "x.txt_stream"},
		{`attachment; filename="trailing. . "`, "http://h/u", "trailing"},
		{`attachment; filename="other.part"`, "http://h/u", "_other.part_"},
		{`attachment; filename="other.part.journal"`, "http://h/u", "_other.part.journal_"},
		{"attachment; filename=\"esc\x1b[31mred\"", "http://h/u", "esc[31mred"},
		{`attachment; filename*=UTF-8''%1b%5b31mred`, "http://h/u", "[31mred"},
		{`attachment; filename*=UTF-8''%e2%82%ac%20rates; filename="EURO rates"`, "http://h/u", "€ rates"}, // RFC 6266, section 5
		{`attachment; filename*=UTF-8''gpj%e2%80%aeexe.txt`, "http://h/u", "gpjexe.txt"},                   // right-to-left override
		{`attachment; filename*=UTF-8''..%2f..%2fx`, "http://h/u", "x"},
		{`attachment; filename*=UTF-8''%ff%fe`, "http://h/u", "u"},
		{`attachment; filename="` + strings.Repeat("é", 300) + `"`, "http://h/u", strings.Repeat("é", 100)},
		{`garbage;;; filename`, "http://h/u", "u"},
		{"inline", "http://h/u", "u"},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		if tt.dispo != "" {
			h.Set("Content-Disposition", tt.dispo)
		}
		got := suggestedName(h)
		if got == "" {
			got = nameFromURL(u)
		}
		if got != tt.want {
			t.Errorf("%q, %s: %q, want %q", tt.dispo, tt.url, got, tt.want)
		}
	}
}

func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"a.txt", "../x", "CON", "a/b\\c", "\u202e", strings.Repeat("x", 500), "._. ", "lpt9.part"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := safeName(s)
		if n == "" {
			return
		}
		if len(n) > maxName+2 || !utf8.ValidString(n) || strings.ContainsAny(n, `/\:`) || n[0] == '.' || n[0] == '-' ||
			filepath.Base(n) != n || !filepath.IsLocal(n) || isDevice(n) || strings.HasSuffix(n, partSuffix) || strings.HasSuffix(n, journalSuffix) {
			t.Fatalf("%q gives %q", s, n)
		}
		for _, r := range n {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("%q gives %q", s, n)
			}
		}
		if again := safeName(n); again != n {
			t.Fatalf("%q gives %q, which gives %q", s, n, again)
		}
	})
}

func TestParseLinks(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`</x?digest=tree>; rel="describedby"; type="a/b"`, `[{/x?digest=tree map[rel:describedby type:a/b]}]`},
		{`<a>; rel=next, <b> ; Rel = prev ;title="x, <y>; \"z"`, `[{a map[rel:next]} {b map[rel:prev title:x, <y>; "z]}]`},
		{`<a>`, `[{a map[]}]`},
		{`<a>; rel=x; rel=y`, `[{a map[rel:x]}]`},
		{`<a>;`, `[{a map[]}]`},
		{``, `[]`},
		{`a; rel=x`, `[]`},
		{`<a; rel=x`, `[]`},
		{`<a>; rel="x`, `[]`},
		{`<a> garbage, <b>`, `[]`},
	} {
		if got := fmt.Sprint(parseLinks(tt.in)); got != tt.want {
			t.Errorf("%s\ngot  %s\nwant %s", tt.in, got, tt.want)
		}
	}
}

func FuzzLinks(f *testing.F) {
	f.Add(`</x?digest=tree>; rel="describedby"; type="a/b", <y>;a;b=c`)
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		for _, l := range parseLinks(s) {
			n += len(l.target)
			for k, v := range l.params {
				n += len(v)
				if k == "" {
					t.Fatal("a parameter without a name")
				}
			}
		}
		if n > len(s) {
			t.Fatalf("%d bytes out of %d", n, len(s))
		}
	})
}

func TestStrongETag(t *testing.T) {
	for in, want := range map[string]string{
		`"a"`: `"a"`, `""`: `""`, `W/"a"`: "", `w/"a"`: "", `a`: "", `"`: "", ``: "", `"a"b"`: "",
		`"` + strings.Repeat("x", 5000) + `"`: "",
	} {
		if got := strongETag(http.Header{"Etag": {in}}); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestReprDigest(t *testing.T) {
	// The digests of RFC 9530, section B.1 and B.6, are of {"hello": "world"} and a line feed.
	const v = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
	const w = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:"
	for in, want := range map[string]string{
		v: "sha-256", "md5=:AAAA:, " + v: "sha-256", v + ";x=1": "sha-256", v + ", sha-512=:AA==:": "sha-256",
		w: "sha-512", w + ", " + v: "sha-256", w + ", sha-256=:AA==:": "sha-512",
		"": "", "sha-256=": "", "sha-256=::": "", "sha-256=:AAAA:": "", "sha-256=RK/0": "", strings.ToUpper(v): "",
	} {
		if got := reprDigest(http.Header{"Repr-Digest": {in}}); got.Algorithm != want || want == "" && got.Sum != nil {
			t.Errorf("%q: %v, want %s", in, got, want)
		}
	}
	content := []byte("{\"hello\": \"world\"}\n")
	for _, in := range []string{v, w} {
		d := reprDigest(http.Header{"Repr-Digest": {in}})
		h := d.newHash()
		h.Write(content)
		if got := h.Sum(nil); !bytes.Equal(got, d.Sum) {
			t.Errorf("%s: the digest of the example is %x", d, got)
		}
	}
}

func TestParseDigest(t *testing.T) {
	short, long := strings.Repeat("0a", 32), strings.Repeat("0B", 64)
	for in, want := range map[string]string{
		"sha256:" + short: "sha-256:" + short, "SHA-256:" + short: "sha-256:" + short, "sha512:" + long: "sha-512:" + strings.ToLower(long),
		"": "", short: "", "sha256:": "", "sha256:0a": "", "sha512:" + short: "", "md5:" + short: "", "sha256:" + strings.Repeat("zz", 32): "", "sha-:" + short: "",
	} {
		d, err := ParseDigest(in)
		if (err == nil) != (want != "") || err == nil && d.String() != want {
			t.Errorf("%q: %v, %v", in, d, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0, "99999999999999999999": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {in}}, now); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	p := RetryPolicy{}.resolved()
	for failures, want := range map[int]time.Duration{1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 6: 10 * time.Second, 1000: 10 * time.Second} {
		if got := p.delay(failures, 0); got != want {
			t.Errorf("failure %d: %v, want %v", failures, got, want)
		}
		if got := p.delay(failures, 0.999); got < want/2 || got > want {
			t.Errorf("failure %d with jitter: %v", failures, got)
		}
	}
}

func TestRate(t *testing.T) {
	now := time.Now()
	var r rate
	if r.value() != 0 {
		t.Error("the zero rate knows something")
	}
	r.start(now)
	for range 10 {
		now = now.Add(tick)
		r.add(now, 1000)
		if v := r.value(); v < 4999 || v > 5001 {
			t.Fatalf("1000 bytes each %v: %v B/s", tick, v)
		}
	}
	for range 15 {
		now = now.Add(tick)
		r.add(now, 0)
	}
	if v := r.value(); v > 2500 || v < 500 {
		t.Errorf("after 3 s of silence: %v B/s", v)
	}
}
