package serve

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestFileHeaders(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a b,<c>.iso": "abc"})
	f.known(t, "a b,<c>.iso")
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		w := f.do(t, method, "/a%20b,%3Cc%3E.iso")
		if w.Code != 200 {
			t.Fatalf("%s: status %d", method, w.Code)
		}
		for name, want := range map[string]string{
			"Accept-Ranges":          "bytes",
			"Content-Length":         "3",
			"Last-Modified":          "Sat, 03 Feb 2024 04:05:06 GMT",
			"X-Content-Type-Options": "nosniff",
			// The SHA-256 of abc as FIPS 180-2 gives it.
			"Repr-Digest": "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:",
			"Link": `</a%20b%2C%3Cc%3E.iso?digest=tree>; rel="describedby"; type="application/vnd.chunkget.tree", ` +
				`</a%20b%2C%3Cc%3E.iso?digest=leaves>; rel="describedby"; type="application/vnd.chunkget.leaves", ` +
				`</a%20b%2C%3Cc%3E.iso?digest=meta4>; rel="describedby"; type="application/metalink4+xml"`,
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s: %s, want %s", method, name, got, want)
			}
		}
		if tag := w.Header().Get("ETag"); len(tag) < 10 || tag[0] != '"' {
			t.Errorf("%s: ETag %s is not strong", method, tag)
		}
		if body := w.Body.String(); (method == http.MethodGet) != (body == "abc") {
			t.Errorf("%s: body %q", method, body)
		}
	}
}

// The first request starts the job, and the digest is told as soon as it is known.
func TestReprDigestAppears(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": "abc"})
	first := f.get(t, "/a")
	if first.Header().Get("Repr-Digest") != "" {
		t.Error("the digest was known before anything was read")
	}
	f.hasher.wg.Wait()
	if second := f.get(t, "/a"); second.Header().Get("Repr-Digest") == "" || second.Header().Get("ETag") != first.Header().Get("ETag") {
		t.Errorf("after the job: %v", second.Header())
	}
}

func TestNotFound(t *testing.T) {
	outside := t.TempDir()
	writeFile(t, filepath.Join(outside, "secret"), "secret")
	f := serveFolder(t, Options{}, map[string]string{
		"a": "abc", ".hidden": "x", ".dir/a": "x", "dir/b": "x", "back\\slash": "x",
	})
	for link, target := range map[string]string{
		"out": filepath.Join(outside, "secret"), "outdir": outside, "up": "../" + filepath.Base(outside) + "/secret",
		"dangling": "nothing", "loop": "loop", "in": "dir/b",
	} {
		symlink(t, target, filepath.Join(f.dir, link))
	}
	for _, target := range []string{
		"/nothing", "/nothing/", "/a/", "/a/b", "//a", "/./a", "/dir/../a", "/../a", "/..", "/dir//b",
		"/dir%2fb", "/dir%2Fb", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/a", "/a%00", "/a%00b",
		"/.hidden", "/.dir/a", "/.dir/", "/.",
		"/out", "/outdir/", "/outdir/secret", "/up", "/dangling", "/loop",
		"/..%5c..%5cetc%5cpasswd", "/%5c", "/C:%5cwindows", "/%252e%252e/a", "/..%c0%af", "//etc/passwd", "/%2fetc/passwd", "/file:%2f%2fa",
		"/" + strings.Repeat("..%2f", 2000), "/" + strings.Repeat("%00", 10_000),
		"/" + strings.Repeat("x", 300), "/" + strings.Repeat("x/", 3000),
		"/dir/?digest=tree", "/dir?bytes=0-1", "/nothing?digest=tree", "/out?digest=tree",
	} {
		w := f.get(t, target)
		if w.Code != 404 || w.Body.String() != "not found\n" {
			t.Errorf("%.40s: status %d, body %.40q", target, w.Code, w.Body)
		}
		if w.Header().Get("ETag")+w.Header().Get("Link") != "" {
			t.Errorf("%.40s: %v", target, w.Header())
		}
	}
	for _, target := range []string{"/a", "/in", "/dir/b", "/back%5Cslash"} {
		if w := f.get(t, target); w.Code != 200 {
			t.Errorf("%s: status %d", target, w.Code)
		}
	}
	open := serveDir(t, Options{DotFiles: true}, f.dir)
	for _, target := range []string{"/.hidden", "/.dir/a", "/.dir/"} {
		if w := open.get(t, target); w.Code != 200 {
			t.Errorf("with DotFiles: %s: status %d", target, w.Code)
		}
	}
	// Dots that are no name stay out, also where they would lead nowhere new.
	for _, target := range []string{"/../a", "/dir/../a", "/./a", "/dir/..", "/.", "/.dir/./a"} {
		if w := open.get(t, target); w.Code != 404 {
			t.Errorf("with DotFiles: %s: status %d", target, w.Code)
		}
	}
}

