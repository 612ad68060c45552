package udt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
	"github.com/chunkget/chunkget/udt"
)

// TestRawMalformed is cases 31, 39 and 40: what a peer, or somebody in its
// name, may send without ending the connection.
func TestRawMalformed(t *testing.T) {
	const seq = 1<<31 - 1
	for _, tt := range []struct {
		name   string
		packet func(p *rawPeer) []byte
	}{
		{"empty loss report", func(p *rawPeer) []byte { return p.control(3, 0) }},
		{"loss report with an open range", func(p *rawPeer) []byte { return p.control(3, 0, 1<<31|p.isn) }},
		{"loss report with two range starts", func(p *rawPeer) []byte { return p.control(3, 0, 1<<31|p.isn, 1<<31|p.isn) }},
		{"loss report of what was not sent", func(p *rawPeer) []byte { return p.control(3, 0, p.isn+2) }},
		{"loss report of everything", func(p *rawPeer) []byte { return p.control(3, 0, 1<<31, 1<<31-1) }},
		{"loss report backwards", func(p *rawPeer) []byte { return p.control(3, 0, 1<<31|p.isn, p.isn-1) }},
		{"loss report of half a word", func(p *rawPeer) []byte { return append(p.control(3, 0), 1, 2) }},
		{"ACK beyond", func(p *rawPeer) []byte { return p.control(2, 1, 100, 10000, 5000, 8000, 0, 0) }},
		{"ACK from before", func(p *rawPeer) []byte { return p.control(2, 1, p.isn-100, 10000, 5000, 8000, 0, 0) }},
		{"light ACK beyond", func(p *rawPeer) []byte { return p.control(2, 0, 100) }},
		{"ACK without payload", func(p *rawPeer) []byte { return p.control(2, 1) }},
		{"ACK of two words", func(p *rawPeer) []byte { return p.control(2, 1, p.isn, 10000) }},
		{"ACK of seven words", func(p *rawPeer) []byte { return p.control(2, 1, p.isn, 1, 1, 1, 1, 1, 1) }},
		{"ACK with absurd values", func(p *rawPeer) []byte {
			return p.control(2, 1, p.isn, seq, seq, seq, 1<<32-1, 1<<31)
		}},
		{"ACK2 of nothing", func(p *rawPeer) []byte { return p.control(6, 99999, 0) }},
		{"drop request without payload", func(p *rawPeer) []byte { return p.control(7, 1) }},
		{"drop request of one word", func(p *rawPeer) []byte { return p.control(7, 1, p.isn) }},
		{"drop request of everything", func(p *rawPeer) []byte { return p.control(7, 1, p.isn, p.isn-1) }},
		{"congestion warning", func(p *rawPeer) []byte { return p.control(4, 0, 0) }},
		{"user-defined", func(p *rawPeer) []byte { return words(0xffff1234, 0, 0, p.peerID, 1, 2) }},
		{"unknown type", func(p *rawPeer) []byte { return p.control(99, 0, 0) }},
		{"keepalive without pad", func(p *rawPeer) []byte { return p.control(1, 0) }},
		{"request of a client", func(p *rawPeer) []byte { return p.handshake(1, p.peerID, 0) }},
		{"rendezvous request", func(p *rawPeer) []byte { return p.handshake(0, p.peerID, 0) }},
		{"rendezvous answer", func(p *rawPeer) []byte { return p.handshake(-2, p.peerID, 0) }},
		{"rejection", func(p *rawPeer) []byte { return p.handshake(1002, p.peerID, 0) }},
		{"short handshake", func(p *rawPeer) []byte { return p.handshake(-1, p.peerID, 0)[:60] }},
		{"empty datagram", func(p *rawPeer) []byte { return nil }},
		{"half a header", func(p *rawPeer) []byte { return p.control(1, 0)[:8] }},
		{"data far ahead", func(p *rawPeer) []byte { return p.data(p.isn+1<<28, []byte("x")) }},
		{"data from long ago", func(p *rawPeer) []byte { return p.data(p.isn-1000, []byte("x")) }},
		{"negative destination", func(p *rawPeer) []byte {
			b := p.control(5, 0, 0)
			b[12] |= 0x80
			return b
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			connected(t, func(t *testing.T, p *rawPeer) {
				p.send(tt.packet(p))
				p.alive(p.isn)
				p.send(tt.packet(p))
				p.alive(p.isn + 1)
			})
		})
	}
	t.Run("random", func(t *testing.T) {
		connected(t, func(t *testing.T, p *rawPeer) {
			rng := rand.New(rand.NewPCG(1, 2))
			for range 2000 {
				b := make([]byte, rng.IntN(100))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				if len(b) >= 16 {
					binary.BigEndian.PutUint32(b[12:], p.peerID)
					b[0] |= 0x80
					if b[1] == 5 && b[0] == 0x80 {
						b[1]++ // a Shutdown would be obeyed
					}
				}
				p.send(b)
			}
			p.alive(p.isn)
		})
	})
	t.Run("shutdown from another port", func(t *testing.T) {
		connected(t, func(t *testing.T, p *rawPeer) {
			stranger := p.net.Listen(netip.AddrPortFrom(rawAddr.Addr(), 6000))
			if _, err := stranger.WriteToUDPAddrPort(p.control(5, 0, 0), realAddr); err != nil {
				t.Fatal(err)
			}
			p.alive(p.isn)
		})
	})
}

