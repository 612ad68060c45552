package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// uploadTo serves a new folder with the given files that takes uploads.
func uploadTo(t testing.TB, o UploadOptions, files map[string]string) *testFolder {
	t.Helper()
	return serveFolder(t, Options{Upload: &o}, files)
}

// send makes a request with a body; header lines are in pairs of name and value.
func (f *testFolder) send(t testing.TB, method, target string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, body).WithContext(t.Context())
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// content returns the content of a file of the folder, and whether it is there.
func (f *testFolder) content(name string) (string, bool) {
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	return string(b), err == nil
}

// partials returns the names of the files of partial uploads.
func (f *testFolder) partials(t testing.TB) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(f.dir, uploadFolder))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// brokenBody fails after its bytes.
func brokenBody(s string, err error) io.Reader {
	return io.MultiReader(strings.NewReader(s), errReader{err})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestPut(t *testing.T) {
	const data = "0123456789"
	sum := sha256.Sum256([]byte(data))
	good := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	bad := "sha-256=:" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + ":"
	f := uploadTo(t, UploadOptions{MaxSize: 100, Quota: 1 << 20}, map[string]string{"there": "old", "dir/x": "", "page.html": "<script>"})
	for link, to := range map[string]string{"dangling": "nowhere", "out": t.TempDir(), "in": "dir"} {
		symlink(t, to, filepath.Join(f.dir, link))
	}
	for _, tt := range []struct {
		target string
		body   io.Reader
		header []string
		status int
		name   string // of the file that is there afterwards, "" for none
	}{
		{"/a", strings.NewReader(data), nil, 201, "a"},
		{"/dir/b", strings.NewReader(data), nil, 201, "dir/b"},
		{"/in/c", strings.NewReader(data), nil, 201, "dir/c"},
		{"/%C3%A9%20%3F", strings.NewReader(data), nil, 201, "é ?"},
		{"/once", strings.NewReader(data), []string{"If-None-Match", "*"}, 201, "once"},
		{"/chunked", io.MultiReader(strings.NewReader(data)), nil, 201, "chunked"},
		{"/digest", strings.NewReader(data), []string{"Repr-Digest", good, "Content-Digest", "unknown=:AAAA:, " + good}, 201, "digest"},
		{"/wrong", strings.NewReader(data), []string{"Repr-Digest", bad}, 422, ""},
		{"/wrong", strings.NewReader(data), []string{"Content-Digest", "sha-256=:AAAA:"}, 400, ""},
		{"/there", strings.NewReader(data), nil, 409, ""},
		{"/there", strings.NewReader(data), []string{"If-None-Match", "*"}, 412, ""},
		{"/there", strings.NewReader(data), []string{"If-Match", "*"}, 412, ""},
		{"/dir", strings.NewReader(data), nil, 409, ""},
		{"/dangling", strings.NewReader(data), nil, 409, ""},
		{"/out/x", strings.NewReader(data), nil, 404, ""},
		{"/none/x", strings.NewReader(data), nil, 404, ""},
		{"/there/x", strings.NewReader(data), nil, 404, ""},
		{"/dir/", strings.NewReader(data), nil, 400, ""},
		{"/.hidden", strings.NewReader(data), nil, 400, ""},
		{"/" + uploadFolder + "/x", strings.NewReader(data), nil, 400, ""},
		{"/dir/../x", strings.NewReader(data), nil, 400, ""},
		{"/dir//x", strings.NewReader(data), nil, 400, ""},
		{"/dir%2fx", strings.NewReader(data), nil, 400, ""},
		{"/x%00", strings.NewReader(data), nil, 400, ""},
		{"/x%0a", strings.NewReader(data), nil, 400, ""},
		{"/x%5cy", strings.NewReader(data), nil, 400, ""},
		{"/%ff", strings.NewReader(data), nil, 400, ""},
		{"/" + strings.Repeat("x", 256), strings.NewReader(data), nil, 400, ""},
		{"/part", strings.NewReader(data), []string{"Content-Range", "bytes 0-9/20"}, 400, ""},
		{"/coded", strings.NewReader(data), []string{"Content-Encoding", "gzip"}, 415, ""},
		{"/foreign", strings.NewReader(data), []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"/large", strings.NewReader(strings.Repeat("x", 101)), nil, 413, ""},
		{"/large", io.MultiReader(strings.NewReader(strings.Repeat("x", 101))), nil, 413, ""},
		{"/short", brokenBody(data, io.ErrUnexpectedEOF), nil, 400, ""},
		{"/slow", brokenBody(data, errTooSlow), nil, 408, ""},
		{"/slow", brokenBody(data, os.ErrDeadlineExceeded), nil, 408, ""},
	} {
		w := f.send(t, http.MethodPut, tt.target, tt.body, tt.header...)
		if w.Code != tt.status {
			t.Errorf("PUT %s %q: status %d, want %d: %s", tt.target, tt.header, w.Code, tt.status, w.Body)
		}
		if got, _ := f.content(tt.name); tt.name != "" && got != data {
			t.Errorf("PUT %s: %s has %q", tt.target, tt.name, got)
		}
		if tt.status == 201 {
			now := f.get(t, w.Header().Get("Location"))
			if now.Body.String() != data || now.Header().Get("ETag") != w.Header().Get("ETag") {
				t.Errorf("PUT %s: at %s with ETag %s is %q with ETag %s", tt.target, w.Header().Get("Location"), w.Header().Get("ETag"), now.Body, now.Header().Get("ETag"))
			}
		}
		if left := f.partials(t); len(left) > 0 {
			t.Fatalf("PUT %s: left are %q", tt.target, left)
		}
	}
	if got, _ := f.content("there"); got != "old" {
		t.Errorf("the file that was there has %q", got)
	}
	if f.uploads.quota.sum != 0 || f.Stats().Uploads != 7 || f.Stats().BytesReceived < 70 {
		t.Errorf("%d bytes are still reserved; %+v", f.uploads.quota.sum, f.Stats())
	}
	// What somebody has uploaded must not act in the name of the server.
	if got := f.get(t, "/page.html").Header().Get("Content-Security-Policy"); got != "sandbox" {
		t.Errorf("a page has Content-Security-Policy %q", got)
	}
}

func TestUploadMethods(t *testing.T) {
	off := serveFolder(t, Options{}, map[string]string{"a": ""})
	on := uploadTo(t, UploadOptions{}, map[string]string{"a": ""})
	for _, method := range []string{"PUT", "POST", "PATCH", "DELETE", "TRACE", "MKCOL"} {
		if w := off.send(t, method, "/b", strings.NewReader("x")); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s without uploads: status %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
	for _, tt := range []struct {
		method, target string
		status         int
	}{
		{"TRACE", "/b", 405}, {"MKCOL", "/b", 405}, {"DELETE", "/a", 405}, {"PATCH", "/a", 405},
		{"PUT", "/b?upload=0", 405}, {"POST", "/b?upload=0", 405},
		{"GET", "/b?upload=0", 404}, {"PATCH", "/b?upload=0", 404}, {"DELETE", "/b?upload=0", 404},
		{"GET", "/b?upload=" + strings.Repeat("0", 32), 404},
		{"GET", "/b?upload=../../a", 404},
		{"POST", "/b", 415}, {"POST", "/", 415}, {"POST", "/none/", 404}, {"POST", "/a/", 404},
	} {
		w := on.send(t, tt.method, tt.target, strings.NewReader("x"))
		if w.Code != tt.status || tt.status == 405 && w.Header().Get("Allow") != uploadMethods {
			t.Errorf("%s %s: status %d, want %d; Allow %q", tt.method, tt.target, w.Code, tt.status, w.Header().Get("Allow"))
		}
	}
	if w := on.get(t, "/"); strings.Contains(w.Body.String(), uploadFolder) || w.Code != 200 {
		t.Errorf("the listing has the folder of partial uploads: %s", w.Body)
	}
	dots := serveFolder(t, Options{DotFiles: true, Upload: new(UploadOptions)}, map[string]string{"a": ""})
	for _, path := range []string{"/" + uploadFolder + "/", "/" + strings.ToUpper(uploadFolder) + "/"} {
		if w := dots.get(t, path); w.Code != 404 {
			t.Errorf("%s is served: %d", path, w.Code)
		}
	}
}

// formOf returns a form with files in pairs of name and content, and its type.
func formOf(t testing.TB, files ...string) (*bytes.Buffer, string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	m.WriteField("comment", "no file")
	for i := 0; i < len(files); i += 2 {
		w, err := m.CreateFormFile("file", files[i])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, files[i+1])
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return &b, m.FormDataContentType()
}

func TestUploadForm(t *testing.T) {
	f := uploadTo(t, UploadOptions{MaxSize: 100}, map[string]string{"dir/there": "old"})
	for _, tt := range []struct {
		files  []string
		accept string
		status int
		said   string
		stored map[string]string
	}{
		{[]string{"a", "1", "b", "22"}, "", 201, "stored \"a\", 1 bytes\nstored \"b\", 2 bytes\n", map[string]string{"a": "1", "b": "22"}},
		{[]string{"c", ""}, "text/html,*/*", 303, "", map[string]string{"c": ""}},
		{[]string{`C:\x\d`, "4", "../../e", "5"}, "", 201, "", map[string]string{"d": "4", "e": "5"}},
		{[]string{"f", "6", "there", "new"}, "", 409, "stored \"f\", 1 bytes\n\"there\": a file", map[string]string{"f": "6", "there": "old"}},
		{[]string{".g", "7"}, "", 400, "cannot be the name", nil},
		{[]string{"g", strings.Repeat("x", 101)}, "", 413, "", nil},
		{nil, "", 400, "no file", nil},
	} {
		body, kind := formOf(t, tt.files...)
		w := f.send(t, http.MethodPost, "/dir/", body, "Content-Type", kind, "Accept", tt.accept)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.said) {
			t.Errorf("%q: status %d, want %d: %s", tt.files, w.Code, tt.status, w.Body)
		}
		if w.Code == 303 && w.Header().Get("Location") != "/dir/" {
			t.Errorf("%q: on to %q", tt.files, w.Header().Get("Location"))
		}
		for name, want := range tt.stored {
			if got, ok := f.content("dir/" + name); !ok || got != want {
				t.Errorf("%q: %s has %q", tt.files, name, got)
			}
		}
	}
	if left := f.partials(t); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	const form = `<form method="post" enctype="multipart/form-data">`
	page := f.get(t, "/dir/")
	if !strings.Contains(page.Body.String(), form) || !strings.Contains(page.Header().Get("Content-Security-Policy"), "form-action 'self'") {
		t.Errorf("no form in the listing: %s", page.Body)
	}
	for _, f := range []*testFolder{serveFolder(t, Options{}, nil), uploadTo(t, UploadOptions{NoForm: true}, nil)} {
		if w := f.get(t, "/"); strings.Contains(w.Body.String(), form) || w.Code != 200 {
			t.Errorf("status %d, a form in the listing: %s", w.Code, w.Body)
		}
	}
}

// A file that somebody uploads does not change what others get for another one.
func TestUploadedSiblings(t *testing.T) {
	content := strings.Repeat("text ", 1000)
	f := uploadTo(t, UploadOptions{}, map[string]string{"a.txt": content})
	sibling := encode(t, codingGzip, strings.Repeat("evil ", 1000))
	if w := f.send(t, http.MethodPut, "/a.txt.gz", strings.NewReader(sibling)); w.Code != 201 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	w := f.get(t, "/a.txt", "Accept-Encoding", "gzip")
	if got := decode(t, w); got != content {
		t.Errorf("the file has become %.20q", got)
	}
}

// Bodies have the least rate of everything else, and what came of one that is
// too slow is not left.
func TestSlowUpload(t *testing.T) {
	limits := Limits{MinRate: 10_000, MinRateTime: 30 * time.Second}
	f := uploadTo(t, UploadOptions{}, nil)
	// The sweeper's ticker is of real time, so it is not of the bubble.
	guarded(t, f, limits, func(t *testing.T, _ *Server, l pipeListener) {
		c := l.dial(t)
		defer c.Close()
		answer := make(chan string)
		go func() {
			b, _ := io.ReadAll(c)
			answer <- string(b)
		}()
		start := time.Now()
		_, err := io.WriteString(c, "PUT /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n")
		for ; err == nil; time.Sleep(time.Second) {
			_, err = io.WriteString(c, "0123456789")
		}
		if took := time.Since(start); took < 20*time.Second || took > 2*time.Minute {
			t.Errorf("cut off after %v", took)
		}
		if got := <-answer; !strings.HasPrefix(got, "HTTP/1.1 408 ") {
			t.Errorf("answer %q", got)
		}
	})
	if left := f.partials(t); len(left) > 0 || f.uploads.quota.sum != 0 {
		t.Errorf("left are %q, %d bytes reserved", left, f.uploads.quota.sum)
	}
}

func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held, measured := int64(100), 0
		q := newQuota(1000, func() int64 { measured++; return held })
		for _, tt := range []struct {
			n    int64
			fits bool
		}{{901, false}, {900, true}, {1, false}, {-5, true}, {1 << 62, false}} {
			if err := q.take("a", tt.n, time.Now()); (err == nil) != tt.fits {
				t.Errorf("take %d: %v", tt.n, err)
			}
		}
		q.release("a")
		held = 500
		if err := q.take("b", 900, time.Now()); err != nil || measured != 1 {
			t.Errorf("%v after %d measurements", err, measured)
		}
		q.stored("b", 800)
		time.Sleep(measureEvery + 1)
		if err := q.take("c", 501, time.Now()); err == nil || measured != 2 {
			t.Errorf("what others have added is not counted: %v after %d measurements", err, measured)
		}
		if err := q.take("c", 500, time.Now()); err != nil {
			t.Error(err)
		}
		if err := q.turn("c", "d", 501); err == nil || q.sum != 500 || !q.knows("c") {
			t.Errorf("%v: %d bytes of %v", err, q.sum, q.reserved)
		}
		q.hold("d", 100)
		q.turn("c", "d", 500)
		if q.release("c"); q.sum != 500 || !q.knows("d") || q.uploads() != 1 {
			t.Errorf("%d bytes of %v", q.sum, q.reserved)
		}
	})
	dir := t.TempDir()
	for name, size := range map[string]int{"a": 0, "dir/b": 1, "c": 4097, uploadFolder + "/x": 100_000} {
		writeFile(t, filepath.Join(dir, name), testBytes(size))
	}
	os.Symlink("/", filepath.Join(dir, "link"))
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if got := folderSize(root); got != 4*blockSize {
		t.Errorf("the folder has %d bytes", got)
	}
}

