package udt_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/chunkget/chunkget/udt"
)

// pair returns two ends of a connection over real sockets on loopback.
func pair(t testing.TB, cfg *udt.Config) (client, server *udt.Conn) {
	t.Helper()
	l, err := (&udt.ListenConfig{Config: cfg}).Listen(t.Context(), "udt4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := (&udt.Dialer{Config: cfg}).DialContext(t.Context(), "udt4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*udt.Conn), s.(*udt.Conn)
}

func TestLoopbackTransfer(t *testing.T) {
	client, server := pair(t, nil)
	data := make([]byte, 64<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	go func() {
		if _, err := io.Copy(server, bytes.NewReader(data)); err != nil {
			t.Error(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	h := sha256.New()
	n, err := io.Copy(h, client)
	if err != nil || n != int64(len(data)) {
		t.Fatalf("read %d of %d bytes: %v", n, len(data), err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(h.Sum(nil), want[:]) {
		t.Fatal("content differs")
	}
}

func TestPingPong(t *testing.T) {
	client, server := pair(t, nil)
	go func() { io.Copy(server, server); server.Close() }()
	buf := make([]byte, 4)
	for range 1000 {
		if _, err := client.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, buf); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkLoopback(b *testing.B) {
	client, server := pair(b, nil)
	const size = 1 << 20
	b.SetBytes(size)
	b.ReportAllocs()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, size)
		for range b.N {
			if _, err := io.ReadFull(client, buf); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	buf := make([]byte, size)
	for range b.N {
		if _, err := server.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	b.StopTimer()
	s := server.Stats()
	b.ReportMetric(float64(s.PktRetrans)/float64(s.PktSent)*100, "%retrans")
}

var _ net.Conn = (*udt.Conn)(nil)
