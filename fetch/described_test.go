package fetch

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestMetalinkOf: who may name which Metalink.
func TestMetalinkOf(t *testing.T) {
	const meta4 = `>; rel=describedby; type="application/metalink4+xml"`
	for _, tt := range []struct {
		name  string
		bases []string // of the redirects and of the answer, in order
		links []string
		want  string
	}{
		{"RFC 6249, section 5", []string{"http://www.example.com/example.ext"}, []string{`<http://example.com/example.ext.meta4` + meta4}, "http://example.com/example.ext.meta4"},
		{"relative", []string{"http://h/dir/x"}, []string{"<x.meta4" + meta4}, "http://h/dir/x.meta4"},
		{"of another type", []string{"http://h/x"}, []string{`<x>; rel=describedby; type="application/x-bittorrent", <y>; rel=describedby`}, ""},
		{"type in capitals, in a list of relations", []string{"http://h/x"}, []string{`<y>; rel="alternate DescribedBy"; type="Application/Metalink4+XML"`}, "http://h/y"},
		{"of another resource", []string{"http://h/x"}, []string{`<y` + meta4 + `; anchor="/z"`}, ""},
		{"out of encryption", []string{"https://h/x"}, []string{`<http://h/x.meta4` + meta4}, ""},
		{"with a login", []string{"http://h/x"}, []string{`<http://u:p@h/x.meta4` + meta4}, ""},
		{"of another scheme", []string{"http://h/x"}, []string{`<file:///etc/passwd` + meta4}, ""},
		{"by a redirect", []string{"http://h/x", "http://m/x"}, []string{`<x.meta4` + meta4, ""}, "http://h/x.meta4"},
		{"by both", []string{"http://h/x", "http://m/x"}, []string{`<x.meta4` + meta4, `<y.meta4` + meta4}, "http://m/y.meta4"},
	} {
		var resp *http.Response
		for i, b := range tt.bases {
			u, err := url.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			resp = &http.Response{Request: &http.Request{URL: u, Response: resp}, Header: http.Header{"Link": {tt.links[i]}}}
		}
		got := ""
		if u := metalinkOf(resp); u != nil {
			got = u.String()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// describing is a server that names a Metalink of its file, and has that.
type describing struct {
	*file
	doc     func(w http.ResponseWriter, r *http.Request)
	asked   int
	secrets []string // that came with requests for the Metalink
}

func (d *describing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, ".meta4") {
		d.mu.Lock()
		d.asked++
		d.secrets = append(d.secrets, r.Header.Get("X-Secret"))
		doc := d.doc
		d.mu.Unlock()
		doc(w, r)
		return
	}
	d.file.ServeHTTP(&addedLink{ResponseWriter: w, link: `<x.meta4>; rel=describedby; type="application/metalink4+xml"`}, r)
}

// metalinkText is a document about data, of which it says what parts names.
func metalinkText(data []byte, parts string, urls ...string) string {
	p := plainPieces(data, 256<<10)
	b := new(strings.Builder)
	b.WriteString(`<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="x">`)
	for part := range strings.FieldsSeq(parts) {
		switch part {
		case "size":
			fmt.Fprintf(b, "<size>%d</size>", len(data))
		case "digest":
			whole := plainPieces(data, len(data)).Sums[0]
			fmt.Fprintf(b, `<hash type="sha-256">%x</hash>`, whole)
		case "pieces":
			fmt.Fprintf(b, `<pieces type="sha-256" length="%d">`, p.Length)
			for _, s := range p.Sums {
				b.WriteString("<hash>" + hex.EncodeToString(s) + "</hash>")
			}
			b.WriteString("</pieces>")
		}
	}
	for _, u := range urls {
		b.WriteString("<url>" + u + "</url>")
	}
	b.WriteString("</file></metalink>")
	return b.String()
}

func textDoc(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

// TestDescribed: hashes and addresses of the Metalink that a server names. A server
// named there that has another file is found by its pieces.
func TestDescribed(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		a := &file{data: randomData(24*mib+7, 110), etag: `"a"`}
		d := &describing{file: a}
		r := mirrored(t, tr, d, a.copyOf(`"b"`), &file{data: randomData(24*mib+7, 111), etag: `"l"`})
		good, liar := r.opts.Mirrors[0].URL.String(), r.opts.Mirrors[1].URL.String()
		r.opts.Mirrors = nil
		r.opts.Header = http.Header{"X-Secret": {"s"}}
		d.doc = textDoc(metalinkText(a.data, "size digest pieces", good, liar, "ftp://h/x", "file:///x"))
		secured := secure(r.opts.URL.Scheme)
		res := r.must("x", a.data)
		if !res.ByPieces || res.Digest.IsZero() || d.asked != 1 || d.secrets[0] != "s" || !r.hasNote("has hashes of pieces, a digest") {
			t.Errorf("%+v, the Metalink was asked for %d times with %q", res, d.asked, d.secrets)
		}
		if secured { // neither of the others is
			if res.Mirrors != nil {
				t.Errorf("%+v", res.Mirrors)
			}
			return
		}
		r.wantDropped(res, "", "", CodePieceMismatch)
		if res.Mirrors[1].Bytes == 0 {
			t.Errorf("%+v", res.Mirrors)
		}
	})
}

// TestDescribedOnly: where the user wants no other addresses the hashes count anyway,
// also for what goes to a writer.
func TestDescribedOnly(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		a := &file{data: randomData(8*mib, 112), etag: `"a"`}
		d := &describing{file: a}
		r := newRig(t, tr, d, "/x")
		d.doc = textDoc(metalinkText(a.data, "pieces", r.opts.URL.Scheme+"://elsewhere.invalid/x"))
		r.opts.GivenOnly = true
		if res := r.must("x", a.data); !res.ByPieces || res.Mirrors != nil {
			t.Errorf("%+v", res)
		}
		var out bytes.Buffer
		r.opts.Writer = &out
		if res, err := r.get(t.Context()); err != nil || !res.ByPieces || !bytes.Equal(out.Bytes(), a.data) {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// TestDescribedWrong: a Metalink that is of no use does no harm, and a file that
// contradicts the one that its server names is not complete.
func TestDescribedWrong(t *testing.T) {
	data, other := randomData(8*mib, 113), randomData(8*mib, 114)
	sum := plainPieces(data, len(data)).Sums[0]
	for _, tt := range []struct {
		name  string
		tree  bool
		repr  []byte
		doc   func(http.ResponseWriter, *http.Request)
		asked int
		note  string // that the download goes on without it
		fails Code
	}{
		{name: "not there", doc: http.NotFound, asked: 1, note: "404"},
		{name: "busy", doc: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, asked: 2, note: "503"},
		{name: "no Metalink", doc: textDoc("<html>"), asked: 1, note: "not a valid Metalink"},
		{name: "cut short", doc: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "<metalink")
		}, asked: 2, note: "unexpected EOF"},
		{name: "of another size", doc: textDoc(metalinkText(data[1:], "size pieces")), asked: 1, note: "it is of a file of 8388607 bytes"},
		{name: "of another version", repr: sum, doc: textDoc(metalinkText(other, "digest pieces")), asked: 1, note: "its digest is another"},
		{name: "short pieces", doc: textDoc(strings.Replace(metalinkText(data, "pieces"), "262144", "1024", 1)), asked: 1, note: "hashes of pieces of 1024 bytes"},
		{name: "not needed", tree: true, doc: http.NotFound},
		{name: "pieces of another file", doc: textDoc(metalinkText(other, "pieces")), asked: 1, fails: CodePieceMismatch},
		{name: "digest of another file", doc: textDoc(metalinkText(other, "digest")), asked: 1, fails: CodeDigestMismatch},
	} {
		runPart(t, tt.name, func(t *testing.T, tr transport) {
			a := &file{data: data, etag: `"a"`, tree: tt.tree, repr: tt.repr}
			d := &describing{file: a, doc: tt.doc}
			r := newRig(t, tr, d, "/x")
			if tt.fails != "" {
				if e := r.fails(KindIntegrity); e.Code != tt.fails {
					t.Errorf("%v", e)
				}
			} else {
				r.must("x", data)
			}
			if d.asked != tt.asked || tt.note != "" && !r.hasNote(tt.note) || r.hasNote("going on without") != (tt.note != "") {
				t.Errorf("asked for %d times, want %d; notes %+v", d.asked, tt.asked, r.events)
			}
		})
	}
}

// TestDescribedResume: what is on disk in the pieces of a Metalink is kept until that
// can be had again.
func TestDescribedResume(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		a := &file{data: randomData(24*mib, 115), etag: `"a"`}
		text := textDoc(metalinkText(a.data, "size pieces"))
		d := &describing{file: a, doc: text}
		r := newRig(t, tr, d, "/x")
		was := r.interrupt(10 * mib)
		d.doc = http.NotFound
		if e := r.fails(KindNetwork); e.Code != CodeMetalinkUnused || !e.Resumable {
			t.Errorf("%+v", e)
		}
		d.doc = text
		res := r.must("x", a.data)
		if res.BytesResumed < was-8*256<<10 || !res.ByPieces {
			t.Errorf("resumed %d of %d: %+v", res.BytesResumed, was, res)
		}

		// Another version is not taken for this one, though its Metalink is there.
		r = newRig(t, tr, d, "/x")
		r.interrupt(10 * mib)
		a.etag = `"b"`
		if e := r.fails(KindRemoteChanged); e.Code != CodeETagChanged {
			t.Errorf("%+v", e)
		}
	})
}

// TestRedirectDescribes: who redirects to a mirror tells what the file is and where
// else it is.
func TestRedirectDescribes(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		b := &file{data: randomData(24*mib, 116), etag: `"b"`}
		c := b.copyOf(`"c"`)
		var text, toB, toC string // set before they are read
		r := alike(t, tr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, ".meta4") {
				io.WriteString(w, text)
				return
			}
			w.Header().Set("Link", `<x.meta4>; rel=describedby; type="application/metalink4+xml"`)
			http.Redirect(w, r, toB, http.StatusFound)
		}), b, c)
		toB, toC = r.opts.Mirrors[0].URL.String(), r.opts.Mirrors[1].URL.String()
		text, r.opts.Mirrors = metalinkText(b.data, "size pieces", toC), nil
		res := r.must("x", b.data)
		r.wantDropped(res, "", "")
		if !res.ByPieces || res.Mirrors[1].Bytes == 0 || res.Mirrors[1].URL != toC {
			t.Errorf("%+v", res)
		}
	})
}
