package udt_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"

	"github.com/chunkget/chunkget/udt"
)

// eachOffload runs a test with every way of moving datagrams.
func eachOffload(t *testing.T, test func(t *testing.T)) {
	for _, mode := range []string{"full", "batch", "off"} {
		t.Run(mode, func(t *testing.T) {
			t.Setenv("CHUNKGET_UDP_OFFLOAD", mode)
			test(t)
		})
	}
}

// connect makes a connection over real sockets on loopback. The caller closes
// all three.
func connect(t testing.TB, cfg *udt.Config) (l *udt.Listener, client, server *udt.Conn) {
	t.Helper()
	l, err := (&udt.ListenConfig{Config: cfg}).Listen(t.Context(), "udt4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&udt.Dialer{Config: cfg}).DialContext(t.Context(), "udt4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return l, c.(*udt.Conn), s.(*udt.Conn)
}

// pair returns two ends of a connection, which end with the test.
func pair(t testing.TB, cfg *udt.Config) (client, server *udt.Conn) {
	t.Helper()
	l, client, server := connect(t, cfg)
	t.Cleanup(func() { client.Close(); server.Close(); l.Close() })
	return client, server
}

func TestLoopbackTransfer(t *testing.T) { eachOffload(t, testLoopbackTransfer) }

func testLoopbackTransfer(t *testing.T) {
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

func TestPingPong(t *testing.T) { eachOffload(t, testPingPong) }

func testPingPong(t *testing.T) {
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

var _ net.Conn = (*udt.Conn)(nil)

// Buffers of 256 MiB cost nothing until they are used: an idle connection, with
// the goroutines of both ends, takes less than 32 KiB.
func TestIdleConnectionMemory(t *testing.T) {
	const n = 1000
	l, err := udt.Listen("udt4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e, err := udt.ListenEndpoint("udt4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	inUse := func() int64 {
		runtime.GC()
		runtime.GC() // the second empties the pools
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	var conns []net.Conn
	open := func() {
		c, err := e.DialContext(t.Context(), "udt4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range [][2]net.Conn{{c, s}, {s, c}} {
			if _, err := pair[0].Write(make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(pair[1], make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
		}
		conns = append(conns, c, s)
	}
	open()
	before := inUse()
	for range n {
		open()
	}
	each := (inUse() - before) / n
	t.Logf("%d bytes for each connection, both ends together", each)
	if each > 32<<10 && !udt.RaceEnabled { // whose own memory counts as well
		t.Errorf("an idle connection takes %d bytes, both ends together", each)
	}
	for _, c := range conns[len(conns)-2*n:] {
		go c.Close()
	}
}

// Two sides that dial each other meet, with the network names of old.
func TestDialRendezvous(t *testing.T) { eachOffload(t, testDialRendezvous) }

func testDialRendezvous(t *testing.T) {
	// Both are held until both are known, so that they are two.
	var sides [2]*net.UDPAddr
	var held [2]net.PacketConn
	for i := range held {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sides[i], held[i] = pc.LocalAddr().(*net.UDPAddr), pc
	}
	for _, pc := range held {
		pc.Close()
	}
	a, b := sides[0], sides[1]
	type result struct {
		c   net.Conn
		err error
	}
	dialled := make(chan result)
	for _, side := range [][2]*net.UDPAddr{{a, b}, {b, a}} {
		go func() {
			c, err := (&udt.Dialer{LocalAddr: side[0]}).Dial("udt4z", side[1].String())
			dialled <- result{c, err}
		}()
	}
	first, second := <-dialled, <-dialled
	if first.err != nil || second.err != nil {
		t.Fatal(first.err, second.err)
	}
	defer first.c.Close()
	defer second.c.Close()
	if _, err := first.c.Write([]byte("met")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3)
	if _, err := io.ReadFull(second.c, got); err != nil || string(got) != "met" {
		t.Fatalf("%q, %v", got, err)
	}
}
