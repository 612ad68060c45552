package udt_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
	"github.com/chunkget/chunkget/udt"
)

// The peer in these tests is the test itself: it speaks packets, as the C++
// library does or as nobody should, in virtual time.

var (
	rawAddr  = netip.MustParseAddrPort("10.0.0.1:5000")
	realAddr = netip.MustParseAddrPort("10.0.0.2:9000")
)

// rawPeer is one end of a connection, made of bare packets.
type rawPeer struct {
	t      *testing.T
	net    *simnet.Network
	socket *simnet.Conn
	end    *udt.Endpoint // ours, the one under test
	conn   *udt.Conn     // ours

	id, peerID uint32
	isn        uint32 // of both directions
	next       uint32 // of our next data packet
	ackNo      uint32
}

const (
	rawID  = 77
	rawISN = 1<<31 - 3 // wraps soon
)

// inBubble runs a test of an endpoint against a raw peer, not yet connected.
func inBubble(t *testing.T, test func(t *testing.T, p *rawPeer)) {
	t.Helper()
	seed := simnet.SeedFromTest(t)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Config{Seed: seed, Link: simnet.LinkConfig{Delay: 5 * time.Millisecond}})
		e, err := udt.NewEndpoint(n.Listen(realAddr), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { // also after a failure: the bubble waits for every goroutine
			if err := errors.Join(e.Close(), n.Close()); err != nil {
				t.Error(err)
			}
		}()
		test(t, &rawPeer{t: t, net: n, socket: n.Listen(rawAddr), end: e, id: rawID, isn: rawISN, next: rawISN})
	})
}

// connected runs a test of an accepted connection.
func connected(t *testing.T, test func(t *testing.T, p *rawPeer)) {
	t.Helper()
	inBubble(t, func(t *testing.T, p *rawPeer) {
		p.accept()
		test(t, p)
	})
}

func words(w ...uint32) (b []byte) {
	for _, v := range w {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// control is a control packet for our connection.
func (p *rawPeer) control(typ int, info uint32, payload ...uint32) []byte {
	return words(append([]uint32{1<<31 | uint32(typ)<<16, info, 0, p.peerID}, payload...)...)
}

// data is a data packet for our connection.
func (p *rawPeer) data(seq uint32, payload []byte) []byte {
	return append(words(seq&(1<<31-1), 3<<30|1, 12345, p.peerID), payload...)
}

// handshake is a handshake packet with the values of the C++ library.
func (p *rawPeer) handshake(request int32, dst, cookie uint32) []byte {
	return words(1<<31, 0, 0, dst, 4, 1, p.isn, 1500, 8192, uint32(request), p.id, cookie, 0x0200000a, 0, 0, 0)
}

func (p *rawPeer) send(packet []byte) {
	p.t.Helper()
	if _, err := p.socket.WriteToUDPAddrPort(packet, realAddr); err != nil {
		p.t.Fatal(err)
	}
}

// recv returns the next packet within the time, or nil.
func (p *rawPeer) recv(within time.Duration) []byte {
	p.socket.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 2000)
	n, from, err := p.socket.ReadFromUDPAddrPort(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil || from != realAddr || n < 16 {
		p.t.Fatalf("received %d bytes from %v: %v", n, from, err)
	}
	return b[:n]
}

func word(b []byte, i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }

func typeOf(b []byte) int {
	if b[0]&0x80 == 0 {
		return -1 // data
	}
	return int(word(b, 0) >> 16 & 0x7FFF)
}

// want returns the next packet of the type, skipping others.
func (p *rawPeer) want(typ int) []byte {
	p.t.Helper()
	for range 1000 {
		b := p.recv(5 * time.Second)
		if b == nil {
			break
		}
		if typeOf(b) == typ {
			return b
		}
	}
	if p.conn != nil {
		p.t.Logf("statistics %+v", p.conn.Stats())
	}
	p.t.Fatalf("no packet of type %d came", typ)
	return nil
}

// silence checks that no packet of the type comes for a while.
func (p *rawPeer) silence(typ int) {
	p.t.Helper()
	end := time.Now().Add(100 * time.Millisecond)
	for {
		b := p.recv(time.Until(end))
		if b == nil {
			return
		}
		if typeOf(b) == typ {
			p.t.Fatalf("unexpected answer %x", b)
		}
	}
}

// accept goes through a client's handshake.
func (p *rawPeer) accept() {
	p.t.Helper()
	l, err := p.end.Listen()
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(p.handshake(1, 0, 0))
	cookie := word(p.want(0), 11)
	p.send(p.handshake(-1, 0, cookie))
	answer := p.want(0)
	if int32(word(answer, 9)) != -1 || word(answer, 6) != p.isn {
		p.t.Fatalf("answer %x", answer)
	}
	p.peerID = word(answer, 10)
	c, err := l.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.conn = c.(*udt.Conn)
}

// deliver sends payload as the next data packet.
func (p *rawPeer) deliver(payload string) {
	p.send(p.data(p.next, []byte(payload)))
	p.next = (p.next + 1) & (1<<31 - 1)
}

// expect reads what our side has received.
func (p *rawPeer) expect(want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	p.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := io.ReadFull(p.conn, got); err != nil || string(got) != want {
		p.t.Fatalf("read %q, error %v, want %q", got[:n], err, want)
	}
}

// acknowledge sends a full ACK of everything before seq.
func (p *rawPeer) acknowledge(seq uint32) {
	p.ackNo++
	p.send(p.control(2, p.ackNo, seq&(1<<31-1), 10000, 5000, 8000, 0, 0))
}

// alive checks that the connection works in both directions.
func (p *rawPeer) alive(seq uint32) {
	p.t.Helper()
	p.deliver("hello")
	p.expect("hello")
	if _, err := p.conn.Write([]byte("world")); err != nil {
		p.t.Fatal(err)
	}
	for {
		b := p.want(-1)
		if word(b, 0) != seq&(1<<31-1) {
			continue // an older one, repeated
		}
		if string(b[16:]) != "world" {
			p.t.Fatalf("our side sent %q", b[16:])
		}
		break
	}
	p.acknowledge(seq + 1)
}
