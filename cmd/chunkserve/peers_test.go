package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tool returns the path of another program, or skips the test.
func tool(t *testing.T, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (Debian package %s)", name, debianPackage)
	}
	return path
}

// peerFile returns a folder with the file big.iso of random bytes, and these.
func peerFile(t *testing.T, size int) (dir string, content []byte) {
	t.Helper()
	content = make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(content)
	return folder(t, map[string]string{"big.iso": string(content)}), content
}

func fileHas(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, not the %d of the original", path, len(got), len(want))
	}
}

// curl fetches the whole file, and goes on after a part of it.
func TestCurl(t *testing.T) {
	curl := tool(t, "curl", "curl")
	dir, content := peerFile(t, 32<<20)
	s := start(t, dir)
	out := filepath.Join(t.TempDir(), "out")
	url := "http://" + s.host + "/big.iso"
	for _, have := range []int{0, 1, 10 << 20} {
		if err := os.WriteFile(out, content[:have], 0o666); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), curl, "-sS", "--fail", "--noproxy", "*", "-C", "-", "-o", out, url)
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("with %d bytes: %v: %s", have, err, msg)
		}
		fileHas(t, out, content)
	}
}

// aria2 fetches over four connections and verifies with the served Metalink;
// with a wrong piece hash in it, it refuses the very same bytes.
func TestAria2(t *testing.T) {
	aria2 := tool(t, "aria2c", "aria2")
	dir, content := peerFile(t, 32<<20)
	s := start(t, dir)
	aria := func(out string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), aria2, append([]string{"--no-conf", "--no-proxy=*", "--enable-color=false",
			"--file-allocation=none", "--max-tries=1", "-x4", "-s4", "-k1M", "-d", out}, args...)...)
		msg, err := cmd.CombinedOutput()
		return string(msg), err
	}
	out := t.TempDir()
	if msg, err := aria(out, "http://"+s.host+"/big.iso?digest=meta4"); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	fileHas(t, filepath.Join(out, "big.iso"), content)

	meta4, err := os.ReadFile(filepath.Join(out, "big.iso.meta4"))
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(string(meta4), "<pieces length=\"1048576\" type=\"sha-256\">\n      <hash>")
	if len(after) < 64 {
		t.Fatalf("no pieces in %s", meta4)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.meta4")
	text := before + "<pieces length=\"1048576\" type=\"sha-256\">\n      <hash>" + strings.Repeat("0", 64) + after[64:]
	if err := os.WriteFile(wrong, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if msg, err := aria(t.TempDir(), "-M", wrong); err == nil || !strings.Contains(msg, "Invalid checksum index=0") {
		t.Errorf("with a wrong hash: %v: %s", err, msg)
	}
}
