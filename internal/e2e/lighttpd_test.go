//go:build linux

package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// lighttpdConfig serves {dir} at /, and again at /norange/ without ranges. A file
// whose type it does not know has neither ETag nor Last-Modified.
const lighttpdConfig = `
server.document-root = "{dir}"
server.bind = "{host}"
server.port = {port}
server.errorlog = "{state}/error.log"
server.modules = ("mod_alias")
mimetype.assign = (".bin" => "application/octet-stream")
alias.url = ("/norange/" => "{dir}/")
$HTTP["url"] =~ "^/norange/" { server.range-requests = "disable" }
`

// The second of the web servers that chunkget has never heard of.
func TestLighttpd(t *testing.T) {
	if raceEnabled {
		t.Skip("the programs are built without the race detector: it would see nothing")
	}
	const size = 32 << 20
	dir := t.TempDir()
	original := randomFile(t, dir, "big.bin", size)
	data, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	checksum := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	if err := os.Link(original, filepath.Join(dir, "big.untyped")); err != nil {
		t.Fatal(err)
	}
	addr := startWebServer(t, "lighttpd", "lighttpd", lighttpdConfig, dir, "-D", "-f")
	for _, tt := range []struct {
		path        string
		connections int
	}{
		{"/big.bin", 8},
		{"/norange/big.bin", 1}, // accepts no ranges
		{"/big.untyped", 1},     // says nothing that parts could be held together by
	} {
		out := t.TempDir()
		d := get(t, out, "-n", "8", "--ramp=false", "--checksum", checksum, "http://"+addr+tt.path).done()
		if d.Connections != tt.connections || d.Bytes != size || !d.Verified {
			t.Errorf("%s: done event: %+v", tt.path, d)
		}
		sameContent(t, original, filepath.Join(out, filepath.Base(tt.path)))
	}

	// What is changed between two runs is noticed, and mixed with nothing.
	out := t.TempDir()
	c := get(t, out, "-n", "4", "--limit-rate", "40M", "http://"+addr+"/big.bin") // seven seconds
	c.untilRecorded(filepath.Join(out, "big.bin.part.journal"), 1)
	c.kill()
	data[size-1]++
	if err := os.WriteFile(original, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if code := get(t, out, "-n", "4", "http://"+addr+"/big.bin").wait(); code != 9 {
		t.Errorf("exit code %d for a file that has changed, want 9", code)
	}
	get(t, out, "-n", "4", "--restart", "http://"+addr+"/big.bin").done()
	sameContent(t, original, filepath.Join(out, "big.bin"))
}
