package serve

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/chunkget/chunkget/internal/faultfile"
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

// fuzzUploads returns uploads whose files are in memory, since a sync costs more
// than all else.
func fuzzUploads(t testing.TB, root *os.Root) (*uploads, *faultfile.Dir) {
	d := faultfile.New()
	d.Put("there", []byte("old"))
	return makeUploads(root, faultFolder{d}, UploadOptions{MaxSize: 1 << 20}, false, slog.New(slog.DiscardHandler)), d
}

func emptyRoot(f *testing.F) *os.Root {
	root, err := os.OpenRoot(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { root.Close() })
	return root
}

// answer has s serve r and returns the answer.
func (s *uploads) answer(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.serve(newResponse(w, new(atomic.Int64)), r)
	return w
}

// soundNames fails if there is a file that must not be, or not be so.
func soundNames(t *testing.T, d *faultfile.Dir) {
	t.Helper()
	for _, name := range d.Names() {
		if !filepath.IsLocal(name) || name[0] == '.' || strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
			t.Errorf("a file with the name %q", name)
		}
	}
	if got := d.Bytes("there"); string(got) != "old" {
		t.Errorf("the file that was there has %q", got)
	}
}

func FuzzUploadPath(f *testing.F) {
	for _, path := range []string{"/a", "/there", "/../x", "/" + uploadFolder + "/x", "/a%2fb", "/%00", "//", "/.", "/a/", "/C:\\x"} {
		f.Add(path, "sha-256=:AAAA:")
	}
	root := emptyRoot(f)
	f.Fuzz(func(t *testing.T, path, digest string) {
		r, err := http.NewRequest(http.MethodPut, "http://test"+path, strings.NewReader("new"))
		if err != nil {
			return
		}
		r.Header.Set("Repr-Digest", digest)
		s, d := fuzzUploads(t, root)
		s.answer(r)
		soundNames(t, d)
	})
}

func FuzzUploadForm(f *testing.F) {
	body, _ := formOf(f, "a", "1", "there", "2", "../x", "3")
	f.Add(body.Bytes())
	f.Add([]byte("--x\r\nContent-Disposition: form-data; name=file; filename*=UTF-8''..%2fa\r\n\r\n1\r\n--x--\r\n"))
	root := emptyRoot(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		boundary, _, _ := strings.Cut(strings.TrimPrefix(string(body), "--"), "\r\n")
		if len(boundary) > 70 {
			return
		}
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", `multipart/form-data; boundary="`+boundary+`"`)
		s, d := fuzzUploads(t, root)
		s.answer(r)
		soundNames(t, d)
		if s.quota.sum != 0 {
			t.Errorf("%d bytes are reserved", s.quota.sum)
		}
	})
}

func FuzzUploadTree(f *testing.F) {
	for _, n := range []int{0, 1, testPiece + 1} {
		f.Add(uploadTree(f, testBytes(n)).wire)
	}
	root := emptyRoot(f)
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := httptest.NewRequest(http.MethodPost, "/new", bytes.NewReader(wire))
		r.Header.Set("Content-Type", merkle.MediaType)
		s, d := fuzzUploads(t, root)
		w := s.answer(r)
		soundNames(t, d)
		switch {
		case w.Code == 201 && strings.HasPrefix(w.Header().Get("Location"), "/new"):
		case (w.Code == 400 || w.Code == 413) && len(d.Names()) == 1 && s.quota.sum == 0:
		default:
			t.Errorf("status %d, at %q, %d bytes reserved, files %q", w.Code, w.Header().Get("Location"), s.quota.sum, d.Names())
		}
	})
}