// A crash between the two names of a file that is complete is no obstacle.
func TestPlaceAfterCrash(t *testing.T) {
	f := uploadTo(t, UploadOptions{}, nil)
	dir := f.uploads.dir.(*folder)
	for _, name := range []string{"x.part", "y.part"} {
		writeFile(t, filepath.Join(f.dir, uploadFolder, name), name)
	}
	if err := os.Link(filepath.Join(f.dir, uploadFolder, "x.part"), filepath.Join(f.dir, "x")); err != nil {
		t.Skip("needs a file system with hard links: ", err)
	}
	if placed, err := dir.Place("x.part", "x"); err != nil || !placed {
		t.Errorf("%v, %v", placed, err)
	}
	if err := dir.Remove("x.part"); err != nil {
		t.Error(err)
	}
	if placed, err := dir.Place("y.part", "x"); !errors.Is(err, os.ErrExist) || placed {
		t.Errorf("over another file: %v, %v", placed, err)
	}
	if err := dir.renameLooking(filepath.Join(uploadFolder, "y.part"), "x"); !errors.Is(err, os.ErrExist) {
		t.Errorf("over another file without links: %v", err)
	}
	if err := dir.renameLooking(filepath.Join(uploadFolder, "y.part"), "y"); err != nil {
		t.Error(err)
	}
	if got, _ := f.content("x"); got != "x.part" {
		t.Errorf("%q", got)
	}
	if left := f.partials(t); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

// Nothing reaches the folder of partial uploads, by whatever name.
func TestUploadFolderIsHidden(t *testing.T) {
	for elem, want := range map[string]bool{
		uploadFolder:                  true,
		".Chunkget-UPLOADS":           true,
		".chun\u212aget-uploads":      true, // the sign of the kelvin
		".chunkget-upload\u017f":      true, // the long s
		".CHUN\u212aget-upload\u017f": true,
		".chunkget-uploads2":          false,
		".chunkget-upload":            false,
		"chunkget-uploads":            false,
		".çhunkget-uploads":           false,
	} {
		if got := isUploadFolder(elem); got != want {
			t.Errorf("%q: %v", elem, got)
		}
		if _, _, err := localName("/"+elem+"/x", true); (err != nil) != want {
			t.Errorf("/%s/x: %v", elem, err)
		}
	}
	f := uploadTo(t, UploadOptions{}, map[string]string{"dir/y": ""})
	writeFile(t, filepath.Join(f.dir, uploadFolder, "x"), "secret")
	for link, to := range map[string]string{"link": uploadFolder, "dir/up": "../" + uploadFolder, "self": "."} {
		symlink(t, to, filepath.Join(f.dir, link))
	}
	for _, folder := range []string{"/link/", "/dir/up/", "/self/link/"} {
		for _, path := range []string{folder, folder + "x"} {
			if w := f.get(t, path); w.Code != 404 {
				t.Errorf("GET %s: status %d", path, w.Code)
			}
		}
		if w := f.send(t, http.MethodPut, folder+"new", strings.NewReader("new")); w.Code != 400 {
			t.Errorf("PUT %snew: status %d", folder, w.Code)
		}
		body, kind := formOf(t, "new", "1")
		if w := f.send(t, http.MethodPost, folder, body, "Content-Type", kind); w.Code != 400 {
			t.Errorf("POST %s: status %d", folder, w.Code)
		}
	}
	if w := f.get(t, "/self/dir/y"); w.Code != 200 {
		t.Errorf("by a link to another folder: status %d", w.Code)
	}
	if left := f.partials(t); len(left) != 1 {
		t.Errorf("there are %q", left)
	}
}

// The folder of partial uploads is none that a link leads to.
func TestUploadFolderIsReal(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "other"), 0o777); err != nil {
		t.Fatal(err)
	}
	symlink(t, "other", filepath.Join(dir, uploadFolder))
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if h, err := New(root, Options{Upload: new(UploadOptions)}); err == nil {
		h.Close()
		t.Error("a link was taken for the folder")
	}
}

