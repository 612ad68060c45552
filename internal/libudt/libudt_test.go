//go:build libudt

package libudt_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/libudt"
	"github.com/chunkget/chunkget/internal/lossyrelay"
	"github.com/chunkget/chunkget/internal/simnet"
)

func listen(t testing.TB, address string, cfg *libudt.Config) *libudt.Listener {
	t.Helper()
	l, err := libudt.Listen(address, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// pair returns the two ends of a connection over a relay, if one is given.
func pair(t testing.TB, l *libudt.Listener, address string, cfg *libudt.Config) (client, server *libudt.Conn) {
	t.Helper()
	client, err := libudt.Dial(address, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return client, c.(*libudt.Conn)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestTransferBothDirectionsAtOnce(t *testing.T) {
	l := listen(t, "127.0.0.1:0", nil)
	client, server := pair(t, l, l.Addr().String(), nil)
	data := randomBytes(64 << 20)
	want := sha256.Sum256(data)
	var wg sync.WaitGroup
	for _, dir := range []struct{ from, to *libudt.Conn }{{client, server}, {server, client}} {
		wg.Go(func() {
			if n, err := dir.from.Write(data); n != len(data) || err != nil {
				t.Errorf("wrote %d bytes, error %v", n, err)
			}
		})
		wg.Go(func() {
			h := sha256.New()
			if n, err := io.CopyN(h, dir.to, int64(len(data))); err != nil {
				t.Errorf("read %d bytes, error %v", n, err)
			}
			if !bytes.Equal(h.Sum(nil), want[:]) {
				t.Error("checksums differ")
			}
		})
	}
	wg.Wait()
	m, err := client.PerfMon(false)
	if err != nil || m.PktSentTotal < 64<<20/1456 || m.PktRecvTotal < 64<<20/1456 || m.MsRTT <= 0 {
		t.Errorf("performance record %+v, error %v", m, err)
	}
	client.Close()
	if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read after the peer's close: %d, %v", n, err)
	}
}

func TestHTTP(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(host, func(t *testing.T) {
			l := listen(t, host, nil)
			data := randomBytes(1 << 20)
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.ServeContent(w, r, "data", time.Time{}, bytes.NewReader(data))
			})}
			var wg sync.WaitGroup
			wg.Go(func() { srv.Serve(l) })
			defer wg.Wait()
			defer srv.Close()
			transport := &http.Transport{DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
				return libudt.Dial(address, nil)
			}}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			for range 3 {
				resp, err := client.Get("http://" + l.Addr().String() + "/data")
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("got %d bytes of %d, error %v", len(got), len(data), err)
				}
			}
		})
	}
}

func TestRendezvous(t *testing.T) {
	freePort := func() string {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	a, b := freePort(), freePort()
	result := make(chan error, 1)
	go func() {
		c, err := libudt.Rendezvous(a, b, nil)
		if err == nil {
			_, err = c.Write([]byte("hello"))
			err = errors.Join(err, c.Close())
		}
		result <- err
	}()
	c, err := libudt.Rendezvous(b, a, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Errorf("read %q, error %v", got, err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestDeadlinesAndClose(t *testing.T) {
	l := listen(t, "127.0.0.1:0", &libudt.Config{SendBuffer: 64 << 10, ReceiveBuffer: 64 << 10})
	client, _ := pair(t, l, l.Addr().String(), &libudt.Config{SendBuffer: 64 << 10, Linger: -1})
	isTimeout := func(err error) bool {
		ne, ok := errors.AsType[net.Error](err)
		return ok && ne.Timeout() && errors.Is(err, os.ErrDeadlineExceeded)
	}
	client.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := client.Read(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("read past its deadline: %v", err)
	}
	n, err := 0, error(nil)
	for wait := 50 * time.Millisecond; n == 0; wait *= 2 { // a deadline may be over before Write begins
		client.SetDeadline(time.Now().Add(wait))
		if n, err = client.Write(make([]byte, 1<<20)); !isTimeout(err) || n == 1<<20 {
			t.Fatalf("write past its deadline: %d bytes, %v", n, err)
		}
	}
	client.SetDeadline(time.Time{})

	result := make(chan error, 1)
	go func() { _, err := client.Read(make([]byte, 1)); result <- err }()
	client.SetReadDeadline(time.Now())
	if err := <-result; !isTimeout(err) {
		t.Errorf("blocked read with a new deadline: %v", err)
	}
	client.SetDeadline(time.Time{})
	go func() { _, err := client.Read(make([]byte, 1)); result <- err }()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, net.ErrClosed) {
		t.Errorf("blocked read of a closed connection: %v", err)
	}
	if err := client.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}

	go func() { _, err := l.Accept(); result <- err }()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept on a closed listener: %v", err)
	}
}

func TestErrors(t *testing.T) {
	if _, err := libudt.Listen("nonsense", nil); err == nil {
		t.Error("listened on nonsense")
	}
	l := listen(t, "127.0.0.1:0", nil)
	var e *libudt.Error
	if _, err := libudt.Listen(l.Addr().String(), nil); !errors.As(err, &e) || e.Code != 5011 {
		t.Errorf("second listener on one port: %v", err)
	}
	if _, err := libudt.Listen("127.0.0.1:0", &libudt.Config{MSS: 10}); !errors.As(err, &e) || e.Code != 5003 {
		t.Errorf("packet size of 10 bytes: %v", err)
	}
}

// BenchmarkRelay measures one connection of the library over a relay, a fresh
// one each time: run it with -benchtime=1x.
func BenchmarkRelay(b *testing.B) {
	for _, bench := range []struct {
		loss  float64 // in both directions
		delay time.Duration
		size  int
	}{
		{0, 0, 64 << 20},
		{0.01, 0, 64 << 20},
		{0.05, 0, 16 << 20},
		{0, 20 * time.Millisecond, 64 << 20},
		{0.01, 20 * time.Millisecond, 16 << 20},
		{0.05, 20 * time.Millisecond, 4 << 20},
	} {
		b.Run(fmt.Sprintf("loss=%g%%/rtt=%v/size=%dMiB", 100*bench.loss, 2*bench.delay, bench.size>>20), func(b *testing.B) {
			l := listen(b, "127.0.0.1:0", nil)
			link := simnet.LinkConfig{Loss: bench.loss, Delay: bench.delay}
			relay, err := lossyrelay.Listen("udp", l.Addr().String(), lossyrelay.Config{Seed: 1, ToServer: link, ToClient: link})
			if err != nil {
				b.Fatal(err)
			}
			defer relay.Close()
			data := randomBytes(bench.size)
			b.SetBytes(int64(bench.size))
			for b.Loop() {
				client, server := pair(b, l, relay.Addr().String(), &libudt.Config{Linger: -1})
				done := make(chan error, 1)
				go func() {
					_, err := client.Write(data)
					done <- err
				}()
				if _, err := io.CopyN(io.Discard, server, int64(bench.size)); err != nil {
					b.Fatal(err)
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				m, err := client.PerfMon(false)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(m.PktRetransTotal)/float64(m.PktSentTotal), "retransmitted/packet")
			}
		})
	}
}