// TestRawDataOddities is case 42, the empty packet that the C++ library takes,
// and duplicates.
func TestRawDataOddities(t *testing.T) {
	connected(t, func(t *testing.T, p *rawPeer) {
		// Longer than any packet that was agreed on: not truncated, dropped, and
		// what comes in its place is taken.
		p.send(p.data(p.next, make([]byte, 1457)))
		p.send(p.data(p.next, make([]byte, 1984)))
		p.deliver("in its place, ")
		p.send(p.data(p.next-1, []byte("not again, not")))
		p.deliver("") // takes a number and no place
		p.deliver("and after nothing, ")
		// Out of order.
		p.send(p.data(p.next+1, []byte("world")))
		p.deliver("hello ")
		p.next++
		p.expect("in its place, and after nothing, hello world")
		for {
			if ack := p.want(2); word(ack, 4) == p.next&(1<<31-1) {
				break
			}
		}
		p.alive(p.isn)
	})
}

// TestRawAckForms is case 27: every form of ACK, and far too many of them.
func TestRawAckForms(t *testing.T) {
	connected(t, func(t *testing.T, p *rawPeer) {
		written := make(chan error, 1)
		data := make([]byte, 400*1456)
		go func() {
			_, err := p.conn.Write(data)
			if err == nil {
				err = p.conn.Close()
			}
			written <- err
		}()
		got := make(map[uint32]int)
		bytes, next := 0, p.isn
		for bytes < len(data) {
			b := p.want(-1)
			if seq := word(b, 0); got[seq] == 0 {
				got[seq] = len(b) - 16
				bytes += len(b) - 16
			}
			for got[next] > 0 {
				next = (next + 1) & (1<<31 - 1)
			}
			switch p.ackNo++; p.ackNo % 3 {
			case 0: // light ones in a storm
				for range 20 {
					p.send(p.control(2, 0, next))
				}
			case 1:
				p.send(p.control(2, p.ackNo, next, 10000, 5000, 8000))
			case 2:
				p.send(p.control(2, p.ackNo, next, 10000, 5000, 8000, 1000, 0xffffffff))
			}
		}
		p.acknowledge(next)
		p.want(5)
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}

// TestRawLossReportAcrossWrap is the sending half of case 16.
func TestRawLossReportAcrossWrap(t *testing.T) {
	connected(t, func(t *testing.T, p *rawPeer) {
		data := make([]byte, 8*1456)
		for i := range data {
			data[i] = byte(i / 1456)
		}
		if _, err := p.conn.Write(data); err != nil {
			t.Fatal(err)
		}
		// The last packet is a byte short, so there may be a ninth.
		seen := make(map[uint32][]byte)
		for total := 0; total < len(data); {
			b := p.want(-1)
			if seq := word(b, 0); seen[seq] == nil {
				seen[seq] = bytes.Clone(b[16:])
				total += len(b) - 16
			}
		}
		p.send(p.control(3, 0, 1<<31|(1<<31-2), 1, 3)) // numbers 2^31-2 to 1, and 3
		again := make(map[uint32]bool)
		for len(again) < 5 {
			b := p.want(-1)
			seq := word(b, 0)
			if !bytes.Equal(b[16:], seen[seq]) {
				t.Errorf("packet %d changed", seq)
			}
			again[seq] = true
			delete(again, (p.isn+uint32(len(seen))-1)&(1<<31-1)) // may be a probe of the tail
		}
		for _, seq := range []uint32{1<<31 - 2, 1<<31 - 1, 0, 1, 3} {
			if !again[seq] {
				t.Errorf("packet %d was reported lost and not repeated, only %v", seq, again)
			}
		}
		p.acknowledge(p.isn + uint32(len(seen)))
	})
}

// TestRawCookieAge is the listener's half of case 5, and case 9.
func TestRawCookieAge(t *testing.T) {
	inBubble(t, func(t *testing.T, p *rawPeer) {
		l, err := p.end.Listen()
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			age  time.Duration
			want bool
		}{{0, true}, {50 * time.Second, true}, {50 * time.Second, true}, {3 * time.Minute, false}} {
			p.id++
			p.send(p.handshake(1, 0, 0))
			cookie := word(p.want(0), 11)
			time.Sleep(tt.age)
			for range 3 { // the C++ client sends it twice within a millisecond
				p.send(p.handshake(-1, 0, cookie))
			}
			if !tt.want {
				p.silence(0)
				continue
			}
			id := word(p.want(0), 10)
			for range 2 {
				if b := p.want(0); word(b, 10) != id {
					t.Errorf("the answers name the ids %d and %d", id, word(b, 10))
				}
			}
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			go c.Close()
			p.peerID = id
			p.want(5)
		}
		l.Close()
		if c, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("one accept too many: %v, %v", c, err)
		}
	})
}

