//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// chunkget put goes on after the death of either side, over UDT and TCP. Nothing
// appears under the name before all of it is right, and what had arrived is not
// sent again.
func TestUploadSurvivesKills(t *testing.T) {
	const size = 16 << 20
	original := randomFile(t, t.TempDir(), "big.bin", size)
	for _, scheme := range []string{"udt", "http"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := serveDir(t, dir, "--upload")
			arrived := filepath.Join(dir, "big.bin")
			put := func() *client {
				// Slow enough to be in the middle when the first progress is told.
				return chunkget(t, "put", "--json", "-n", "4", "--transport", map[string]string{"udt": "udt", "http": "tcp"}[scheme],
					"--limit-rate", "64M", "--tries", "20", original, s.url(scheme, ""))
			}
			sent := func(c *client, least int64) {
				t.Helper()
				if !c.until(func(e event) bool { return e.Event == "progress" && e.Bytes >= least }) {
					t.Fatalf("chunkget ended with code %d\n%s", c.wait(), &c.stderr)
				}
				mustNotExist(t, arrived)
			}
			c := put()
			sent(c, 5<<20)
			c.kill()

			c = put()
			sent(c, 9<<20)
			s.kill()
			s.restart()
			done := c.done()
			sameContent(t, original, arrived)
			if done.Bytes != size || done.BytesResumed == 0 || done.BytesResumed >= size || !done.Verified || done.Transport != scheme {
				t.Errorf("done event: %+v", done)
			}
			// Pieces under way at the kill of the server, one for each connection and what
			// its last requests had not recorded, and no more.
			if again := done.BytesSent + done.BytesResumed - size; again > 12<<20 {
				t.Errorf("%d bytes were sent again", again)
			}
			left, err := os.ReadDir(filepath.Join(dir, ".chunkget-uploads"))
			if err != nil || len(left) > 0 {
				t.Errorf("%d files are left, %v", len(left), err)
			}
			t.Logf("%d resumed, %d sent", done.BytesResumed, done.BytesSent)
			if done := put().done(); done.BytesSent != 0 {
				t.Errorf("a file that is there is sent again: %+v", done)
			}
		})
	}
}