func TestForbidden(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": "abc"})
	if err := os.Chmod(filepath.Join(f.dir, "a"), 0); err != nil {
		t.Fatal(err)
	}
	if h, err := os.Open(filepath.Join(f.dir, "a")); err == nil {
		h.Close()
		t.Skip("needs a user whom permissions bind, as they do not root")
	}
	if w := f.get(t, "/a"); w.Code != 403 {
		t.Errorf("status %d", w.Code)
	}
}

func TestBadRequests(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": "abc"})
	for _, tt := range []struct {
		method, target string
		status         int
	}{
		{"POST", "/a", 405}, {"PUT", "/new", 405}, {"DELETE", "/a", 405}, {"OPTIONS", "/a", 405}, {"BREW", "/nothing", 405},
		{"GET", "/a?digest=md5", 400}, {"GET", "/a?digest=", 400}, {"GET", "/a?digest=tree&digest=tree", 400},
		{"GET", "/a?digest=tree&bytes=0-1", 400}, {"GET", "/a?bytes=", 400}, {"GET", "/a?x=%zz", 400}, {"GET", "/a?a;b", 400},
		{"GET", "/a?other=1", 200},
	} {
		w := f.do(t, tt.method, tt.target)
		if w.Code != tt.status {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.target, w.Code, tt.status)
		}
		if allow := w.Header().Get("Allow"); (allow == "GET, HEAD") != (tt.status == 405) {
			t.Errorf("%s %s: Allow %q", tt.method, tt.target, allow)
		}
	}
	if _, err := os.Stat(filepath.Join(f.dir, "new")); err == nil {
		t.Error("PUT made a file")
	}
}

func TestRanges(t *testing.T) {
	content := testBytes(40_000)
	f := serveFolder(t, Options{}, map[string]string{"a": content, "empty": ""})
	f.known(t, "a")
	tag := f.get(t, "/a").Header().Get("ETag")
	const old = "Sat, 03 Feb 2024 04:05:06 GMT"
	for _, tt := range []struct {
		name, rng, ifRange string
		status             int
		contentRange, body string
	}{
		{"first", "bytes=0-99", "", 206, "bytes 0-99/40000", content[:100]},
		{"last", "bytes=-5", "", 206, "bytes 39995-39999/40000", content[39995:]},
		{"open", "bytes=39000-", "", 206, "bytes 39000-39999/40000", content[39000:]},
		{"clamped", "bytes=39000-99999", "", 206, "bytes 39000-39999/40000", content[39000:]},
		{"longer than what is held back", "bytes=1-30000", "", 206, "bytes 1-30000/40000", content[1:30001]},
		{"unit in capitals", "Bytes=0-0", "", 206, "bytes 0-0/40000", content[:1]},
		{"beyond", "bytes=40000-", "", 416, "bytes */40000", ""},
		{"malformed", "bytes=x", "", 416, "", ""},
		{"other unit", "pages=1-2", "", 200, "", content},
		{"no unit", "0-1", "", 200, "", content},
		{"strong If-Range", "bytes=0-0", tag, 206, "bytes 0-0/40000", content[:1]},
		{"weak If-Range", "bytes=0-0", "W/" + tag, 200, "", content},
		{"other If-Range", "bytes=0-0", `"other"`, 200, "", content},
		{"date If-Range", "bytes=0-0", old, 206, "bytes 0-0/40000", content[:1]},
		{"17 ranges", "bytes=" + strings.Repeat("0-0,", 16) + "0-0", "", 416, "bytes */40000", ""},
		{"17 ranges, other If-Range", "bytes=" + strings.Repeat("0-0,", 16) + "0-0", `"other"`, 200, "", content},
		{"more than the file", "bytes=0-,0-,0-", "", 200, "", content},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := []string{"Range", tt.rng}
			if tt.ifRange != "" {
				header = append(header, "If-Range", tt.ifRange)
			}
			w := f.get(t, "/a", header...)
			if w.Code != tt.status || w.Header().Get("Content-Range") != tt.contentRange {
				t.Fatalf("status %d, Content-Range %q", w.Code, w.Header().Get("Content-Range"))
			}
			if tt.status < 400 {
				if w.Body.String() != tt.body {
					t.Errorf("wrong body of %d bytes", w.Body.Len())
				}
				if w.Header().Get("ETag") != tag || w.Header().Get("Repr-Digest") == "" {
					t.Errorf("headers %v", w.Header())
				}
			} else if w.Header().Get("Repr-Digest") != "" {
				t.Error("an error message with the digest of the file")
			}
		})
	}
	if w := f.do(t, "HEAD", "/a", "Range", "bytes=0-0"); w.Code != 200 || w.Header().Get("Content-Length") != "40000" {
		t.Errorf("HEAD with Range: status %d, %v", w.Code, w.Header())
	}
	if w := f.get(t, "/empty", "Range", "bytes=0-"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("range of an empty file: status %d", w.Code)
	}
	if w := f.get(t, "/a", "If-None-Match", tag); w.Code != 304 {
		t.Errorf("If-None-Match: status %d", w.Code)
	}
	if w := f.get(t, "/a", "If-Match", `"other"`); w.Code != 412 {
		t.Errorf("If-Match: status %d", w.Code)
	}
}

