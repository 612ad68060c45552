package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chunkget/chunkget/metalink"
)

// What is named beyond the bound is refused on the command line, where somebody can do
// something about it, and not used of a Metalink.
func TestMirrorsAreBounded(t *testing.T) {
	addresses := func(host string, n int) (urls []string) {
		for i := range n {
			urls = append(urls, fmt.Sprintf("http://%s%d/x", host, i))
		}
		return urls
	}
	sum := sha256.Sum256(nil)
	for _, tt := range []struct {
		name      string
		url       string // "" for what the Metalink says
		given     int    // --mirror
		described int    // addresses in the Metalink
		want      int    // mirrors
		last      string // of them
		fails     string
	}{
		{"given", "http://h/x", maxMirrors, 0, maxMirrors, "http://g15/x", ""},
		{"too many given", "http://h/x", maxMirrors + 1, 0, 0, "", "17 mirrors are too many: at most 16 are used"},
		{"described", "", 0, maxMirrors + 1, maxMirrors, "http://d16/x", ""},
		{"too many described", "", 0, 1000, maxMirrors, "http://d16/x", ""},
		{"described for a URL", "http://h/x", 0, maxMirrors, maxMirrors, "http://d15/x", ""},
		{"too many described for a URL", "http://h/x", 0, 1000, maxMirrors, "http://d15/x", ""},
		{"described for one of them", "http://d3/x", 0, maxMirrors + 1, maxMirrors, "http://d16/x", ""},
		{"both", "http://h/x", 10, 6, maxMirrors, "http://d5/x", ""},
		{"too many in both", "http://h/x", maxMirrors, maxMirrors, maxMirrors, "http://g15/x", ""},
	} {
		o := &options{connections: 8, jobs: 1, sending: sending{share: 2}, timeout: time.Second, tries: 5}
		o.mirrors.given = addresses("g", tt.given)
		d := &document{name: "x.meta4", files: []metalink.File{{
			Name: "x", Size: -1, Hashes: []metalink.Hash{{Type: "sha-256", Sum: sum[:]}}, URLs: addresses("d", tt.described),
		}}}
		var args []string
		switch {
		case tt.url == "":
			if err := o.describe(d); err != nil {
				t.Fatal(err)
			}
		case tt.described > 0:
			o.document = d
			fallthrough
		default:
			args = []string{tt.url}
		}
		err := o.validate(args)
		if tt.fails != "" || err != nil {
			if tt.fails == "" || err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.fails)
			}
			continue
		}
		got := o.fetchMirrors(0)
		if len(got) != tt.want || got[len(got)-1].URL.String() != tt.last {
			t.Errorf("%s: %d mirrors, the last of them %s", tt.name, len(got), got[len(got)-1].URL)
		}
	}
}

// A Metalink of the command line, from a file or from a server, has one bound.
func TestMetalinkIsBounded(t *testing.T) {
	dir := t.TempDir()
	content := []byte("content")
	file := filepath.Join(dir, "x")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	const begin = `<metalink xmlns="urn:ietf:params:xml:ns:metalink">`
	end := fmt.Sprintf(`<file name="x"><hash type="sha-256">%x</hash></file></metalink>`, sha256.Sum256(content))
	documents := map[int][]byte{}
	for _, size := range []int{metalink.MaxSize, metalink.MaxSize + 1} {
		documents[size] = []byte(begin + strings.Repeat(" ", size-len(begin)-len(end)) + end)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := documents[metalink.MaxSize]
		if r.URL.Path == "/long" {
			b = documents[metalink.MaxSize+1]
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}))
	defer s.Close()
	long := filepath.Join(dir, "long.meta4")
	if err := os.WriteFile(long, documents[metalink.MaxSize+1], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		from string
		long bool
	}{
		{long, true},
		{s.URL + "/short", false},
		{s.URL + "/long", true},
	} {
		var out, errs strings.Builder
		code := run(t.Context(), []string{"verify", "--no-config", file, "--metalink", tt.from}, &out, &errs)
		if (code != exitOK) != tt.long || strings.Contains(errs.String(), "more than 33554432 bytes") != tt.long {
			t.Errorf("%s: exit code %d, %s", tt.from, code, errs.String())
		}
	}
}

// The names in a Metalink repeat what its server was told, in messages, events and names
// of files.
func TestMetalinkRepeatsSecrets(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secret := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if r.URL.Path != "/doc.meta4" {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("content"))
			return
		}
		doc := fmt.Sprintf(`<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="%s.bin"><size>7</size><hash type="sha-1">00</hash><url>http://%s/%s/x</url></file></metalink>`,
			secret, r.Host, secret)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(doc))
	}))
	defer s.Close()
	token := filepath.Join(t.TempDir(), "token")
	origin := strings.TrimPrefix(s.URL, "http://")
	if err := os.WriteFile(token, []byte(origin+" SECRET-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-v"}, {"--json"}} {
		dir := t.TempDir()
		var out, errs strings.Builder
		code := run(t.Context(), append(args, "--no-config", "--token-file", token, "-d", dir, "--metalink", s.URL+"/doc.meta4"), &out, &errs)
		shown := out.String() + errs.String()
		if !strings.Contains(shown, `no hash but by sha-1`) || !strings.Contains(shown, "REDACTED.bin") || strings.Contains(shown, "SECRET") {
			t.Errorf("%s: exit code %d, %s", args, code, shown)
		}
		if _, err := os.Stat(filepath.Join(dir, "REDACTED.bin")); err != nil {
			t.Error(err)
		}
	}
}