// TestRawGarbageRequests is case 8: no answer and no crash.
func TestRawGarbageRequests(t *testing.T) {
	inBubble(t, func(t *testing.T, p *rawPeer) {
		l, err := p.end.Listen()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for _, b := range [][]byte{
			p.handshake(1, 0, 0)[:63],
			append(p.handshake(1, 0, 0), 0, 0, 0, 0),
			p.handshake(-1, 0, 1),
			p.handshake(5, 0, 0),
			p.handshake(0, 0, 0),
			p.data(1, []byte("data for nobody")),
			p.control(5, 0, 0),
			p.control(2, 1, 0, 0, 0, 0),
		} {
			p.send(b)
		}
		p.silence(0)
		p.silence(5)
	})
}

// TestRawListener is the client's side: what the C++ library may answer.
func TestRawListener(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(p *rawPeer) []byte
		want   error // nil = connected
	}{
		{"plain", func(p *rawPeer) []byte { return p.handshake(-1, p.peerID, 0) }, nil},
		{"version and type 0", func(p *rawPeer) []byte {
			b := p.handshake(-1, p.peerID, 0)
			clear(b[16:24])
			return b
		}, nil},
		{"rejection", func(p *rawPeer) []byte { return p.handshake(1002, p.peerID, 0) }, udt.ErrRejected},
		{"wrong sequence number", func(p *rawPeer) []byte {
			p.isn++
			return p.handshake(-1, p.peerID, 0)
		}, context.DeadlineExceeded},
		{"packet size 0", func(p *rawPeer) []byte {
			b := p.handshake(-1, p.peerID, 0)
			clear(b[28:32])
			return b
		}, context.DeadlineExceeded},
		{"giant window", func(p *rawPeer) []byte {
			b := p.handshake(-1, p.peerID, 0)
			copy(b[32:36], "\xff\xff\xff\xff")
			return b
		}, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *rawPeer) {
				result := make(chan error, 1)
				go func() {
					d := &udt.Dialer{Endpoint: p.end, Timeout: 2 * time.Second}
					c, err := d.DialContext(t.Context(), "udt", rawAddr.String())
					if err == nil {
						p.conn = c.(*udt.Conn)
					}
					result <- err
				}()
				first := p.want(0)
				p.peerID, p.isn = word(first, 10), word(first, 6)
				p.next = p.isn
				cookie := p.handshake(1, p.peerID, 0xC00C1E)
				binary.BigEndian.PutUint32(cookie[40:], p.peerID)
				p.send(cookie)
				second := p.want(0)
				if int32(word(second, 9)) != -1 || word(second, 11) != 0xC00C1E || word(second, 3) != 0 {
					t.Errorf("second request %x", second)
				}
				p.send(tt.answer(p))
				err := <-result
				if tt.want == nil && err == nil {
					p.alive(p.isn)
					return
				}
				var timeout *udt.NoAnswerError
				if tt.want == context.DeadlineExceeded && errors.As(err, &timeout) {
					return
				}
				if !errors.Is(err, tt.want) {
					t.Errorf("dial: %v, want %v", err, tt.want)
				}
			})
		})
	}
}

