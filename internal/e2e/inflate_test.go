//go:build linux

package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/chunkget/chunkget/internal/tlsport"
	"github.com/chunkget/chunkget/serve"
	"github.com/chunkget/chunkget/udt"
)

// inflatedSize is what the bomb has inside, in bytes.
const inflatedSize = 2 << 30

// bombOf returns a zstd frame of so many zeros.
func bombOf(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	e, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(e, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// bombWriter sends a bomb in the place of the body of an answer.
type bombWriter struct {
	http.ResponseWriter
	bomb []byte
	sent bool
}

func (w *bombWriter) WriteHeader(code int) {
	if w.sent {
		return
	}
	w.sent = true
	w.Header().Set("Content-Encoding", "zstd")
	w.Header().Set("Content-Length", fmt.Sprint(len(w.bomb)))
	w.ResponseWriter.WriteHeader(code)
	w.ResponseWriter.Write(w.bomb)
}

func (w *bombWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(p), nil
}

// serveAllWays serves h over TCP and UDT, both with and without TLS, until the end of the
// test. It returns the address of each and the fragment of URLs with TLS.
func serveAllWays(t *testing.T, h http.Handler) (tcp, udp, pin string) {
	t.Helper()
	log, now := slog.New(slog.DiscardHandler), time.Now()
	files, err := tlsport.SelfSigned(t.TempDir(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	source, err := tlsport.Open(files, log, now)
	if err != nil {
		t.Fatal(err)
	}
	overTCP, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	overUDT, err := udt.Listen("udt", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	var serving sync.WaitGroup
	for _, l := range []net.Listener{overTCP, overUDT} {
		serving.Go(func() { s.Serve(tlsport.Wrap(l, tlsport.Options{Source: source})) })
	}
	t.Cleanup(func() {
		s.Close()
		serving.Wait()
	})
	return overTCP.Addr().String(), overUDT.Addr().String(), "#" + source.Pin().Fragment()
}

// TestDecompressionBombs: parts that inflate to gigabytes cost chunkget no memory, and the
// file arrives by ranges, over every transport.
func TestDecompressionBombs(t *testing.T) {
	if raceEnabled {
		t.Skip("the programs are built without the race detector: it would see nothing")
	}
	dir := t.TempDir()
	original := textFile(t, dir, "text", 8<<20)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	honest, err := serve.New(root, serve.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer honest.Close()
	bomb := bombOf(t, inflatedSize)
	tcp, udp, pin := serveAllWays(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("bytes") {
			w = &bombWriter{ResponseWriter: w, bomb: bomb}
		}
		honest.ServeHTTP(w, r)
	}))
	for _, scheme := range []string{"http", "udt", "https", "udts"} {
		url, transport := scheme+"://"+tcp+"/text", "tcp"
		if strings.HasPrefix(scheme, "udt") {
			url, transport = scheme+"://"+udp+"/text", "udt"
		}
		if strings.HasSuffix(scheme, "s") {
			url += pin
		}
		out := t.TempDir()
		// Parts are asked for where less than 40 MB/s comes.
		c := get(t, out, "-n", "4", "--limit-rate", "100M", "--transport", transport, url)
		d := c.done()
		if d.Bytes != 8<<20 || !d.Verified || d.BytesWire > 16<<20 {
			t.Errorf("%s: done event: %+v", scheme, d)
		}
		sameContent(t, original, filepath.Join(out, "text"))
		told := false
		for _, e := range c.seen {
			told = told || e.Event == "note" && strings.Contains(e.Reason, "no more compressed parts")
		}
		if !told {
			t.Errorf("%s: no bomb was met: %+v", scheme, c.seen)
		}
		if m := c.peakMemory(); m > memoryLimit {
			t.Errorf("%s: chunkget used %d MiB", scheme, m)
		} else {
			t.Logf("%s: %d bytes that inflate to %d MiB; chunkget used %d MiB", scheme, len(bomb), inflatedSize>>20, m)
		}
	}
}

// TestStdoutMemory: who does not take what -o - writes stops the download, which holds
// little of the file meanwhile, over every transport. What comes out is right.
func TestStdoutMemory(t *testing.T) {
	skipShort(t)
	const size = 512 << 20
	dir := t.TempDir()
	original := randomFile(t, dir, "big.bin", size)
	want := sumOf(t, original)
	s := serveDir(t, dir, "--tls")
	for _, scheme := range []string{"http", "udt", "https", "udts"} {
		url, transport := s.url(scheme, "big.bin"), "tcp"
		if strings.HasPrefix(scheme, "udt") {
			transport = "udt"
		}
		if strings.HasSuffix(scheme, "s") {
			url += s.pin
		}
		cmd := exec.CommandContext(t.Context(), program(t, "chunkget"), "-q", "-o", "-", "--transport", transport, url)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Nothing is read until no more comes.
		for last, tick := int64(-1), time.Tick(500*time.Millisecond); ; <-tick {
			m := residentPeak(cmd.Process.Pid)
			if m == last && m > 32 {
				break
			}
			last = m
		}
		h := sha256.New()
		n, err := io.Copy(h, out)
		if werr := cmd.Wait(); err != nil || werr != nil || n != size || !bytes.Equal(h.Sum(nil), want) {
			t.Errorf("%s: %d bytes, %v, %v\n%s", scheme, n, err, werr, &stderr)
		}
		m := int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) >> 10
		if m > memoryLimit {
			t.Errorf("%s: chunkget used %d MiB", scheme, m)
		} else {
			t.Logf("%s: chunkget used %d MiB", scheme, m)
		}
	}
}

// sumOf returns the SHA-256 of a file.
func sumOf(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}
