//go:build libudt && linux

package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/libudt"
	"github.com/chunkget/chunkget/internal/lossyrelay"
	"github.com/chunkget/chunkget/internal/simnet"
)

// interopSize is what crosses between our programs and the C++ library.
const interopSize = 64 << 20

// underLoss runs test with a relay that loses packets in both directions.
// start returns the address of the server behind the relay.
func underLoss(t *testing.T, start func(t *testing.T) (addr string), test func(t *testing.T, relay string)) {
	for _, loss := range []float64{0, 0.01, 0.05} {
		t.Run(fmt.Sprintf("loss %g%%", 100*loss), func(t *testing.T) {
			link := simnet.LinkConfig{Loss: loss}
			relay, err := lossyrelay.Listen("udp", start(t), lossyrelay.Config{
				Seed: simnet.SeedFromTest(t), ToServer: link, ToClient: link,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer relay.Close()
			test(t, relay.Addr().String())
		})
	}
}

// chunkget downloads from a plain web server on the C++ library.
func TestFromLibudtServer(t *testing.T) {
	skipShort(t)
	dir := t.TempDir()
	original := randomFile(t, dir, "data.bin", interopSize)
	start := func(t *testing.T) string {
		l, err := libudt.Listen("127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.FileServer(http.Dir(dir))}
		var serving sync.WaitGroup
		serving.Go(func() { srv.Serve(l) })
		t.Cleanup(func() { srv.Close(); serving.Wait() })
		return l.Addr().String()
	}
	underLoss(t, start, func(t *testing.T, relay string) {
		out := t.TempDir()
		d := get(t, out, "-n", "8", "--ramp=false", "udt://"+relay+"/data.bin").done()
		if d.Bytes != interopSize || d.Transport != "udt" {
			t.Errorf("done event: %+v", d)
		}
		sameContent(t, original, filepath.Join(out, "data.bin"))
		t.Logf("%.1f s, %.1f Mbit/s", d.Seconds, interopSize*8/1e6/d.Seconds)
	})
}

// A web client on the C++ library downloads from chunkserve.
func TestToLibudtClient(t *testing.T) {
	skipShort(t)
	dir := t.TempDir()
	original := randomFile(t, dir, "data.bin", interopSize)
	s := serveDir(t, dir)
	start := func(*testing.T) string { return s.addr }
	underLoss(t, start, func(t *testing.T, relay string) {
		client := &http.Client{Transport: &http.Transport{
			DialContext: func(_ context.Context, _, address string) (net.Conn, error) { return libudt.Dial(address, nil) },
		}}
		defer client.CloseIdleConnections()
		began := time.Now()
		resp, err := client.Get("http://" + relay + "/data.bin")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got := sha256.New()
		n, err := io.Copy(got, resp.Body)
		if err != nil || n != interopSize {
			t.Fatalf("got %d of %d bytes: %v", n, int64(interopSize), err)
		}
		elapsed := time.Since(began).Seconds()
		want, err := os.ReadFile(original)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(want); string(got.Sum(nil)) != string(sum[:]) {
			t.Error("content differs")
		}
		t.Logf("%.1f s, %.1f Mbit/s", elapsed, interopSize*8/1e6/elapsed)
	})
}