// A probe that a crash has left in a folder goes when its size is measured, and
// nothing else that looks like one. That somebody removes a probe is no obstacle.
func TestProbesAreRemoved(t *testing.T) {
	random := strings.Repeat("0123456789abcdef", 2)
	f := uploadTo(t, UploadOptions{}, map[string]string{
		"dir/.chunkget-probe-" + random:           "",
		".chunkget-probe-" + random:               "mine",
		"dir/.chunkget-probe-" + random[1:]:       "",
		"dir/.chunkget-probe-" + random[1:] + "G": "",
		"dir/chunkget-probe-" + random:            "",
	})
	if w := f.send(t, http.MethodPut, "/dir/a", strings.NewReader("x")); w.Code != 201 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var names []string
	for _, folder := range []string{"", "dir"} {
		entries, err := os.ReadDir(filepath.Join(f.dir, folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Type().IsRegular() {
				names = append(names, filepath.ToSlash(filepath.Join(folder, e.Name())))
			}
		}
	}
	want := []string{".chunkget-probe-" + random, "dir/.chunkget-probe-" + random[1:], "dir/.chunkget-probe-" + random[1:] + "G", "dir/a", "dir/chunkget-probe-" + random}
	if !slices.Equal(names, want) {
		t.Errorf("there are %q, want %q", names, want)
	}
	if used := f.uploads.quota.used; used != 5*blockSize {
		t.Errorf("%d bytes are used", used)
	}
	// Measurements come at any time while probes are made.
	var ended sync.WaitGroup
	stop := make(chan struct{})
	ended.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				folderSize(f.uploads.root)
			}
		}
	})
	for range 100 {
		if err := f.uploads.dir.CanPlace("dir"); err != nil {
			t.Errorf("while the folder is measured: %v", err)
			break
		}
	}
	close(stop)
	ended.Wait()
}

