//go:build libudt

package udt_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/libudt"
	"github.com/chunkget/chunkget/internal/simnet"
	"github.com/chunkget/chunkget/udt"
)

// TestInteropCloseUnsent is case 33: Close with megabytes unsent.
func TestInteropCloseUnsent(t *testing.T) {
	eachDirection(t, func(t *testing.T, fromGo bool) {
		x := interop{
			goServer: true,
			cppCfg:   &libudt.Config{Linger: time.Minute},
			fromGo:   simnet.LinkConfig{Delay: 5 * time.Millisecond},
			fromCpp:  simnet.LinkConfig{Delay: 5 * time.Millisecond},
		}
		g, cpp := x.start(t).connect()
		from, to := ends(g, cpp, fromGo)
		data := randomData(10 << 20)
		if _, err := from.Write(data); err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		go func() { closed <- from.Close() }()
		to.SetReadDeadline(time.Now().Add(patience))
		if got, err := io.ReadAll(to); err != nil || !bytes.Equal(got, data) {
			t.Errorf("got %d of %d bytes, error %v", len(got), len(data), err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// TestInteropLostShutdown is case 34.
func TestInteropLostShutdown(t *testing.T) {
	lose := func(n int) fault { return drop(0, n, isControl(wireShutdown)) }
	t.Run("of c++", func(t *testing.T) {
		// It sends one, and nothing later.
		m := interop{goServer: true, goCfg: &udt.Config{PeerTimeout: 5 * time.Second}, cppFault: lose(1)}.start(t)
		g, cpp := m.connect()
		send(t, cpp, g, []byte("bye"))
		if err := cpp.Close(); err != nil {
			t.Fatal(err)
		}
		g.SetReadDeadline(time.Now().Add(patience))
		if _, err := g.Read(make([]byte, 1)); !isPeerTimeout(err) {
			t.Errorf("read: %v", err)
		}
	})
	t.Run("of go once", func(t *testing.T) {
		g, cpp := interop{goServer: true, goFault: lose(1)}.start(t).connect()
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		expectEOF(t, cpp)
	})
	t.Run("of go three times", func(t *testing.T) {
		// The listener's endpoint answers what the other side goes on sending.
		g, cpp := interop{goServer: true, goFault: lose(3)}.start(t).connect()
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		expectEOF(t, cpp)
	})
}

func isPeerTimeout(err error) bool {
	_, ok := errors.AsType[*udt.PeerTimeoutError](err)
	return ok && isTimeout(err)
}

// TestInteropVanished is case 35, for our side: the C++ library takes 46 s.
func TestInteropVanished(t *testing.T) {
	m := interop{goServer: true, goCfg: &udt.Config{PeerTimeout: 5 * time.Second, Linger: -1}}.start(t)
	g, cpp := m.connect()
	roundTrip(t, g, cpp)
	m.cut()
	if _, err := g.Write([]byte("anybody there?")); err != nil {
		t.Fatal(err)
	}
	g.SetDeadline(time.Now().Add(patience))
	if _, err := g.Read(make([]byte, 1)); !isPeerTimeout(err) {
		t.Errorf("read: %v", err)
	}
	if _, err := g.Write([]byte("!")); !isPeerTimeout(err) {
		t.Errorf("write: %v", err)
	}
}

// TestInteropReadAfterShutdown is case 36: what came before the Shutdown stays
// readable, however late.
func TestInteropReadAfterShutdown(t *testing.T) {
	x := interop{goServer: true, cppCfg: &libudt.Config{Linger: time.Minute}}
	g, cpp := x.start(t).connect()
	data := randomData(1 << 20)
	if _, err := cpp.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := cpp.Close(); err != nil {
		t.Fatal(err)
	}
	// Writes fail once the Shutdown is here.
	for {
		g.SetWriteDeadline(time.Now().Add(patience))
		if _, err := g.Write([]byte("x")); err != nil {
			if !errors.Is(err, udt.ErrPeerClosed) {
				t.Fatalf("write after the peer's close: %v", err)
			}
			break
		}
	}
	if got, err := io.ReadAll(g); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d of %d bytes, error %v", len(got), len(data), err)
	}
}

// TestInteropBlockedCalls is case 37.
func TestInteropBlockedCalls(t *testing.T) {
	x := interop{
		goServer: true,
		goCfg:    &udt.Config{SendBuffer: 64 << 10, Linger: -1},
		cppCfg:   &libudt.Config{ReceiveBuffer: 64 * 1472, Linger: -1},
	}
	g, _ := x.start(t).connect()
	result := make(chan error, 2)
	read := func() { _, err := g.Read(make([]byte, 1)); result <- err }
	write := func() { _, err := g.Write(make([]byte, 1<<20)); result <- err }

	g.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := g.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read past its deadline: %v", err)
	}
	g.SetReadDeadline(time.Time{})
	go read()
	g.SetReadDeadline(time.Now())
	if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("blocked read with a new deadline: %v", err)
	}
	g.SetReadDeadline(time.Time{})
	go read()
	go write()
	if err := g.Close(); err != nil && !errors.Is(err, udt.ErrLinger) {
		t.Errorf("close: %v", err)
	}
	for range 2 {
		if err := <-result; !errors.Is(err, net.ErrClosed) {
			t.Errorf("blocked call of a closed connection: %v", err)
		}
	}
	if err := g.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
}

// TestInteropListenerClose is case 38: pending connections end, accepted ones
// stay, and the port can be listened on at once when they are gone.
func TestInteropListenerClose(t *testing.T) {
	m := interop{goServer: true}.start(t)
	g, cpp := m.connect()
	pending, err := m.dialCpp()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.goL.Close(); err != nil {
		t.Fatal(err)
	}
	expectEOF(t, pending)
	roundTrip(t, g, cpp)
	address := m.goL.Addr().String()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	expectEOF(t, cpp)

	// Unlike the library's, an endpoint can listen again while it is open.
	e, err := udt.ListenEndpoint("udt4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 2 {
		l, err := e.Listen()
		if err != nil {
			t.Fatalf("after listening on %s: %v", address, err)
		}
		c, err := libudt.Dial(l.Addr().String(), &libudt.Config{Linger: -1})
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, c, s)
		for _, closer := range []io.Closer{s, c, l} {
			if err := closer.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestInteropIdle is case 41, shortened: both sides stay silent for some
// rounds of keepalives.
func TestInteropIdle(t *testing.T) {
	const enough = 5
	done := make(chan struct{})
	heard := 0
	m := interop{goServer: true, cppFault: func(p wirePacket) (v simnet.Verdict) {
		if p.is(wireKeepalive) {
			if heard++; heard == enough {
				close(done)
			}
		}
		return v
	}}.start(t)
	g, cpp := m.connect()
	roundTrip(t, g, cpp)
	start := time.Now()
	<-done
	idle := time.Since(start)
	// One that accompanied data, and one in three seconds.
	if n, most := m.tap.of(true).keepalives, 3+int(idle/time.Second); n > most {
		t.Errorf("%d keepalives in %v of silence, want at most %d", n, idle, most)
	}
	roundTrip(t, g, cpp)
}

// TestInteropStats is case 44: our counters are what crossed the wire.
func TestInteropStats(t *testing.T) {
	m := interop{goServer: true, fromGo: simnet.LinkConfig{Delay: time.Millisecond}, fromCpp: simnet.LinkConfig{Delay: time.Millisecond},
		goFault: dropNumbers(10, 50, 51), cppFault: dropNumbers(20, 60, 61)}.start(t)
	g, cpp := m.connect()
	send(t, g, cpp, randomData(1<<20))
	send(t, cpp, g, randomData(1<<20))
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	expectEOF(t, cpp)
	s := g.Stats()
	ours, theirs := m.tap.of(true), m.tap.of(false)
	for _, c := range []struct {
		name      string
		got, want int64
	}{
		{"PktSent", s.PktSent, int64(ours.data)},
		{"PktRetrans", s.PktRetrans, int64(ours.data - ours.distinct())},
		{"PktSentACK", s.PktSentACK, int64(ours.fullACKs)},
		{"PktSentNAK", s.PktSentNAK, int64(ours.naks)},
		{"PktRecv", s.PktRecv, int64(theirs.data) - 3},
		{"PktRecvNAK", s.PktRecvNAK, int64(theirs.naks)},
		{"ByteSent", s.ByteSent, 1 << 20},
		{"ByteRecv", s.ByteRecv, 1 << 20},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, the wire carried %d", c.name, c.got, c.want)
		}
	}
	if s.PktRcvLoss < 3 || s.PktSndLoss < 3 {
		t.Errorf("%d and %d packets counted as lost, want 3 or more", s.PktRcvLoss, s.PktSndLoss)
	}
}
