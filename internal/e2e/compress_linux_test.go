package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chunkget/chunkget/bench/wan"
)

// textFile writes a log of a web server, made up, of which zstd leaves about
// a sixth.
func textFile(t *testing.T, dir, name string, size int) string {
	t.Helper()
	var b bytes.Buffer
	rng := rand.New(rand.NewPCG(1, uint64(size)))
	paths := []string{"/", "/index.html", "/about", "/static/app.js", "/static/style.css", "/api/v1/users", "/api/v1/orders", "/login"}
	at := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	for b.Len() < size {
		at = at.Add(time.Duration(rng.IntN(900)) * time.Millisecond)
		fmt.Fprintf(&b, "10.%d.%d.%d - - [%s] \"GET %s?id=%d HTTP/1.1\" %d %d \"-\" \"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/%d.0\"\n",
			rng.IntN(4), rng.IntN(256), rng.IntN(256), at.Format("02/Jan/2006:15:04:05 -0700"), paths[rng.IntN(len(paths))], rng.IntN(100_000),
			[]int{200, 200, 200, 304, 404}[rng.IntN(5)], rng.IntN(50_000), 100+rng.IntN(30))
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b.Bytes()[:size], 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

var slowLink = flag.Int64("slow-link", 10_000_000, "rate of the link of TestCompressionOverASlowLink, bit/s")

// A text arrives three times as fast over a slow link as it would as it is. The link takes
// 3.5 s for what is left of it, and three times that are 10 of 20: so much of the time is the
// link's that a busy machine, which may take seconds to compress and to unpack, does not decide.
func TestCompressionOverASlowLink(t *testing.T) {
	skipShort(t)
	lab, err := wan.Open(t.Context(), wan.Link{Rate: *slowLink, RTT: 20 * time.Millisecond, Seed: 1}, nil)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	}()
	const size = 24 << 20
	dir := t.TempDir()
	original := textFile(t, dir, "access.log", size)
	server := lab.Server().Command(t.Context(), program(t, "chunkserve"), "--listen", lab.Server().Addr.String()+":9000", "--state", t.TempDir(), "--log-level", "warn", dir)
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
	}()
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	fetched := func(scheme string, args ...string) event {
		t.Helper()
		out := t.TempDir()
		args = append([]string{"--json", "-d", out, scheme + "://" + lab.Server().Addr.String() + ":9000/access.log"}, args...)
		b, err := lab.Client().Command(t.Context(), program(t, "chunkget"), args...).Output()
		if err != nil {
			t.Fatalf("chunkget: %v\n%s", err, b)
		}
		var done event
		for line := range bytes.Lines(b) {
			if err := json.Unmarshal(line, &done); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
		sameContent(t, original, filepath.Join(out, "access.log"))
		if done.Event != "done" || !done.Verified {
			t.Fatalf("%+v", done)
		}
		return done
	}
	for _, tt := range []struct {
		scheme, n string
	}{{"udt", "8"}, {"http", "8"}} {
		// Both have the machine to share with whatever else runs on it: the best of
		// up to five in turn counts, each.
		plain, coded := math.Inf(1), math.Inf(1)
		for tries := 0; tries == 0 || coded*3 > plain && tries < 5; tries++ {
			a := fetched(tt.scheme, "-n", tt.n, "--compress", "off")
			b := fetched(tt.scheme, "-n", tt.n)
			t.Logf("%s, -n %s: %.2f s as it is, %.2f s compressed to %.1f %%: %.1f times as fast", tt.scheme, tt.n,
				a.Seconds, b.Seconds, 100*float64(b.BytesWire)/size, a.Seconds/b.Seconds)
			if a.BytesWire != size || b.BytesWire > size/5 {
				t.Errorf("%s: %d and %d bytes over the wire", tt.scheme, a.BytesWire, b.BytesWire)
			}
			plain, coded = min(plain, a.Seconds), min(coded, b.Seconds)
		}
		if coded*3 > plain {
			c := lab.Counters()
			if ok, why := c.KeptSchedule(); !ok && c.Failure == "" {
				t.Skip("this machine is too busy: ", why)
			}
			t.Errorf("%s, -n %s: %.2f s, without compression %.2f s", tt.scheme, tt.n, coded, plain)
		}
	}
}