// What the server cannot write to takes nothing, and says so before the body is
// sent.
func TestUploadUnwritable(t *testing.T) {
	f := uploadTo(t, UploadOptions{}, map[string]string{"dir/x": ""})
	f.uploads.dir = unwritable{f.uploads.dir}
	if w := f.send(t, http.MethodPut, "/dir/a", errReader{errors.New("the body was read")}); w.Code != 405 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if left := f.partials(t); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

type unwritable struct{ uploadDir }

func (unwritable) CanPlace(string) error { return os.ErrPermission }

// placing does something else before or after files get their names.
type placing struct {
	uploadDir
	before func(name string)
	after  error
}

func (p placing) Place(name, target string) (placed bool, err error) {
	if p.before != nil {
		p.before(name)
	}
	placed, err = p.uploadDir.Place(name, target)
	return placed, errors.Join(err, p.after)
}

// A file that has got its name is counted, also if the client is told of a failure
// after that.
func TestUploadFailsAfterPlace(t *testing.T) {
	tree := uploadTree(t, testBytes(testPiece))
	f := uploadTo(t, UploadOptions{}, nil)
	f.uploads.dir = placing{f.uploads.dir, nil, errors.New("input/output error")}
	if w := f.send(t, http.MethodPut, "/whole", strings.NewReader(tree.data)); w.Code != 500 {
		t.Errorf("PUT: status %d: %s", w.Code, w.Body)
	}
	_, location := f.begin(t, "/parts", tree)
	if w := f.patch(t, location, tree, 0, 0, -1); w.Code != 500 {
		t.Errorf("PATCH: status %d: %s", w.Code, w.Body)
	}
	if w := f.get(t, location); w.Code != 204 || w.Header().Get(uploadComplete) != isComplete {
		t.Errorf("the state: status %d, header %v", w.Code, w.Header())
	}
	for _, name := range []string{"whole", "parts"} {
		if got, _ := f.content(name); got != tree.data {
			t.Errorf("%s has %d bytes that are not those sent", name, len(got))
		}
	}
	q := f.uploads.quota
	if left := f.partials(t); len(left) > 0 || q.sum != 0 || q.used != 2*testPiece || f.Stats().Uploads != 2 {
		t.Errorf("left are %q, %d bytes reserved, %d used; %+v", left, q.sum, q.used, f.Stats())
	}
}

// That a partial file is gone is not said of the folder that the client wants.
func TestUploadPartialGone(t *testing.T) {
	f := uploadTo(t, UploadOptions{}, nil)
	dir := f.uploads.dir
	f.uploads.dir = placing{dir, func(name string) { dir.Remove(name) }, nil}
	if w := f.send(t, http.MethodPut, "/a", strings.NewReader("x")); w.Code != 500 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if f.Stats().Uploads != 0 || f.uploads.quota.sum != 0 || f.uploads.quota.used != 0 {
		t.Errorf("%+v, %+v", f.Stats(), f.uploads.quota)
	}
}