// TestRawRendezvous is the part of case 13 for which a real peer is too sane.
func TestRawRendezvous(t *testing.T) {
	inBubble(t, func(t *testing.T, p *rawPeer) {
		result := make(chan error, 1)
		go func() {
			c, err := p.end.Rendezvous(t.Context(), rawAddr)
			p.conn = c
			result <- err
		}()
		first := p.want(0)
		if word(first, 9) != 0 || word(first, 3) != 0 {
			t.Errorf("first request %x", first)
		}
		p.peerID = word(first, 10)
		p.send(p.handshake(1, p.peerID, 0)) // a client's, which means nothing here
		p.send(p.handshake(0, p.peerID, 0))
		if second := p.want(0); int32(word(second, 9)) != -1 || word(second, 3) != p.id {
			t.Errorf("second request %x", second)
		}
		// The peer restarts, under a new id.
		p.id++
		p.send(p.handshake(0, 0, 0))
		for {
			if b := p.want(0); word(b, 3) == p.id {
				break
			}
		}
		// A connected C++ peer answers with most fields 0.
		agreement := p.handshake(-2, p.peerID, 0)
		clear(agreement[16:24])
		p.send(agreement)
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		// Our answers to repetitions carry all fields.
		for {
			if p.recv(50*time.Millisecond) == nil {
				break
			}
		}
		p.send(p.handshake(0, p.peerID, 0))
		if b := p.want(0); int32(word(b, 9)) != -2 || word(b, 4) != 4 || word(b, 5) != 1 || word(b, 8) < 32 {
			t.Errorf("answer to a repeated handshake %x", b)
		}
		p.alive(word(first, 6))
	})
}

// TestLongIdle is case 41: ten minutes of silence, and few packets for it.
func TestLongIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Config{Link: simnet.LinkConfig{Delay: 50 * time.Millisecond}})
		server, err := udt.NewEndpoint(n.Listen(realAddr), nil)
		if err != nil {
			t.Fatal(err)
		}
		client, err := udt.NewEndpoint(n.Listen(rawAddr), nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := server.Listen()
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.DialContext(t.Context(), "udt", realAddr.String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		before := n.Counters(rawAddr.Addr(), realAddr.Addr()).Sent.Packets
		time.Sleep(10 * time.Minute)
		if sent := n.Counters(rawAddr.Addr(), realAddr.Addr()).Sent.Packets - before; sent < 20 || sent > 300 {
			t.Errorf("%d packets in ten idle minutes", sent)
		}
		if _, err := c.Write([]byte("still there")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 11)
		if _, err := io.ReadFull(s, b); err != nil || string(b) != "still there" {
			t.Errorf("read %q, error %v", b, err)
		}
		if err := errors.Join(c.Close(), s.Close(), client.Close(), server.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
}

// A loss report that an ACK has overtaken changes nothing.
func TestOvertakenLossReport(t *testing.T) {
	connected(t, func(t *testing.T, p *rawPeer) {
		const packets = 200 // the send buffer has let go of the first ones
		go p.conn.Write(make([]byte, packets*1456))
		next := func(i int) uint32 { return uint32(rawISN+i) & (1<<31 - 1) }
		for i := range packets {
			for b := p.want(-1); word(b, 0) != next(i); {
				b = p.want(-1)
			}
			p.send(p.control(2, 0, next(i+1)))
		}
		p.send(p.control(3, 0, next(1)|1<<31, next(2)))
		p.send(p.control(3, 0, next(5)))
		time.Sleep(10 * time.Millisecond)
		if s := p.conn.Stats(); s.PktRecvNAK != 2 || s.PktSndLoss != 0 {
			t.Errorf("%d reports taken, %d packets lost, want 2 and 0", s.PktRecvNAK, s.PktSndLoss)
		}
	})
}
