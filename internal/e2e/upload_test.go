//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// chunkget put goes on after the death of either side, over UDT and TCP. Nothing
// appears under the name before all of it is right, and what has been recorded is
// not sent again.
func TestUploadSurvivesKills(t *testing.T) {
	const size, piece = 16 << 20, 1 << 20
	original := randomFile(t, t.TempDir(), "big.bin", size)
	for _, scheme := range []string{"udt", "http"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := serveDir(t, dir, "--upload")
			arrived, journals := filepath.Join(dir, "big.bin"), filepath.Join(dir, ".chunkget-uploads", "*.journal")
			put := func() *client {
				// All of it takes eight seconds, and the kills come about a second after the
				// first pieces.
				return chunkget(t, "put", "--json", "-n", "4", "--transport", map[string]string{"udt": "udt", "http": "tcp"}[scheme],
					"--limit-rate", "16M", "--tries", "20", original, s.url(scheme, ""))
			}
			c := put()
			c.untilRecorded(journals, 1)
			c.kill()
			mustNotExist(t, arrived)
			kept := recordedPieces(t, journals)

			c = put()
			if !c.until(func(e event) bool { return e.Event == "progress" && e.Bytes > e.BytesResumed }) {
				t.Fatalf("chunkget ended with code %d\n%s", c.wait(), &c.stderr)
			}
			c.untilRecorded(journals, kept+4)
			s.kill()
			mustNotExist(t, arrived)
			recorded := int64(recordedPieces(t, journals)) * piece
			s.restart()
			done := c.done()
			sameContent(t, original, arrived)
			if done.Bytes != size || done.BytesResumed < int64(kept)*piece || done.BytesResumed >= size || !done.Verified || done.Transport != scheme {
				t.Errorf("%d pieces were recorded before; done event: %+v", kept, done)
			}
			// Before the kill of the server nothing was sent twice, and after it nothing
			// that had been recorded.
			if again := done.BytesSent + done.BytesResumed - size; again > size-recorded {
				t.Errorf("%d bytes were sent again, of %d that were not recorded", again, size-recorded)
			}
			left, err := os.ReadDir(filepath.Join(dir, ".chunkget-uploads"))
			if err != nil || len(left) > 0 {
				t.Errorf("%d files are left, %v", len(left), err)
			}
			t.Logf("%d resumed, %d recorded at the kill of the server, %d sent", done.BytesResumed, recorded, done.BytesSent)
			if done := put().done(); done.BytesSent != 0 {
				t.Errorf("a file that is there is sent again: %+v", done)
			}
		})
	}
}