func TestMultipleRanges(t *testing.T) {
	content := testBytes(100_000)
	f := serveFolder(t, Options{}, map[string]string{"a": content})
	w := f.get(t, "/a", "Range", "bytes=0-9,50000-79999,-10")
	_, params, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if w.Code != 206 || err != nil {
		t.Fatalf("status %d, %v", w.Code, err)
	}
	parts := multipart.NewReader(w.Body, params["boundary"])
	for _, want := range []struct{ contentRange, body string }{
		{"bytes 0-9/100000", content[:10]},
		{"bytes 50000-79999/100000", content[50000:80000]},
		{"bytes 99990-99999/100000", content[99990:]},
	} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Header.Get("Content-Range"); got != want.contentRange {
			t.Errorf("Content-Range %q, want %q", got, want.contentRange)
		}
		if got := readAll(t, p); string(got) != want.body {
			t.Errorf("%s: wrong bytes", want.contentRange)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
	if w := f.get(t, "/a", "Range", "bytes="+strings.Repeat("0-0,", 15)+"0-0"); w.Code != 206 {
		t.Errorf("16 ranges: status %d", w.Code)
	}
}

// Any write, whatever its length, makes another ETag, and so does another file
// of the same size and time in its place.
func TestETagFollowsVersion(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": "abc"})
	path := filepath.Join(f.dir, "a")
	seen := map[string]string{}
	check := func(what string) {
		t.Helper()
		tag := f.get(t, "/a").Header().Get("ETag")
		if other, ok := seen[tag]; ok {
			t.Errorf("%s: the ETag of %s", what, other)
		}
		seen[tag] = what
	}
	check("the original")
	if f.get(t, "/a").Header().Get("ETag") == "" || len(seen) != 1 {
		t.Error("two requests for one version, two ETags")
	}
	if err := os.WriteFile(path, []byte("abd"), 0o666); err != nil {
		t.Fatal(err)
	}
	check("an overwritten file")
	writeFile(t, path, "abcd")
	check("a longer file")
	if hasInode(t, path) {
		writeFile(t, path+".new", "abcd")
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		check("a file put in its place")
	}
}

// hasInode reports whether files can be told apart here.
func hasInode(t *testing.T, path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return versionOf(info).inode != 0
}

// A body is never completed with bytes of another version: the connection drops.
func TestChangedWhileSent(t *testing.T) {
	const size = 200 << 10
	for _, tt := range []struct {
		name   string
		header []string
		change func(path string) error
	}{
		{"shrunk", nil, func(path string) error { return os.Truncate(path, 1000) }},
		{"rewritten", nil, func(path string) error { return os.WriteFile(path, make([]byte, size), 0o666) }},
		{"rewritten, range", []string{"Range", "bytes=5-199999"}, func(path string) error { return os.WriteFile(path, make([]byte, size), 0o666) }},
		{"rewritten, ranges", []string{"Range", "bytes=0-9,1000-199999"}, func(path string) error { return os.WriteFile(path, make([]byte, size), 0o666) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := serveFolder(t, Options{}, map[string]string{"a": testBytes(size)})
			w := &changingWriter{ResponseRecorder: httptest.NewRecorder(), change: func() {
				if err := tt.change(filepath.Join(f.dir, "a")); err != nil {
					t.Error(err)
				}
			}}
			r := httptest.NewRequest("GET", "/a", nil)
			for i := 0; i < len(tt.header); i += 2 {
				r.Header.Set(tt.header[i], tt.header[i+1])
			}
			defer func() {
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("ended with %v, not aborted", p)
				}
				if n := w.Body.Len(); n >= size-5 || w.change != nil {
					t.Errorf("%d bytes were sent", n)
				}
			}()
			f.ServeHTTP(w, r)
		})
	}
}

