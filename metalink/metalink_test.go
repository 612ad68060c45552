package metalink

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const head = `<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">`

// example is that of RFC 5854, section 1.1, with pieces.
const example = head + `
  <published>2009-05-15T12:23:23Z</published>
  <file name="example.ext">
    <size>14471447</size>
    <identity>Example</identity>
    <hash type="sha-256">f0ad929cd259957e160ea442eb80986b5f01</hash>
    <hash type="SHA-512">0A</hash>
    <pieces length="14471446" type="sha-256"><hash> 01 </hash><hash>02</hash></pieces>
    <url location="de" priority="2">http://two.example.com/example.ext</url>
    <url>http://last.example.com/example.ext</url>
    <url priority="1"> ftp://one.example.com/example.ext </url>
    <metaurl mediatype="torrent">http://example.com/example.ext.torrent</metaurl>
  </file>
  <file name="other"></file>
</metalink>`

func TestParse(t *testing.T) {
	files, err := Parse(strings.NewReader(example))
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	f := files[0]
	if f.Name != "example.ext" || f.Size != 14471447 || fmt.Sprintf("%x", f.Hash("sha-256")) != "f0ad929cd259957e160ea442eb80986b5f01" ||
		len(f.Hash("sha-512")) != 1 || f.Hash("md5") != nil {
		t.Errorf("%+v", f)
	}
	if p := f.Pieces[0]; p.Type != "sha-256" || p.Length != 14471446 || len(p.Sums) != 2 || p.Sums[1][0] != 2 {
		t.Errorf("pieces %+v", p)
	}
	if got := fmt.Sprint(f.URLs); got != "[ftp://one.example.com/example.ext http://two.example.com/example.ext http://last.example.com/example.ext]" {
		t.Errorf("URLs %s", got)
	}
	if files[1].Size != -1 {
		t.Errorf("%+v", files[1])
	}
	for name, want := range map[string]bool{"other": true, "example.ext": true, "x": false} {
		if f, ok := Find(files, name); ok != want || ok && f.Name != name {
			t.Errorf("Find(%q) = %v, %v", name, f, ok)
		}
	}
	if f, ok := Find(files[1:], "x"); !ok || f.Name != "other" {
		t.Errorf("the only file: %v, %v", f, ok)
	}
}

func TestParseRefuses(t *testing.T) {
	file := func(s string) string { return head + `<file name="x">` + s + `</file></metalink>` }
	for name, in := range map[string]string{
		"nothing":         "",
		"text":            "hello",
		"version 3":       `<metalink xmlns="http://www.metalinker.org/" version="3.0"><files><file name="x"/></files></metalink>`,
		"no file":         head + `</metalink>`,
		"cut":             example[:len(example)-30],
		"entity":          `<!DOCTYPE x [<!ENTITY a "b">]>` + file(`<size>&a;</size>`),
		"encoding":        `<?xml version="1.0" encoding="EBCDIC"?>` + strings.TrimPrefix(file(""), `<?xml version="1.0" encoding="UTF-8"?>`),
		"size":            file(`<size>x</size>`),
		"negative size":   file(`<size>-1</size>`),
		"hash":            file(`<hash type="sha-256">xyz</hash>`),
		"empty hash":      file(`<hash type="sha-256"></hash>`),
		"pieces of 0":     file(`<pieces length="0" type="sha-256"></pieces>`),
		"too few pieces":  file(`<size>11</size><pieces length="10" type="sha-256"><hash>01</hash></pieces>`),
		"too many pieces": file(`<size>10</size><pieces length="10" type="sha-256"><hash>01</hash><hash>01</hash></pieces>`),
	} {
		if files, err := Parse(strings.NewReader(in)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, %v", name, files, err)
		}
	}
}

func TestParseBound(t *testing.T) {
	const file = `<file name="x"/></metalink>`
	for size, fails := range map[int]bool{MaxSize: false, MaxSize + 1: true} {
		_, err := Parse(strings.NewReader(head + strings.Repeat(" ", size-len(head)-len(file)) + file))
		if (err != nil) != fails || fails && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "more than 33554432 bytes")) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add(head + `<file name="x"><size>9223372036854775807</size><pieces length="1" type=""/></file></metalink>`)
	f.Fuzz(func(t *testing.T, in string) {
		files, err := Parse(strings.NewReader(in))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		for _, file := range files {
			for _, p := range file.Pieces {
				if p.Length <= 0 || file.Size == 0 && len(p.Sums) != 0 {
					t.Fatalf("%+v", p)
				}
			}
		}
	})
}
