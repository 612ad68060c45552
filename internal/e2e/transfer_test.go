//go:build linux

package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
)

// memoryLimit in MiB is what either program may use for one download.
const memoryLimit = 256

// A gibibyte arrives byte-identical, whatever the number of connections.
func TestConnections(t *testing.T) {
	skipShort(t)
	const size = 1 << 30
	s, original := serveBig(t, size)
	for _, n := range []int{1, 2, 4, 8, 16} {
		t.Run(fmt.Sprintf("n=%d", n), func(t *testing.T) {
			out := t.TempDir()
			c := get(t, out, "-n", fmt.Sprint(n), "--ramp=false", "--transport", "udt", s.url("udt", "big.bin"))
			d := c.done()
			if d.Bytes != size || d.BytesFetched < size || d.BytesResumed != 0 || d.Seconds <= 0 ||
				d.Connections != n || d.Transport != "udt" || !d.Verified || d.Root == "" || d.PiecesBad != 0 {
				t.Errorf("done event: %+v", d)
			}
			sameContent(t, original, filepath.Join(out, "big.bin"))
			t.Logf("%.2f s, %.2f Gbit/s, chunkget %d MiB, chunkserve %d MiB at most",
				d.Seconds, size*8/1e9/d.Seconds, c.peakMemory(), s.peakMemory())
			if m := c.peakMemory(); m > memoryLimit {
				t.Errorf("chunkget used %d MiB", m)
			}
			if m := s.peakMemory(); m > memoryLimit {
				t.Errorf("chunkserve used %d MiB", m)
			}
		})
	}
}

// What is fetched over TCP goes on over UDT if that is wanted, which chunkserve offers,
// with TLS where it began with TLS.
func TestOfferedUDT(t *testing.T) {
	skipShort(t)
	dir := t.TempDir()
	original, last := randomFile(t, dir, "big.bin", 256<<20), randomFile(t, dir, "last.bin", 32<<20)
	s := serveDir(t, dir, "--tls")
	for scheme, want := range map[string]string{"http": "udt", "https": "udts"} {
		pin := ""
		if scheme == "https" {
			pin = s.pin
		}
		out := t.TempDir()
		// The first file takes two seconds, so that UDT is connected when the last begins.
		d := get(t, out, "-n", "4", "--jobs", "1", "--limit-rate", "1G", "--transport", "udt", s.url(scheme, "big.bin")+pin, s.url(scheme, "last.bin")+pin).done()
		if d.Bytes != 32<<20 || d.Transport != want || !d.Verified {
			t.Errorf("done event of %s: %+v", scheme, d)
		}
		sameContent(t, original, filepath.Join(out, "big.bin"))
		sameContent(t, last, filepath.Join(out, "last.bin"))
	}
}

// TestEitherWay: a file arrives as it is while both ways to its server are compared, from
// URLs of either, and the next download takes what was found.
func TestEitherWay(t *testing.T) {
	skipShort(t)
	s, original := serveBig(t, 256<<20)
	for _, scheme := range []string{"udt", "http"} {
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		for range 2 {
			out := t.TempDir()
			d := get(t, out, s.url(scheme, "big.bin")).done()
			if d.BytesFetched < 256<<20 || !d.Verified || d.PiecesBad != 0 || d.Retries != 0 {
				t.Errorf("done event of %s: %+v", scheme, d)
			}
			sameContent(t, original, filepath.Join(out, "big.bin"))
			t.Logf("%s: over %s in %.2f s: %s", scheme, d.Transport, d.Seconds, d.TransportReason)
		}
	}
}
