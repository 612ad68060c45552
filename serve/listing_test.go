package serve

import (
	"encoding/json"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// hostileNames are file names that a careless listing or link would trip over.
// What the file system refuses is left out.
var hostileNames = []string{
	"<script>alert(1)<script>", "\"onmouseover=x", "new\nline", "\x1b[31mred", "%2f", "%2e%2e", "a?b#c", "a:b", "http:",
	"javascript:alert(1)", "..x", "x..", "back\\slash", "caf\u00e9", "\u202egpj.exe", "bad\xffutf8", " space ", "&amp;", "a,b;c", "+plus+",
}

func TestListing(t *testing.T) {
	f := serveFolder(t, Options{DotFiles: true}, map[string]string{"dir/plain": "abc", "dir/sub/x": ""})
	want := map[string]bool{"plain": true}
	for _, name := range hostileNames {
		if err := os.WriteFile(filepath.Join(f.dir, "dir", name), []byte(name), 0o666); err == nil {
			want[name] = true
		}
	}
	base, _ := url.Parse("http://example.com/dir/")

	w := f.get(t, "/dir/", "Accept", "application/json")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Vary") != "Accept" {
		t.Fatalf("status %d, %v", w.Code, w.Header())
	}
	var l listing
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil {
		t.Fatal(err)
	}
	if l.Path != "/dir/" || len(l.Entries) != len(want)+1 || l.Truncated {
		t.Errorf("%d entries of %q, want %d", len(l.Entries), l.Path, len(want)+1)
	}
	if e := l.Entries[0]; e.Type != "dir" || e.Name != "sub" || e.Href != "./sub/" || e.Size != nil {
		t.Errorf("first entry %+v", e)
	}

	page := f.get(t, "/dir/")
	if page.Code != 200 || page.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("status %d, %v", page.Code, page.Header())
	}
	body := page.Body.String()
	if strings.Contains(body, "<script>") {
		t.Errorf("unescaped name in %s", body)
	}

	// Every link leads to the file it stands for, from both forms of the listing.
	links := regexp.MustCompile(`<a href="([^"]*)">`).FindAllStringSubmatch(body, -1)
	if len(links) != len(want)+2 || links[0][1] != "../" {
		t.Fatalf("%d links, the first %v", len(links), links[0])
	}
	follow := func(href string) {
		t.Helper()
		ref, err := url.Parse(href)
		if err != nil {
			t.Errorf("link %q: %v", href, err)
			return
		}
		target := base.ResolveReference(ref)
		if target.Host != "example.com" {
			t.Errorf("link %q leads to %v", href, target)
			return
		}
		name := strings.TrimPrefix(target.Path, "/dir/")
		w := f.get(t, target.EscapedPath())
		if w.Code != 200 || want[name] && name != "plain" && w.Body.String() != name {
			t.Errorf("link %q: status %d, %q", href, w.Code, w.Body)
		}
	}
	for _, m := range links[1:] {
		follow(html.UnescapeString(m[1]))
	}
	for _, e := range l.Entries {
		follow(e.Href)
	}
}

func TestListingHidesWhatIsNotServed(t *testing.T) {
	outside := t.TempDir()
	f := serveFolder(t, Options{}, map[string]string{"a": "abc", ".hidden": "x", ".dir/x": "x"})
	for link, target := range map[string]string{"out": outside, "dangling": "nothing", "in": "a"} {
		symlink(t, target, filepath.Join(f.dir, link))
	}
	var l listing
	if err := json.Unmarshal(f.get(t, "/", "Accept", "application/json").Body.Bytes(), &l); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range l.Entries {
		names = append(names, e.Name)
		if e.Size == nil || *e.Size != 3 || e.Modified.Nanosecond() != 789 {
			t.Errorf("entry %+v", e)
		}
	}
	if strings.Join(names, " ") != "a in" {
		t.Errorf("listed %q", names)
	}
	empty := t.TempDir()
	if body := serveDir(t, Options{}, empty).get(t, "/", "Accept", "application/json").Body.String(); !strings.Contains(body, `"entries":[]`) {
		t.Errorf("empty folder: %s", body)
	}
}

func TestRedirectToFolder(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a:b/c": "", "x y/evil/c": ""})
	for target, want := range map[string]string{
		"/a:b": "/a:b/", "/x%20y": "/x%20y/", "/x%20y?q=1": "/x%20y/?q=1", "/x%20y/evil": "/x%20y/evil/",
	} {
		w := f.get(t, target)
		if w.Code != 301 || w.Header().Get("Location") != want {
			t.Errorf("%s: status %d, Location %q", target, w.Code, w.Header().Get("Location"))
		}
	}
	// Not to another host.
	for _, target := range []string{"//x%20y", "/%2fx%20y", "/\\x%20y"} {
		if w := f.get(t, target); w.Code != 404 {
			t.Errorf("%s: status %d, Location %q", target, w.Code, w.Header().Get("Location"))
		}
	}
}

func TestAccept(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "text/html": false, "application/json": true, "Application/JSON": true, "application/*": true,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false,
		"application/json, text/html":                                     false, "application/json, text/html;q=0.5": true, "application/json;q=0.5, text/html": false,
		"application/json, text/plain, */*": false, "application/json, */*;q=0.1": true,
		"application/json;q=0": false, "application/json;q=x": false, "application/json;q=NaN": false, "text/html;q=0, */*": true,
	} {
		if got := prefersJSON([]string{accept}); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

func TestHumanSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 30: "1.0 GiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := humanSize(&n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
