//go:build linux

package e2e

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// maxRefetch is how many bytes a restart may fetch again of what had been
// received: what stood in the part file at the kill.
const maxRefetch = 16 << 20

// kills is how often each program dies in the middle of a download.
const kills = 20

// randomMoment waits for at most 60 ms: twenty such moments fit into the
// download of a gibibyte at a gigabyte a second.
func randomMoment() {
	<-time.After(time.Duration(rand.Int64N(int64(60 * time.Millisecond))))
}

// chunkget dies at random moments; each restart goes on where it was.
func TestKillClient(t *testing.T) {
	skipShort(t)
	const size = 1 << 30
	s, original := serveBig(t, size)
	out := t.TempDir()
	part := filepath.Join(out, "big.bin.part")

	received := int64(0) // in the part file at the latest kill
	worst := int64(0)
	for killed := 0; killed < kills; {
		c := get(t, out, "-n", "8", s.url("udt", "big.bin"))
		if !c.until(func(e event) bool { return e.Event == "start" }) {
			t.Fatalf("chunkget ended with code %d\n%s", c.wait(), &c.stderr)
		}
		start, _ := c.last("start")
		worst = max(worst, received-start.BytesResumed)
		if lost := received - start.BytesResumed; lost > maxRefetch {
			t.Errorf("restart %d: %d bytes of %d received are fetched again", killed, lost, received)
		}
		randomMoment()
		c.kill()
		if _, finished := c.last("done"); finished {
			t.Fatalf("the download was complete after %d kills", killed)
		}
		killed++
		received, _ = matchingBytes(t, original, part)
	}
	d := get(t, out, "-n", "8", s.url("udt", "big.bin")).done()
	worst = max(worst, received-d.BytesResumed)
	if lost := received - d.BytesResumed; lost > maxRefetch {
		t.Errorf("last run: %d bytes of %d received are fetched again", lost, received)
	}
	sameContent(t, original, filepath.Join(out, "big.bin"))
	mustNotExist(t, part)
	mustNotExist(t, part+".journal")
	t.Logf("%d kills, at most %.1f MiB fetched again after one", kills, float64(worst)/(1<<20))
}

// chunkserve dies at random moments; the one chunkget goes on by itself.
func TestKillServer(t *testing.T) {
	skipShort(t)
	const size = 1 << 30
	s, original := serveBig(t, size)
	out := t.TempDir()

	// Four seconds for all of it at least: a fast machine was done after 17 kills.
	c := get(t, out, "-n", "8", "--tries", "20", "--limit-rate", "2G", s.url("udt", "big.bin"))
	received := int64(0)
	for killed := 0; killed < kills; killed++ {
		if !c.until(func(e event) bool { return e.Event == "progress" && e.Bytes > received }) {
			t.Fatalf("chunkget ended with code %d after %d kills\n%s", c.wait(), killed, &c.stderr)
		}
		if p, ok := c.last("progress"); ok {
			received = p.Bytes
		}
		randomMoment()
		s.kill()
		s.restart()
	}
	d := c.done()
	sameContent(t, original, filepath.Join(out, "big.bin"))
	again := d.BytesFetched - size
	if again > kills*maxRefetch {
		t.Errorf("%d bytes fetched again after %d kills", again, kills)
	}
	t.Logf("%d kills, %.1f MiB fetched again in all, %.1f s", kills, float64(again)/(1<<20), d.Seconds)
}

// After the server's death chunkget gives up with code 3, and the next run
// goes on where it was.
func TestServerGone(t *testing.T) {
	skipShort(t)
	const size = 256 << 20
	s, original := serveBig(t, size)
	out := t.TempDir()
	// Eight seconds for all of it, so that the server dies in one of the first.
	c := get(t, out, "--tries", "2", "--timeout", "5s", "--limit-rate", "256M", s.url("udt", "big.bin"))
	c.until(func(e event) bool { return e.Event == "progress" && e.Bytes > 32<<20 })
	s.kill()
	killed := time.Now()
	if code := c.wait(); code != 3 {
		t.Fatalf("code %d, want 3\n%s", code, &c.stderr)
	}
	t.Logf("gave up %.1f s after the kill: %s", time.Since(killed).Seconds(), &c.stderr)
	mustNotExist(t, filepath.Join(out, "big.bin"))
	s.restart()
	if d := get(t, out, s.url("udt", "big.bin")).done(); d.BytesResumed < 16<<20 {
		t.Errorf("only %d bytes were resumed", d.BytesResumed)
	}
	sameContent(t, original, filepath.Join(out, "big.bin"))
}
