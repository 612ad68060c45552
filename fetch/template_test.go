package fetch

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/segment"
)

func TestPartLink(t *testing.T) {
	const rel = `; rel="` + partRelation + `"`
	for _, tt := range []struct{ field, want string }{
		{`"/a%20b?bytes={first}-{last}"` + rel, "udt://h:9000/a%20b?bytes=5-9"},
		{`"?bytes={first}-{last}";rel="` + partRelation + `"`, "udt://h:9000/dir/f?bytes=5-9"},
		{`"/x{y}"; rel="other", "/p/{last}/{first}" ; a=1; rel="` + partRelation + `"; b`, "udt://h:9000/p/9/5"},
		{`"udt://h:9000/{first}/{last}"` + rel, "udt://h:9000/5/9"},
		{`"/\"{first}{last}"` + rel, "udt://h:9000/%2259"},
		{`"http://h:9000/{first}/{last}"` + rel, ""},
		{`"//other/{first}/{last}"` + rel, ""},
		{`"udt://{first}.h/{last}"` + rel, ""},
		{`"/{first}"` + rel, ""},
		{`"/{first}{last}{first}"` + rel, ""},
		{`"/{+first}/{last}"` + rel, ""},
		{`"/{first}/{last}/{x}"` + rel, ""},
		{`"/{first}/{last}"`, ""},
		{`</{first}/{last}>` + rel, ""},
		{`"/{first}/{last}` + rel, ""},
		{`"/{first}/{last}" x` + rel, ""},
		{`"/` + strings.Repeat("x", maxTemplate) + `{first}/{last}"` + rel, ""},
		{"", ""},
	} {
		u, err := url.Parse("udt://h:9000/dir/f")
		if err != nil {
			t.Fatal(err)
		}
		resp := &http.Response{Header: http.Header{"Link-Template": {tt.field}}, Request: &http.Request{URL: u}}
		got := ""
		if l := partLink(resp); l != nil {
			got = l.url(segment.Range{Start: 5, End: 10}).String()
		}
		if got != tt.want {
			t.Errorf("%.80s: %q, want %q", tt.field, got, tt.want)
		}
	}
}

func FuzzLinkTemplates(f *testing.F) {
	f.Add(`"/a?bytes={first}-{last}"; rel="` + partRelation + `", "/b"; x`)
	f.Add(`"\`)
	base, err := url.Parse("http://h/x")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		resp := &http.Response{Header: http.Header{"Link-Template": {s}}, Request: &http.Request{URL: base}}
		if l := partLink(resp); l != nil {
			if u := l.url(segment.Range{Start: 0, End: 1}); u == nil || !sameOrigin(u, base) {
				t.Fatalf("%q: %v", s, u)
			}
		}
	})
}