// A changingWriter calls change after the first bytes of the body.
type changingWriter struct {
	*httptest.ResponseRecorder
	change func()
}

func (w *changingWriter) Write(p []byte) (int, error) {
	if w.change != nil {
		w.change()
		w.change = nil
	}
	return w.ResponseRecorder.Write(p)
}

// A file whose name goes to another one is sent to its end.
func TestReplacedWhileSent(t *testing.T) {
	const size = 200 << 10
	f := serveFolder(t, Options{}, map[string]string{"a": testBytes(size), "b": "new"})
	w := &changingWriter{ResponseRecorder: httptest.NewRecorder(), change: func() {
		err := os.Rename(filepath.Join(f.dir, "b"), filepath.Join(f.dir, "a"))
		if err != nil && runtime.GOOS == "windows" {
			t.Skip("Windows lets nobody replace an open file: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}}
	f.ServeHTTP(w, httptest.NewRequest("GET", "/a", nil))
	if w.Body.String() != testBytes(size) {
		t.Errorf("%d bytes", w.Body.Len())
	}
}

func TestPart(t *testing.T) {
	content := testBytes(50_000)
	f := serveFolder(t, Options{}, map[string]string{"a": content, "empty": ""})
	whole := f.get(t, "/a").Header().Get("ETag")
	w := f.get(t, "/a?bytes=100-30099")
	if w.Code != 200 || w.Body.String() != content[100:30100] {
		t.Fatalf("status %d, %d bytes", w.Code, w.Body.Len())
	}
	tag := w.Header().Get("ETag")
	if want := strings.TrimSuffix(whole, `"`) + `.100-30099"`; tag != want {
		t.Errorf("ETag %s, want %s", tag, want)
	}
	if w.Header().Get("Content-Length") != "30000" || w.Header().Get("Content-Range")+w.Header().Get("Link")+w.Header().Get("Repr-Digest") != "" {
		t.Errorf("headers %v", w.Header())
	}
	if other := f.get(t, "/a?bytes=100-30098").Header().Get("ETag"); other == tag {
		t.Error("two parts, one ETag")
	}
	// A part can be resumed like any other resource.
	w = f.get(t, "/a?bytes=100-199", "Range", "bytes=90-", "If-Range", `"`+strings.Trim(whole, `"`)+`.100-199"`)
	if w.Code != 206 || w.Body.String() != content[190:200] || w.Header().Get("Content-Range") != "bytes 90-99/100" {
		t.Errorf("range of a part: status %d, %v", w.Code, w.Header())
	}
	for target, status := range map[string]int{
		"/a?bytes=0-49999": 200, "/a?bytes=0-50000": 416, "/a?bytes=50000-50000": 416, "/empty?bytes=0-0": 416,
		"/a?bytes=5-4": 400, "/a?bytes=-5": 400, "/a?bytes=5-": 400, "/a?bytes=5": 400, "/a?bytes=x-y": 400, "/a?bytes=0-0,2-3": 400,
		"/a?bytes=00-1": 400, "/a?bytes=%2B0-1": 400, "/a?bytes=0-1%20": 400, "/a?bytes=0--1": 400,
		"/a?bytes=0-9223372036854775807": 416, "/a?bytes=0-9223372036854775808": 400,
	} {
		w := f.get(t, target)
		if w.Code != status {
			t.Errorf("%s: status %d, want %d", target, w.Code, status)
		}
		if status == 416 && !strings.HasPrefix(w.Header().Get("Content-Range"), "bytes */") {
			t.Errorf("%s: Content-Range %q", target, w.Header().Get("Content-Range"))
		}
	}
}

func FuzzPart(f *testing.F) {
	for _, s := range []string{"0-0", "5-10", "1-", "-1", "9223372036854775807-9223372036854775807", "00-1", "+1-2", "1-2-3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, err := parsePart(s)
		if err != nil {
			return
		}
		if first < 0 || last < first {
			t.Errorf("%q is %d to %d", s, first, last)
		}
		if again := fmt.Sprintf("%d-%d", first, last); again != s {
			t.Errorf("%q and %q are one part", s, again)
		}
	})
}

func FuzzLocalName(f *testing.F) {
	for _, s := range []string{"/", "/a", "/a/b/", "//", "/..", "/a/../b", "/.x", "/a\x00", "a", "", "/\\", "/C:/x", "/con"} {
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, dot bool) {
		name, _, err := localName(s, dot)
		if err != nil {
			return
		}
		if !filepath.IsLocal(name) {
			t.Errorf("%q leads to %q", s, name)
		}
		if !dot && name != "." && (strings.HasPrefix(name, ".") || strings.Contains(name, "/.")) {
			t.Errorf("%q leads to a hidden %q", s, name)
		}
	})
}

// Requests are logged without anything in them that a terminal would obey.
func TestAccessLog(t *testing.T) {
	var buf bytes.Buffer
	f := serveFolder(t, Options{Logger: slog.New(slog.NewTextHandler(&buf, nil))}, map[string]string{"a": "abc"})
	f.get(t, "/a")
	f.get(t, "/%1b%5B31m%0Aevil?token=secret")
	lines := strings.Split(strings.TrimSpace(buf.String()), "\n")
	if len(lines) != 2 || strings.ContainsAny(buf.String(), "\x1b") || strings.Contains(buf.String(), "secret") {
		t.Fatalf("log %q", buf.String())
	}
	for _, want := range []string{"method=GET", "path=/a", "status=200", "bytes=3", "duration=", "remote=192.0.2.1:1234"} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("no %s in %s", want, lines[0])
		}
	}
	if s := f.Stats(); s.Requests != 2 || s.BytesSent != 3+int64(len("not found\n")) {
		t.Errorf("stats %+v", s)
	}
}

