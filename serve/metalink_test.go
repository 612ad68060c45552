package serve

import (
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
)

func TestMetalink(t *testing.T) {
	content := testBytes(1<<20 + 5)
	name := `a <&> "b".iso`
	f := serveFolder(t, Options{}, map[string]string{name: content, "empty": ""})
	w := f.get(t, "/a%20%3C&%3E%20%22b%22.iso?digest=meta4")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/metalink4+xml" {
		t.Fatalf("status %d, %v", w.Code, w.Header())
	}
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="a <&> \"b\".iso.meta4"` {
		t.Errorf("Content-Disposition %s", got)
	}
	body := w.Body.String()
	var doc metalink
	if err := xml.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	url := "http://example.com/a%20%3C&%3E%20%22b%22.iso"
	if doc.Origin != (metalinkOrigin{true, url + "?digest=meta4"}) {
		t.Errorf("origin %+v", doc.Origin)
	}
	sum := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	file := doc.File
	if file.Name != name || file.Size != int64(len(content)) || file.URL != url || file.Hash != (metalinkHash{"sha-256", sum(content)}) {
		t.Errorf("file %+v", file)
	}
	if p := file.Pieces; p == nil || p.Length != 1<<20 || p.Type != "sha-256" || len(p.Hashes) != 2 ||
		p.Hashes[0] != sum(content[:1<<20]) || p.Hashes[1] != sum(content[1<<20:]) {
		t.Errorf("pieces %+v", file.Pieces)
	}
	// The elements as RFC 5854 spells them.
	for _, want := range []string{
		`<metalink xmlns="urn:ietf:params:xml:ns:metalink">`, `<origin dynamic="true">`,
		`<file name="a &lt;&amp;&gt; &#34;b&#34;.iso">`, `<hash type="sha-256">`, `<pieces length="1048576" type="sha-256">`, `<size>1048581</size>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if w := f.get(t, "/empty?digest=meta4"); w.Code != 200 || strings.Contains(w.Body.String(), "<pieces") {
		t.Errorf("empty file: status %d, %s", w.Code, w.Body)
	}
	if w := f.do(t, "HEAD", "/empty?digest=meta4"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: status %d, %s", w.Code, w.Body)
	}
}

// A name cannot break out of the document, whatever bytes it has.
func TestMetalinkHostileName(t *testing.T) {
	name := "\x01\n]]><url>evil</url>.iso"
	f := serveFolder(t, Options{}, map[string]string{name: "abc"})
	w := f.get(t, "/%01%0A%5D%5D%3E%3Curl%3Eevil%3C%2Furl%3E.iso?digest=meta4")
	if w.Code != 404 { // the slash in the name that was asked for
		t.Errorf("status %d", w.Code)
	}
	name = "\x01\n]]><url>evil<url>.iso"
	f = serveFolder(t, Options{}, map[string]string{name: "abc"})
	w = f.get(t, "/%01%0A%5D%5D%3E%3Curl%3Eevil%3Curl%3E.iso?digest=meta4")
	var doc metalink
	if err := xml.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 {
		t.Fatalf("status %d: %v in %s", w.Code, err, w.Body)
	}
	if doc.File.URL != "http://example.com/%01%0A%5D%5D%3E%3Curl%3Eevil%3Curl%3E.iso" {
		t.Errorf("url %q", doc.File.URL)
	}
	if strings.ContainsAny(w.Header().Get("Content-Disposition"), "\x01\n") {
		t.Errorf("Content-Disposition %q", w.Header().Get("Content-Disposition"))
	}
}
