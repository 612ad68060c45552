package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// textLike returns n bytes of lines that a coding makes much shorter.
func textLike(n int) string {
	var b strings.Builder
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "2024-02-03T04:05:06.%06d level=info msg=request path=/data/%d status=200\n", i, rng.IntN(100_000))
	}
	return b.String()[:n]
}

func random(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}

// decode returns the body of w without its coding.
func decode(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var r io.Reader = w.Body
	switch w.Header().Get("Content-Encoding") {
	case "":
	case codingZstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		r = d
	case codingGzip:
		d, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = d
	default:
		t.Fatalf("coding %q", w.Header().Get("Content-Encoding"))
	}
	return string(readAll(t, r))
}

func encode(t testing.TB, coding, s string) string {
	t.Helper()
	c := takeCoder(coding)
	defer c.giveBack(coding)
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return c.out.String()
}

func TestCodedBodies(t *testing.T) {
	text := textLike(700_000)
	f := serveFolder(t, Options{}, map[string]string{
		"log.txt": text, "random": random(300_000), "log.txt.zip": text, "short": strings.Repeat("a", 900), "empty": "",
	})
	f.known(t, "log.txt")
	plain := f.get(t, "/log.txt", "Accept-Encoding", "identity")
	for _, tt := range []struct{ path, accept, coding string }{
		{"/log.txt", "zstd, gzip", "zstd"},
		{"/log.txt", "gzip", "gzip"},
		{"/log.txt", "x-gzip, br", "gzip"},
		{"/log.txt", "gzip, zstd;q=0.9", "gzip"},
		{"/log.txt", "gzip;q=0, zstd;q=0", ""},
		{"/log.txt", "br", ""},
		{"/log.txt", "", ""},
		{"/log.txt", "identity, gzip;q=0.5", ""},
		{"/log.txt", "*", "zstd"},
		{"/random", "zstd", ""},
		{"/random", "zstd, identity;q=0", "zstd"},
		{"/log.txt.zip", "zstd", ""},
		{"/short", "zstd", ""},
		{"/short", "gzip, *;q=0", "gzip"},
		{"/empty", "zstd", ""},
		{"/log.txt?bytes=5-600000", "zstd", "zstd"},
		{"/log.txt?bytes=5-600000", "gzip", "gzip"},
		{"/log.txt?bytes=5-600000", "identity", ""},
		{"/log.txt?bytes=5-604", "zstd", ""},
		{"/random?bytes=0-99999", "zstd", ""},
		{"/log.txt.zip?bytes=0-99999", "zstd", ""},
	} {
		t.Run(tt.path+" "+tt.accept, func(t *testing.T) {
			want := f.get(t, tt.path).Body.String()
			w := f.get(t, tt.path, "Accept-Encoding", tt.accept)
			if w.Code != 200 || w.Header().Get("Content-Encoding") != tt.coding || w.Header().Get("Vary") != "Accept-Encoding" {
				t.Fatalf("status %d, %v", w.Code, w.Header())
			}
			if tt.coding != "" && (w.Header().Get("Repr-Digest") != "" || w.Header().Get("Content-Length") != "") {
				t.Errorf("headers of the identity: %v", w.Header())
			}
			tag := w.Header().Get("ETag")
			if w.Body.Len() >= len(want) && tt.coding != "" && len(want) > 0 && !strings.HasPrefix(tt.path, "/random") {
				t.Errorf("%d bytes for %d", w.Body.Len(), len(want))
			}
			if decode(t, w) != want {
				t.Error("another body")
			}
			if head := f.do(t, "HEAD", tt.path, "Accept-Encoding", tt.accept); head.Header().Get("ETag") != tag || head.Header().Get("Content-Encoding") != tt.coding || head.Body.Len() > 0 {
				t.Errorf("HEAD: %v", head.Header())
			}
			if w := f.get(t, tt.path, "Accept-Encoding", tt.accept, "If-None-Match", tag); w.Code != 304 || w.Body.Len() > 0 || w.Header().Get("ETag") != tag || w.Header().Get("Vary") == "" {
				t.Errorf("If-None-Match: status %d, %v", w.Code, w.Header())
			}
			if w := f.get(t, tt.path, "Accept-Encoding", tt.accept, "If-Match", `"other"`); w.Code != 412 || w.Header().Get("Content-Encoding")+w.Header().Get("Content-Length") != "" {
				t.Errorf("If-Match: status %d, %v", w.Code, w.Header())
			}
			plainTag := f.get(t, tt.path).Header().Get("ETag")
			if (tag == plainTag) != (tt.coding == "") {
				t.Errorf("ETag %s, of identity %s", tag, plainTag)
			}
			if w := f.get(t, tt.path, "If-None-Match", tag); (w.Code == 304) != (tt.coding == "") {
				t.Errorf("identity with the tag of the coding: status %d", w.Code)
			}
		})
	}
	for _, accept := range []string{"*;q=0", "identity;q=0", "br, identity;q=0"} {
		if w := f.get(t, "/log.txt", "Accept-Encoding", accept); w.Code != 406 || w.Header().Get("ETag") != "" {
			t.Errorf("%s: status %d, %v", accept, w.Code, w.Header())
		}
	}
	// Ranges are of the identity, whatever is accepted, and its tag alone is
	// their validator.
	coded := f.get(t, "/log.txt", "Accept-Encoding", "zstd").Header().Get("ETag")
	for _, tt := range []struct {
		ifRange string
		status  int
	}{{"", 206}, {plain.Header().Get("ETag"), 206}, {coded, 200}} {
		header := []string{"Accept-Encoding", "zstd, gzip", "Range", "bytes=7-16"}
		if tt.ifRange != "" {
			header = append(header, "If-Range", tt.ifRange)
		}
		w := f.get(t, "/log.txt", header...)
		if w.Code != tt.status || w.Header().Get("Content-Encoding") != "" || w.Header().Get("ETag") != plain.Header().Get("ETag") {
			t.Errorf("If-Range %s: status %d, %v", tt.ifRange, w.Code, w.Header())
		}
		if tt.status == 206 && w.Body.String() != text[7:17] {
			t.Errorf("range: %q", w.Body)
		}
	}

	off := serveDir(t, Options{DisableCompression: true}, f.dir)
	if w := off.get(t, "/log.txt", "Accept-Encoding", "zstd"); w.Header().Get("Content-Encoding")+w.Header().Get("Vary")+w.Header().Get("Link-Template") != "" {
		t.Errorf("without compression: %v", w.Header())
	}
}