// Over a real connection the body goes through the kernel's copy, and an aborted
// one is seen as such.
func TestOverTCP(t *testing.T) {
	content := testBytes(3<<20 + 17)
	f := serveFolder(t, Options{}, map[string]string{"a": content})
	s := f.over(t)
	for range 2 { // the second time on the connection of the first
		resp, err := http.Get(s.URL + "/a")
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp.Body); string(body) != content {
			t.Errorf("%d wrong bytes", len(body))
		}
		resp.Body.Close()
	}
	resp, err := http.Get(s.URL + "/a")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	// The client has read nothing yet and sockets do not hold all of it... unless
	// they do; then the change comes too late to matter and all bytes are right.
	if err := os.WriteFile(filepath.Join(f.dir, "a"), make([]byte, len(content)), 0o666); err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != content {
		t.Error("a body of two versions came to its end")
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Log("aborted with", err)
	}
}

func TestDigestEncoding(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": ""})
	d := f.known(t, "a")
	if got := base64.StdEncoding.EncodeToString(d.sha256[:]); got != "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" {
		t.Errorf("sha-256 of nothing is %s", got)
	}
	if !d.root.IsZero() {
		t.Errorf("root of nothing is %v", d.root)
	}
}

func TestSettle(t *testing.T) {
	base := time.Unix(1_700_000_000, 123456789)
	for _, tt := range []struct {
		v    version
		now  time.Time
		want time.Duration
	}{
		{version{mtime: base.UnixNano()}, base, fineTick},
		{version{mtime: base.UnixNano()}, base.Add(5 * time.Millisecond), fineTick - 5*time.Millisecond},
		{version{mtime: base.UnixNano()}, base.Add(time.Second), 0},
		{version{mtime: 1, ctime: base.UnixNano()}, base, fineTick},
		{version{mtime: base.Truncate(time.Second).UnixNano()}, base.Truncate(time.Second), coarseTick},
		{version{mtime: base.Truncate(time.Second).UnixNano(), ctime: base.UnixNano()}, base, fineTick},
		{version{mtime: base.Add(time.Hour).UnixNano()}, base, 0},
	} {
		if got := tt.v.settle(tt.now); got != tt.want {
			t.Errorf("%+v at %v: %v, want %v", tt.v, tt.now, got, tt.want)
		}
	}
}
