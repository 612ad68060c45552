//go:build linux

package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A page whose script reads a range.
const scriptedPage = `<!DOCTYPE html><title>still</title><script>
document.title = 'ran';
outcome = fetch('big.bin', {headers: {Range: 'bytes=1000-1999'}}).then(async r =>
	[r.status, (await r.arrayBuffer()).byteLength, r.headers.get('Content-Range')].join(', '));
</script>`

// A browser shows listings, follows them, downloads, reads ranges, and uploads
// by the form. Uploaded pages run no scripts, and pages of other sites cannot
// make it upload.
func TestBrowser(t *testing.T) {
	if raceEnabled {
		t.Skip("the programs are built without the race detector: it would see nothing")
	}
	b := startBrowser(t)
	dir, files := t.TempDir(), t.TempDir()
	original := randomFile(t, dir, "big.bin", 5<<20)
	if err := os.Mkdir(filepath.Join(dir, "a b%"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(dir, "page.html"), filepath.Join(dir, "a b%", "<i>ü#?.txt"), filepath.Join(files, "möre.html")} {
		if err := os.WriteFile(name, []byte(scriptedPage), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	readOnly, uploads := serveDir(t, dir), serveDir(t, dir, "--upload")
	const links = `[...document.querySelectorAll('a')].map(a => a.textContent).join('|')`

	b.open(readOnly.url("http", ""))
	if got, want := b.eval(links), "a b%/|big.bin|page.html"; got != want {
		t.Errorf("the listing has %q, want %q", got, want)
	}
	if b.eval(`document.forms.length`) != "0" {
		t.Error("a form without --upload")
	}
	b.events = nil
	b.eval(`document.links[0].click()`)
	b.wait("Page.loadEventFired", "")
	if got, want := b.eval(links), "../|<i>ü#?.txt"; got != want {
		t.Errorf("the folder's listing has %q, want %q", got, want)
	}

	downloads := t.TempDir()
	b.open(readOnly.url("http", ""))
	b.call("Browser.setDownloadBehavior", map[string]any{"behavior": "allow", "downloadPath": downloads, "eventsEnabled": true}, nil)
	b.eval(`document.links[1].click()`)
	b.wait("Browser.downloadProgress", `"state":"completed"`)
	sameContent(t, original, filepath.Join(downloads, "big.bin"))

	b.open(readOnly.url("http", "page.html"))
	if got, want := b.eval(`outcome`), "206, 1000, bytes 1000-1999/5242880"; got != want {
		t.Errorf("a script reads %q, want %q", got, want)
	}

	b.open(uploads.url("http", ""))
	sent := randomFile(t, files, "sent.bin", 3<<20)
	b.choose(sent, filepath.Join(files, "möre.html"))
	b.events = nil
	b.eval(`document.querySelector('button').click()`)
	b.wait("Page.loadEventFired", "")
	if got, want := b.eval(links), "a b%/|big.bin|möre.html|page.html|sent.bin"; got != want {
		t.Errorf("after the upload the listing has %q, want %q", got, want)
	}
	sameContent(t, sent, filepath.Join(dir, "sent.bin"))
	b.open(uploads.url("http", "m%C3%B6re.html"))
	if got := b.eval(`document.title`); got != "still" {
		t.Errorf("the script of an uploaded page has run: %q", got)
	}

	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(`<form method="post" enctype="multipart/form-data" action="` + uploads.url("http", "") + `"><input type="file" name="file"><button></button></form>`))
	}))
	defer foreign.Close()
	b.open(foreign.URL)
	planted := randomFile(t, files, "planted.bin", 10)
	b.choose(planted)
	b.events = nil
	b.eval(`document.querySelector('button').click()`)
	b.wait("Page.loadEventFired", "")
	if got := b.eval(`document.body.textContent`); !strings.Contains(got, "another server may not upload") {
		t.Errorf("an upload from another site is answered %q", got)
	}
	mustNotExist(t, filepath.Join(dir, "planted.bin"))
}
