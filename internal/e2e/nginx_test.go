//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// nginxConfig serves {dir} at /, again at /norange/ as a server that does not know
// ranges, and at /described/ as one that names a Metalink for what it has.
const nginxConfig = `
daemon off;
pid {state}/nginx.pid;
error_log stderr warn;
events {}
http {
	access_log off;
	client_body_temp_path {state}/body; proxy_temp_path {state}/proxy; fastcgi_temp_path {state}/fastcgi;
	uwsgi_temp_path {state}/uwsgi; scgi_temp_path {state}/scgi;
	server {
		listen {host}:{port};
		root {dir};
		location /norange/ { alias {dir}/; max_ranges 0; }
		location /described/ {
			alias {dir}/;
			add_header Link '<$uri.meta4>; rel=describedby; type="application/metalink4+xml"';
		}
	}
}
`

// chunkget works against any web server: with ranges in parallel, and resumed
// after a kill; without ranges as one stream.
func TestNginx(t *testing.T) {
	skipShort(t)
	const size = 256 << 20
	dir := t.TempDir()
	original := randomFile(t, dir, "big.bin", size)
	addr := startWebServer(t, "nginx", "nginx-light", nginxConfig, dir, "-c")

	t.Run("parallel", func(t *testing.T) {
		out := t.TempDir()
		d := get(t, out, "-n", "8", "--ramp=false", "http://"+addr+"/big.bin").done()
		if d.Connections != 8 || d.Bytes != size {
			t.Errorf("done event: %+v", d)
		}
		sameContent(t, original, filepath.Join(out, "big.bin"))
		t.Logf("%.2f s", d.Seconds)
	})
	t.Run("killed and resumed", func(t *testing.T) {
		out := t.TempDir()
		c := get(t, out, "-n", "4", "--limit-rate", "256M", "http://"+addr+"/big.bin") // eight seconds
		c.untilRecorded(filepath.Join(out, "big.bin.part.journal"), 1)
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
	t.Run("with a Metalink that names a chunkserve", func(t *testing.T) {
		out := t.TempDir()
		s := serveDir(t, dir)
		get(t, dir, "-o", "big.bin.meta4", s.url("udt", "big.bin")+"?digest=meta4").done()
		// Five seconds, in which both come to their turn.
		d := get(t, out, "-n", "4", "--limit-rate", "400M", "http://"+addr+"/described/big.bin").done()
		if !d.Verified || d.PiecesBad != 0 || len(d.Mirrors) != 2 || d.Mirrors[0].Bytes == 0 || d.Mirrors[1].Bytes == 0 {
			t.Errorf("done event: %+v", d)
		}
		sameContent(t, original, filepath.Join(out, "big.bin"))
		t.Logf("%.2f s, %+v", d.Seconds, d.Mirrors)
	})
	t.Run("beside chunkserves, one of which is killed", func(t *testing.T) {
		out := t.TempDir()
		a, b := serveDir(t, dir), serveDir(t, dir)
		trace := filepath.Join(t.TempDir(), "trace")
		// Five seconds, in which all come to their turn.
		c := get(t, out, "-n", "9", "--limit-rate", "400M", "--trace", trace, "--mirror", a.url("udt", "big.bin"), "--mirror", b.url("udt", "big.bin"), "http://"+addr+"/big.bin")
		brought := regexp.MustCompile(`"remote":"` + b.addr + `","bytes":\d{7,}`)
		if !c.while(func() bool { lines, err := os.ReadFile(trace); return err != nil || !brought.Match(lines) }) {
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
