package udt

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sink is a packetConn on which nothing ever arrives: a test that calls
// dispatch plays the read goroutine.
type sink struct {
	closed chan struct{}
	sent   atomic.Int64 // bytes
}

func newSink() *sink { return &sink{closed: make(chan struct{})} }

func (s *sink) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	<-s.closed
	return 0, netip.AddrPort{}, net.ErrClosed
}

func (s *sink) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	s.sent.Add(int64(len(b)))
	return len(b), nil
}

func (s *sink) ReadFrom(b []byte) (int, net.Addr, error) {
	_, _, err := s.ReadFromUDPAddrPort(b)
	return 0, nil, err
}

func (s *sink) WriteTo(b []byte, a net.Addr) (int, error) {
	return s.WriteToUDPAddrPort(b, netip.AddrPort{})
}

func (s *sink) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(serverAddr) }

func (s *sink) Close() error {
	close(s.closed)
	return nil
}

func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// fuzzInput is a sequence of datagrams, each after its length in two bytes. The
// top bit of the length asks for the connection's id and a valid check value,
// which mutation alone would not find.
func fuzzInput(datagrams ...[]byte) (b []byte) {
	for _, d := range datagrams {
		b = binary.BigEndian.AppendUint16(b, uint16(len(d)))
		b = append(b, d...)
	}
	return b
}

func splitFuzzInput(b []byte, id socketID) (datagrams [][]byte) {
	for len(b) >= 2 && len(datagrams) < 64 {
		w := binary.BigEndian.Uint16(b)
		n := min(int(w&0x7FFF), len(b)-2)
		d := slices.Clone(b[2 : 2+n])
		if w&0x8000 != 0 && n >= headerSize {
			binary.BigEndian.PutUint32(d[12:], uint32(id))
			putCheck(d)
		}
		datagrams = append(datagrams, d)
		b = b[2+n:]
	}
	return datagrams
}

