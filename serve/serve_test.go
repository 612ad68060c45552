package serve

import (
	"bytes"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// testFolder is a folder being served.
type testFolder struct {
	*Handler
	dir string
}

// serveFolder serves a new folder with the given files, which are old enough to
// have settled.
func serveFolder(t testing.TB, o Options, files map[string]string) *testFolder {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), content)
	}
	return serveDir(t, o, dir)
}

func serveDir(t testing.TB, o Options, dir string) *testFolder {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(root, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		root.Close()
	})
	return &testFolder{h, dir}
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	// An odd time with nanoseconds, as files have that were not unpacked.
	when := time.Date(2024, 2, 3, 4, 5, 6, 789, time.UTC)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

// get asks f for target with header lines in pairs of name and value.
func (f *testFolder) get(t testing.TB, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return f.do(t, http.MethodGet, target, header...)
}

func (f *testFolder) do(t testing.TB, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return f.send(t, method, target, nil, header...)
}

// known waits until the digests of the file name are known.
func (f *testFolder) known(t testing.TB, name string) *digests {
	t.Helper()
	file, err := openIn(f.root, name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	j, err := f.hasher.want(key{kindTree, name, file.version})
	if err != nil {
		t.Fatal(err)
	}
	d, err := j.wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// testBytes returns n bytes without a period that divides a buffer.
func testBytes(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return string(b)
}

// over serves f on TCP, for what needs a real connection.
func (f *testFolder) over(t testing.TB) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s
}

// symlink makes a symbolic link, where everybody may.
func symlink(t *testing.T, target, name string) {
	t.Helper()
	err := os.Symlink(target, name)
	if err != nil && runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege on Windows: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readAll(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestMain fails if goroutines are left when all tests have ended. Fuzzing keeps
// some of its own.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 && flag.Lookup("test.fuzz").Value.String() == "" {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		// A goroutine that was told to end, or one of package testing, may need a
		// while on a busy machine.
		for range 1000 {
			if runtime.NumGoroutine() <= before {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
		if runtime.NumGoroutine() > before {
			buf := make([]byte, 1<<20)
			os.Stderr.Write(append(buf[:runtime.Stack(buf, true)], "\nFAIL: goroutines left\n"...))
			code = 1
		}
	}
	os.Exit(code)
}
