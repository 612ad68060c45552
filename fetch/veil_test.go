package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What is a secret for sure is hidden, and nothing that is told anyway.
func TestVeil(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "h", Path: "/backups/x", User: url.UserPassword("backups1", "pass word/1"),
		RawQuery: "file=ubuntu-24.04.iso&X-Amz-Signature=0123456789abcdef&pass=short&token=tok%2Fen123"}
	v := new(Veil)
	v.Add([]*url.URL{u}, http.Header{
		"Authorization": {"Basic YmFja3VwczE6bmV0cmMtcGFzcw=="}, // backups1:netrc-pass
		"Referer":       {"https://h/page"},
		"X-Api-Key":     {"k-12345678"},
		"Origin":        {"https://h"},
		"Origin-Token":  {"o-12345678"},
	}, "further1")
	for in, want := range map[string]string{
		"saved /backups1/ubuntu-24.04.iso, short":  "saved /backups1/ubuntu-24.04.iso, short",
		"https://h/page2":                          "https://h/page2",
		"pass word/1 and pass%20word%2F1":          "REDACTED and REDACTED",
		"0123456789ABCDEF":                         "REDACTED",
		"tok/en123, tok%2Fen123":                   "REDACTED, REDACTED",
		"netrc-pass, YmFja3VwczE6bmV0cmMtcGFzcw==": "REDACTED, REDACTED",
		"k-12345678 further1 o-12345678":           "REDACTED REDACTED REDACTED",
		"PASS+WORD/1 end-of-furthe":                "REDACTED end-of-furthe",
	} {
		if got := v.Text(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got := (*Veil)(nil).Text("further1"); got != "further1" {
		t.Errorf("nil made %q", got)
	}
	disk := diskError("open", &fs.PathError{Op: "open", Path: "further1", Err: fs.ErrPermission})
	if got := v.err(disk); got != error(disk) {
		t.Errorf("of the disk: %v", got)
	}
	network := networkError("receive", errors.New("further1"))
	if got := v.err(fmt.Errorf("x: %w", network)); got.Error() != "x: receive: REDACTED" || kindOf(got) != KindNetwork {
		t.Errorf("of the network: %v", got)
	}
	var log bytes.Buffer
	l := v.logger(slog.New(slog.NewTextHandler(&log, nil))).With("a", "further1").WithGroup("g")
	l.Info("further1", "err", network, "n", 1, slog.Group("h", "s", "further1"))
	if got := log.String(); strings.Contains(got, "further1") || strings.Count(got, hidden) != 4 || !strings.Contains(got, "g.n=1") {
		t.Errorf("logged %s", got)
	}
}

// A list of signed URLs has more secrets than a text can be held against one by one.
func TestVeilOfManyURLs(t *testing.T) {
	var urls []*url.URL
	for i := range 100_000 {
		urls = append(urls, &url.URL{Scheme: "https", Host: "h", Path: "/x", RawQuery: fmt.Sprintf("X-Amz-Signature=%08x0123456789abcdef&v=%d", i, i)})
	}
	v := new(Veil)
	v.Add(urls, nil)
	text := "0001869f0123456789abcdef, and 99999 of " + strings.Repeat("0123456789abcdef", 1000)
	if got, want := v.Text(text), strings.Replace(text, "0001869f0123456789abcdef", hidden, 1); got != want {
		t.Errorf("%.100s", got)
	}
}

// A server that repeats secrets in tags, addresses and names, and not only in what it
// says of a refusal, gets nothing of them into events, log, journal and results.
func TestRepeatedSecretsStayOut(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		f := &file{data: randomData(12*mib, 130), etag: `"tag-of-SECRET-token"`, dispo: "attachment; filename=a-SECRET-token.bin"}
		f.script = func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
			switch {
			case strings.Contains(r.URL.Path, "SECRET"):
				http.NotFound(w, r)
				return true
			case n > 2: // so that something of it is on disk
				w.WriteHeader(http.StatusForbidden)
				return true
			}
			w.Header().Add("Link", `</SECRET-token.meta4>; rel=describedby; type="application/metalink4+xml"`)
			w.Header().Add("Link", `</a/SECRET-token/x>; rel=duplicate`)
			w.Header().Set("Repr-Digest", reprField(plainPieces(f.data, len(f.data)).Sums[0])) // so that duplicates count
			return false
		}
		r := newRig(t, tr, f, "/x")
		r.opts.Header = http.Header{"Authorization": {"Bearer SECRET-token"}}
		r.opts.Retry.Tries = 2
		var log bytes.Buffer
		r.opts.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		_, err := r.get(t.Context())
		stayOut(t, err, r.events, log.String(), fmt.Sprintf("%+v", r.last.Mirrors), string(r.dir.Bytes("a-REDACTED.bin.part.journal")), r.last.Path)
		if !r.hasNote("REDACTED.meta4") || r.last.Path != "a-REDACTED.bin" || !strings.Contains(fmt.Sprintf("%+v", r.last.Mirrors), "/a/REDACTED/x") {
			t.Errorf("%+v, %+v", r.last, r.events)
		}
	})
}