// FuzzEndpoint gives arbitrary datagrams to an endpoint that listens and has
// an accepted connection with data in flight in both directions, from the
// peer's address and from another. Nothing but a Shutdown, or a reset, of the
// peer may end the connection, and what a datagram can make us keep is bounded.
func FuzzEndpoint(f *testing.F) {
	const id, peerID socketID = 5, 77
	const isn seqNo = seqMask - 2
	data := func(seq seqNo, n int) []byte {
		b := make([]byte, headerSize+n)
		putDataHeader(b, seq, 1, id)
		return b
	}
	request := handshake{version: udtVersion, sockType: sockStream, isn: 9, mss: 1500, window: 8192, reqType: reqInduction, id: 9}
	conclusion := request
	conclusion.reqType = reqConclusion
	f.Add(false, false, fuzzInput(data(isn, 5), data(isn+3, 1456), data(isn.add(1), 0), data(isn, 2000)))
	f.Add(true, false, fuzzInput(data(isn.add(30_000), 5), data(isn.add(-5), 5)))
	f.Add(false, false, fuzzInput(
		appendControl(nil, ctrlACK, 1, id, uint32(isn.add(3)), 1000, 1000, 100, 1, 1),
		appendControl(nil, ctrlACK, 0, id, uint32(isn.add(4))),
		appendControl(nil, ctrlNAK, 0, id, uint32(isn)|controlBit, uint32(isn.add(9)), 5),
		appendControl(nil, ctrlACK2, 1, id)))
	f.Add(false, false, fuzzInput(data(isn, 5), appendControl(nil, ctrlShutdown, 0, id)))
	f.Add(false, false, fuzzInput(appendControl(nil, ctrlKeepalive, 0, id),
		appendControl(nil, ctrlDropReq, 1, id, uint32(isn), uint32(isn.add(5))),
		appendControl(nil, ctrlPeerError, 4000, id), appendControl(nil, ctrlCongested, 0, id)))
	f.Add(true, false, fuzzInput(appendReset(nil, peerID), appendReset(nil, id)))
	stranger := netip.AddrPortFrom(clientHost, 4001)
	conclusion.cookie = new(cookieJar).make(0, stranger, conclusion)
	f.Add(false, true, fuzzInput(request.append(nil, 0), conclusion.append(nil, 0), request.append(nil, id), conclusion.append(nil, id)))
	conclusion.cookie++
	f.Add(false, true, fuzzInput(conclusion.append(nil, 0)))
	f.Add(false, true, fuzzInput(appendControl(nil, ctrlShutdown, 0, id), data(isn, 1)))
	f.Add(true, false, append([]byte{0x80, 20}, appendControl(nil, ctrlKeepalive, 0, 0)...))
	f.Add(false, true, fuzzInput(nil, make([]byte, 15), make([]byte, 16), make([]byte, 64)))
	hello := appendUser(nil, helloType, 0, id, helloVersion)
	probe := appendUser(make([]byte, 0, 8972), probeType, 1, id)[:8972]
	putCheck(probe)
	large := data(isn, 8956)
	pieces, _ := appendPieces(nil, nil, data(isn.add(1), 8000), 1472)
	f.Add(true, false, fuzzInput(append([][]byte{hello, probe, large}, pieces...)...))
	f.Add(true, false, fuzzInput(hello, probe, data(isn, 5), data(isn.add(1), 8956), pieces[1], pieces[0], pieces[1]))
	f.Add(true, false, fuzzInput(hello, probe, appendUser(nil, probeAnswerType, 1, id, 8972), pieces[0][:30]))
	// A report whose numbers are each less than half of them apart, and all of them more.
	beyond := isn.add(1<<30 - 1)
	f.Add(true, false, fuzzInput(hello, appendUser(nil, feedbackType, 1, id,
		uint32(beyond), 100, uint32(isn), 1, 1, 1, 0, uint32(beyond.add(1<<30-1)), 1, 1)))
	f.Fuzz(func(t *testing.T, checks, elsewhere bool, input []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := newSink()
			e, err := NewEndpoint(s, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}()
			clear(e.cookies.key[:]) // the same cookies in every run
			if _, err := e.Listen(); err != nil {
				t.Fatal(err)
			}
			peer := netip.AddrPortFrom(clientHost, 4000)
			now := e.now()
			c := newConn(e, id, peer, isn, now)
			c.peerChecks = checks
			c.acceptFrom(now, handshake{isn: isn, mss: 1500, window: 8192, id: peerID}, route{remote: peer})
			e.mu.Lock()
			e.conns[id] = c
			e.mu.Unlock()
			e.loops.Go(c.loop)
			if _, err := c.Write(make([]byte, 8*1456)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)

			from := peer
			if elsewhere {
				from = stranger
			}
			ended := false // by a packet that says so
			admitted := 0  // connections that were asked for with a valid cookie
			sent := s.sent.Load()
			datagrams := splitFuzzInput(input, id)
			for _, d := range datagrams {
				h, ok := parseHeader(d)
				if ok && !elsewhere && (!c.peerChecks || checked(d)) {
					shutdown := h.typ == ctrlShutdown && h.dst == id && len(d) <= headerSize+padSize
					reset, isReset := parseReset(d)
					ended = ended || shutdown || isReset && h.typ == ctrlUser && h.dst == 0 && reset == peerID
				}
				if ok && h.isHandshake() {
					if req, ok := parseHandshake(d[headerSize:]); ok && e.cookies.valid(e.now(), from, req) {
						admitted++
					}
				}
				b := newSlab()
				n := copy(b.buf, d)
				e.dispatch(inbound{slab: b, data: b.buf[:n], segment: max(n, 1), from: from, at: e.now()})
				b.release()
				synctest.Wait()
			}
			select {
			case <-c.done:
				if !ended {
					t.Fatalf("the connection ended: %v", c.endErr)
				}
				return
			default:
				if ended {
					t.Fatal("a Shutdown was not obeyed")
				}
			}
			e.mu.Lock()
			conns := len(e.conns)
			e.mu.Unlock()
			if conns > 1+admitted {
				t.Errorf("%d connections, %d were asked for", conns-1, admitted)
			}
			packets := len(datagrams)
			if got := s.sent.Load() - sent; got > int64(packets*20_000) {
				t.Errorf("%d packets made us send %d bytes", packets, got)
			}
			held := 0
			for _, ch := range c.rcv.chunks {
				if ch != nil {
					held++
				}
			}
			if held > packets || len(c.gaps.gaps) > packets || len(c.rcv.chunks) > c.accept/chunkPackets+1 {
				t.Errorf("%d packets made us keep %d chunks and %d gaps", packets, held, len(c.gaps.gaps))
			}
			if n := len(c.partial.packets); n > packets {
				t.Errorf("%d packets made us keep %d that are not complete", packets, n)
			}
			if n := len(c.grp.meter.ring); n > 2*(minBursts+4*packets) {
				t.Errorf("%d packets made us keep records of %d bursts", packets, n)
			}
			if in := c.in.bytes; in != 0 {
				t.Errorf("%d bytes stay in the inbox", in)
			}
			if ranges := c.lost.ranges; slices.ContainsFunc(ranges, func(r seqRange) bool { return r.len() > 9 }) {
				t.Errorf("lost %v, of 9 packets sent", ranges)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				if _, err := c.Write([]byte("x")); err != nil { // a peer error fails one write
					t.Error(err)
				}
			}
		})
	})
}