// Parts say what they were cut from, and are offered where that pays.
func TestPartsAreOffered(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a \"b\"{c}": textLike(200_000), "random": random(200_000)})
	w := f.get(t, "/a%20%22b%22%7Bc%7D")
	const want = `"/a%20%22b%22%7Bc%7D?bytes={first}-{last}"; rel="https://github.com/chunkget/chunkget#part"`
	if got := w.Header().Get("Link-Template"); got != want {
		t.Errorf("Link-Template: %s, want %s", got, want)
	}
	part := f.get(t, "/a%20%22b%22%7Bc%7D?bytes=100-199999", "Accept-Encoding", "zstd")
	if part.Header().Get("Part-Of") != w.Header().Get("ETag") || part.Header().Get("Part-Range") != "bytes 100-199999/200000" {
		t.Errorf("part: %v", part.Header())
	}
	if w := f.get(t, "/random"); w.Header().Get("Link-Template") != "" {
		t.Errorf("offered for what does not shrink: %v", w.Header())
	}
	if n := len(f.samples.shrinks); n != 2 {
		t.Errorf("%d samples kept", n)
	}
}

func TestSiblings(t *testing.T) {
	text := textLike(100_000)
	made := map[string]string{".gz": encode(t, codingGzip, text), ".zst": encode(t, codingZstd, text)}
	f := serveFolder(t, Options{}, map[string]string{
		"both": text, "both.gz": made[".gz"], "both.zst": made[".zst"],
		"gz": text, "gz.gz": made[".gz"],
		"old": text, "old.gz": made[".gz"],
		"other": text, "other.gz": encode(t, codingGzip, text[1:]),
		"cut": text, "cut.gz": made[".gz"][:10], "cut.zst": made[".zst"][:3],
		"text": text, "text.gz": text, "text.zst": text,
		"folder": text, "folder.gz/x": "",
	})
	before := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(f.dir, "old.gz"), before, before); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, accept, coding string
		asIs                 bool // the file beside it is sent
	}{
		{"/both", "gzip, zstd", "zstd", true},
		{"/both", "gzip", "gzip", true},
		{"/both", "gzip, zstd;q=0.5", "gzip", true},
		{"/both", "identity", "", false},
		{"/gz", "gzip, zstd", "gzip", true},
		{"/gz", "gzip;q=0.5, zstd", "zstd", false},
		{"/old", "gzip", "gzip", false},
		{"/other", "gzip", "gzip", false},
		{"/cut", "gzip", "gzip", false},
		{"/cut", "zstd", "zstd", false},
		{"/text", "zstd", "zstd", false},
		{"/folder", "gzip", "gzip", false},
	} {
		t.Run(tt.path+" "+tt.accept, func(t *testing.T) {
			w := f.get(t, tt.path, "Accept-Encoding", tt.accept)
			body := w.Body.String()
			if w.Code != 200 || w.Header().Get("Content-Encoding") != tt.coding || w.Header().Get("Vary") != "Accept-Encoding" {
				t.Fatalf("status %d, %v", w.Code, w.Header())
			}
			if tt.asIs && (body != made[siblingSuffix[tt.coding]] || w.Header().Get("Content-Length") != fmt.Sprint(len(body))) {
				t.Errorf("%d bytes, %v", len(body), w.Header())
			}
			if decode(t, w) != text {
				t.Error("another body")
			}
			if w := f.get(t, tt.path, "Accept-Encoding", tt.accept, "If-None-Match", w.Header().Get("ETag")); w.Code != 304 {
				t.Errorf("If-None-Match: status %d", w.Code)
			}
			if w := f.get(t, tt.path, "Accept-Encoding", tt.accept, "If-Match", `"x"`); w.Code != 412 || w.Header().Get("Content-Length") != "" {
				t.Errorf("If-Match: status %d, %v", w.Code, w.Header())
			}
		})
	}
	// Its tag is of both files.
	was := f.get(t, "/gz", "Accept-Encoding", "gzip").Header().Get("ETag")
	later := time.Date(2024, 3, 1, 0, 0, 0, 1, time.UTC)
	if err := os.Chtimes(filepath.Join(f.dir, "gz.gz"), later, later); err != nil {
		t.Fatal(err)
	}
	if now := f.get(t, "/gz", "Accept-Encoding", "gzip").Header().Get("ETag"); now == was {
		t.Error("the tag of another sibling is the same")
	}
}

