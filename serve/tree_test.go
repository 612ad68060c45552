package serve

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chunkget/chunkget/merkle"
)

// The tree always belongs to the ETag that comes with it, also of a file that is
// written anew between requests.
func TestTreeOfEachVersion(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": ""})
	for _, content := range []string{"", "abc", testBytes(1<<20 + 1), testBytes(3 << 20)} {
		if err := os.WriteFile(filepath.Join(f.dir, "a"), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		w := f.get(t, "/a?digest=tree")
		if w.Code != 200 {
			t.Fatalf("status %d", w.Code)
		}
		if tag := f.get(t, "/a").Header().Get("ETag"); tag != w.Header().Get("ETag") {
			t.Errorf("ETag %s of the file, %s of its tree", tag, w.Header().Get("ETag"))
		}
		d, err := merkle.NewDecoder(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		_, want := treeOf(content)
		if got, err := d.Root(); err != nil || got != want {
			t.Errorf("%d bytes: root %v, %v; want %v", len(content), got, err, want)
		}
	}
}

func TestTreePreconditions(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": "abc"})
	w := f.do(t, "HEAD", "/a?digest=tree")
	tag := w.Header().Get("ETag")
	if w.Code != 200 || w.Header().Get("Content-Length") != "88" || w.Body.Len() != 0 {
		t.Errorf("HEAD: status %d, %v", w.Code, w.Header())
	}
	for _, tt := range []struct {
		name, value string
		status      int
	}{
		{"If-Match", tag, 200}, {"If-Match", "*", 200}, {"If-Match", `"x", ` + tag, 200}, {"If-Match", `"x"`, 412}, {"If-Match", "W/" + tag, 412},
		{"If-None-Match", tag, 304}, {"If-None-Match", "*", 304}, {"If-None-Match", `"x"`, 200},
	} {
		if w := f.get(t, "/a?digest=tree", tt.name, tt.value); w.Code != tt.status {
			t.Errorf("%s %s: status %d, want %d", tt.name, tt.value, w.Code, tt.status)
		}
	}
}

func TestDigestsAfterClose(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": "abc", "b": "abc"})
	f.known(t, "a")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for target, status := range map[string]int{
		"/a": 200, "/b": 200, "/a?digest=tree": 200, "/b?digest=tree": 503, "/b?digest=meta4": 503,
	} {
		w := f.get(t, target)
		if w.Code != status || (w.Header().Get("Retry-After") != "") != (status == 503) {
			t.Errorf("%s: status %d, %v", target, w.Code, w.Header())
		}
	}
}
