package serve

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/merkle"
)

func FuzzUploadRange(f *testing.F) {
	f.Add("bytes 0-65535/200000", int64(200000))
	f.Add("bytes 196608-199999/200000", int64(200000))
	f.Add("BYTES 65536-131071/131072", int64(131072))
	f.Add("bytes 1-65535/200000", int64(200000))
	f.Add("bytes 0-65534/200000", int64(200000))
	f.Add("bytes */5", int64(5))
	f.Add("bytes 0-0/0", int64(0))
	f.Fuzz(func(t *testing.T, field string, size int64) {
		l, err := merkle.NewLayout(size, testPiece)
		if err != nil {
			return
		}
		first, last, err := parseUploadRange([]string{field}, l)
		if err != nil {
			return
		}
		if first < 0 || first > last || last >= l.Pieces() {
			t.Errorf("%q of %d bytes: pieces %d to %d", field, size, first, last)
		}
		from, _ := l.Piece(first)
		if want := fmt.Sprintf("bytes %d-%d/%d", from, from+lengthOf(l, first, last)-1, size); !strings.EqualFold(field, want) {
			t.Errorf("%q of %d bytes is taken for %q", field, size, want)
		}
	})
}

// onlyInside fails if an upload has left anything but files with sound names in the
// folder, or changed what was there.
func onlyInside(t *testing.T, dir string) {
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries beside the folder, %v", len(entries), err)
	}
	entries, err = os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); checkUploadName("/"+name) != nil || name[0] == '.' && name != uploadFolder {
			t.Errorf("a file with the name %q", name)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "there")); err != nil || string(b) != "old" {
		t.Errorf("the file that was there has %q, %v", b, err)
	}
}

// fuzzFolder returns a folder in a folder of its own.
func fuzzFolder(t testing.TB) *testFolder {
	dir := filepath.Join(t.TempDir(), "served")
	writeFile(t, filepath.Join(dir, "there"), "old")
	return serveDir(t, Options{Upload: &UploadOptions{MaxSize: 1 << 20}}, dir)
}

func FuzzUploadPath(f *testing.F) {
	for _, path := range []string{"/a", "/there", "/../x", "/" + uploadFolder + "/x", "/a%2fb", "/%00", "//", "/.", "/a/", "/C:\\x"} {
		f.Add(path, "sha-256=:AAAA:")
	}
	f.Fuzz(func(t *testing.T, path, digest string) {
		req, err := http.NewRequest(http.MethodPut, "http://test"+path, strings.NewReader("new"))
		if err != nil {
			return
		}
		req.Header.Set("Repr-Digest", digest)
		folder := fuzzFolder(t)
		folder.ServeHTTP(httptest.NewRecorder(), req)
		onlyInside(t, folder.dir)
	})
}

func FuzzUploadForm(f *testing.F) {
	body, _ := formOf(f, "a", "1", "there", "2", "../x", "3")
	f.Add(body.Bytes())
	f.Add([]byte("--x\r\nContent-Disposition: form-data; name=file; filename*=UTF-8''..%2fa\r\n\r\n1\r\n--x--\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		folder := fuzzFolder(t)
		boundary, _, _ := strings.Cut(strings.TrimPrefix(string(body), "--"), "\r\n")
		if len(boundary) > 70 {
			return
		}
		folder.send(t, http.MethodPost, "/", bytes.NewReader(body), "Content-Type", `multipart/form-data; boundary="`+boundary+`"`)
		onlyInside(t, folder.dir)
		if left := folder.partials(t); len(left) > 0 {
			t.Errorf("left are %q", left)
		}
	})
}

func FuzzUploadTree(f *testing.F) {
	for _, n := range []int{0, 1, testPiece + 1} {
		f.Add(uploadTree(f, testBytes(n)).wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		folder := fuzzFolder(t)
		w, location := folder.begin(t, "/new", &testTree{wire: wire})
		switch w.Code {
		case 201:
			if !strings.HasPrefix(location, "/new") {
				t.Errorf("at %q", location)
			}
		case 400, 413:
			if left := folder.partials(t); len(left) > 0 {
				t.Errorf("left are %q", left)
			}
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		onlyInside(t, folder.dir)
	})
}