// Nobody can hold more encoders than the budget allows; who asks for more gets
// identity, or is told to wait if that is refused.
func TestCodedBudget(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": textLike(100_000)})
	const me = "192.0.2.1:1234" // of httptest.NewRequest
	coding := func(accept string) (int, string) {
		w := f.get(t, "/a", "Accept-Encoding", accept)
		return w.Code, w.Header().Get("Content-Encoding")
	}
	var tickets []*ticket
	for range codedPerClient {
		tickets = append(tickets, f.budget.enter(me))
	}
	if status, c := coding("zstd"); status != 200 || c != "" {
		t.Errorf("a client beyond its budget: status %d, coding %q", status, c)
	}
	if status, _ := coding("zstd, identity;q=0"); status != 503 {
		t.Errorf("likewise, refusing identity: status %d", status)
	}
	tickets[0].leave()
	if _, c := coding("zstd"); c != codingZstd {
		t.Error("not compressed although the budget has room")
	}
	others := tickets[1:]
	for i := 0; len(others) < codedInAll; i++ {
		others = append(others, f.budget.enter(fmt.Sprintf("[2001:db8:0:%x::1]:1", i/codedPerClient)))
	}
	if _, c := coding("zstd"); c != "" {
		t.Error("compressed beyond the budget of all")
	}
	for _, k := range others {
		k.leave()
	}
	if len(f.budget.clients) != 0 || f.budget.open != 0 {
		t.Errorf("left: %v, %d", f.budget.clients, f.budget.open)
	}
}

// A file that changes while it is compressed is not sent to its end.
func TestCodedFileChanges(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": textLike(1 << 20)})
	opened, err := openIn(f.root, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	later := time.Date(2024, 3, 1, 0, 0, 0, 1, time.UTC)
	if err := os.Chtimes(filepath.Join(f.dir, "a"), later, later); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/a", nil)
	r.Header.Set("Accept-Encoding", "zstd")
	rec := httptest.NewRecorder()
	w := newResponse(rec, &f.sent)
	if !f.serveCodedFile(w, r, opened) || !errors.Is(w.err, errChanged) {
		t.Fatalf("error %v", w.err)
	}
	d, err := zstd.NewReader(rec.Body, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := io.Copy(io.Discard, d); err == nil {
		t.Error("the body is complete")
	}
}

func TestHolds(t *testing.T) {
	text := textLike(10_000)
	var wide bytes.Buffer
	e, err := zstd.NewWriter(&wide, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(e, textLike(100_000))
	e.Flush()
	io.WriteString(e, text)
	e.Close()
	streamed := encode(t, codingZstd, text)
	for _, tt := range []struct {
		name, coding, data string
		size               int
		want               bool
	}{
		{"gzip", codingGzip, encode(t, codingGzip, text), len(text), true},
		{"gzip of another size", codingGzip, encode(t, codingGzip, text), len(text) + 1, false},
		{"zstd", codingZstd, streamed, len(text), true},
		{"zstd with a window beyond 8 MiB", codingZstd, wide.String(), 110_000, false},
		{"zstd for gzip", codingGzip, streamed, len(text), false},
		{"gzip for zstd", codingZstd, encode(t, codingGzip, text), len(text), false},
		{"nothing", codingZstd, "", 0, false},
		{"skippable frame", codingZstd, "\x50\x2a\x4d\x18\x01\x00\x00\x00x", 0, false},
	} {
		if got := holds(strings.NewReader(tt.data), int64(len(tt.data)), tt.coding, int64(tt.size)); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestCurlDecodes(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed (Debian package curl)")
	}
	text := textLike(500_000)
	f := serveFolder(t, Options{}, map[string]string{"a": text})
	s := f.over(t)
	out, err := exec.CommandContext(t.Context(), curl, "-sS", "--fail", "--noproxy", "*", "--compressed", s.URL+"/a").Output()
	if err != nil || string(out) != text {
		t.Errorf("curl --compressed: %d bytes, %v", len(out), err)
	}
	if f.sent.Load() >= int64(len(text))/2 {
		t.Errorf("%d bytes sent for %d", f.sent.Load(), len(text))
	}
}
