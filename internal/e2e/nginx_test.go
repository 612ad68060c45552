//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// nginxConfig serves %[1]s at /, and again at /norange/ as a server that does
// not know ranges.
const nginxConfig = `
daemon off;
pid %[2]s/nginx.pid;
error_log stderr warn;
events {}
http {
	access_log off;
	client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
	server {
		listen %[3]s;
		root %[1]s;
		location /norange/ { alias %[1]s/; max_ranges 0; }
	}
}
`

// startNginx serves dir and returns its address.
func startNginx(t *testing.T, dir string) string {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed (Debian package nginx-light)")
	}
	state, addr := t.TempDir(), freePort(t)
	// Started by root, nginx serves as another user.
	for d := dir; d != filepath.Dir(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			break // not ours
		}
	}
	conf := filepath.Join(state, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConfig, dir, state, addr), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-c", conf, "-p", state)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	for range 100 {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return addr
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatal("nginx does not answer")
	return ""
}

// chunkget works against any web server: with ranges in parallel, and resumed
// after a kill; without ranges as one stream.
func TestNginx(t *testing.T) {
	skipShort(t)
	const size = 256 << 20
	dir := t.TempDir()
	original := randomFile(t, dir, "big.bin", size)
	addr := startNginx(t, dir)

	t.Run("parallel", func(t *testing.T) {
		out := t.TempDir()
		d := get(t, out, "-n", "8", "http://"+addr+"/big.bin").done()
		if d.Connections != 8 || d.Bytes != size {
			t.Errorf("done event: %+v", d)
		}
		sameContent(t, original, filepath.Join(out, "big.bin"))
		t.Logf("%.2f s", d.Seconds)
	})
	t.Run("killed and resumed", func(t *testing.T) {
		out := t.TempDir()
		c := get(t, out, "-n", "4", "--limit-rate", "1G", "http://"+addr+"/big.bin") // two seconds
		if !c.until(func(e event) bool { return e.Event == "progress" && e.Bytes > 96<<20 }) {
			t.Fatalf("chunkget ended with code %d\n%s", c.wait(), &c.stderr)
		}
		c.kill()
		if _, finished := c.last("done"); finished {
			t.Fatal("the download was complete before the kill")
		}
		received, _ := matchingBytes(t, original, filepath.Join(out, "big.bin.part"))
		d := get(t, out, "-n", "4", "http://"+addr+"/big.bin").done()
		if d.BytesResumed == 0 {
			t.Error("nothing was resumed")
		}
		sameContent(t, original, filepath.Join(out, "big.bin"))
		t.Logf("%d bytes received at the kill, %d resumed", received, d.BytesResumed)
	})
	t.Run("without ranges", func(t *testing.T) {
		out := t.TempDir()
		d := get(t, out, "-n", "8", "http://"+addr+"/norange/big.bin").done()
		if d.Connections != 1 || d.Bytes != size {
			t.Errorf("done event: %+v", d)
		}
		sameContent(t, original, filepath.Join(out, "big.bin"))
	})
	t.Run("beside chunkserves, one of which is killed", func(t *testing.T) {
		out := t.TempDir()
		a, b := serveDir(t, dir), serveDir(t, dir)
		c := get(t, out, "-n", "9", "--limit-rate", "1G", "--mirror", a.url("udt", "big.bin"), "--mirror", b.url("udt", "big.bin"), "http://"+addr+"/big.bin")
		if !c.until(func(e event) bool { return e.Event == "progress" && e.Bytes > 32<<20 }) {
			t.Fatalf("chunkget ended with code %d\n%s", c.wait(), &c.stderr)
		}
		b.kill()
		d := c.done()
		if !d.Verified || d.PiecesBad != 0 || len(d.Mirrors) != 3 {
			t.Errorf("done event: %+v", d)
		}
		for _, m := range d.Mirrors {
			if m.Bytes == 0 {
				t.Errorf("nothing came from %s", m.URL)
			}
		}
		sameContent(t, original, filepath.Join(out, "big.bin"))
		t.Logf("%.2f s, %+v", d.Seconds, d.Mirrors)
	})
}
