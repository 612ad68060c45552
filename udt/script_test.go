package udt

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// scripted is a connection of ours whose peer is the test. The peer is a client
// that sends packets as the C++ library does, unless told otherwise. The network
// has no delay, so the times of packets are when they were sent; all times are
// virtual.
type scripted struct {
	t      *testing.T
	ep     *Endpoint
	c      *Conn // ours, nil before connect
	sock   *simnet.Conn
	start  time.Time
	dst    socketID // ours
	ackNo  uint32
	cookie uint32
	checks bool // the peer is of our own kind: its packets carry check values

	mu  sync.Mutex
	log []logged // guarded by mu; what our side sent since the latest take
}

// logged is a packet that our side sent.
type logged struct {
	at time.Duration // since the start of the script
	header
	payload []byte
}

const (
	scriptID   socketID = 77
	scriptISN  seqNo    = seqMask - 2 // of both directions; wraps soon
	scriptFull          = 1456        // payload of a full packet
)

// script runs a test of a connection that the peer has made, with cfg on our side.
func script(t *testing.T, cfg *Config, f func(t *testing.T, p *scripted)) {
	t.Helper()
	scriptUnconnected(t, cfg, func(t *testing.T, p *scripted) {
		p.connect()
		p.run(time.Second) // past the hold of the first data
		p.take()
		f(t, p)
	})
}

func scriptUnconnected(t *testing.T, cfg *Config, f func(t *testing.T, p *scripted)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Config{})
		// The scripts count on a window that follows the ACKs of a C++ peer alone.
		own := cfg.get()
		if own.Congestion == nil {
			own.Congestion = NewNative
		}
		ep, err := NewEndpoint(n.Listen(serverAddr), &own)
		if err != nil {
			t.Fatal(err)
		}
		p := &scripted{t: t, ep: ep, sock: n.Listen(netip.AddrPortFrom(clientHost, 4000)), start: time.Now(), dst: 0}
		var reader sync.WaitGroup
		reader.Go(p.record)
		defer func() { // also after a failure: the bubble waits for every goroutine
			if err := errors.Join(ep.Close(), n.Close()); err != nil {
				t.Error(err)
			}
			reader.Wait()
		}()
		f(t, p)
	})
}

// record logs what our side sends, until the network is closed.
func (p *scripted) record() {
	b := make([]byte, maxDatagram)
	for {
		n, _, err := p.sock.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		h, _ := parseHeader(b[:n])
		p.mu.Lock()
		p.log = append(p.log, logged{time.Since(p.start), h, slices.Clone(b[headerSize:n])})
		p.mu.Unlock()
	}
}

// run lets time pass.
func (p *scripted) run(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (p *scripted) now() time.Duration { return time.Since(p.start) }

// take returns what our side has sent since the latest take.
func (p *scripted) take() []logged {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.log
	p.log = nil
	return l
}

func of(l []logged, typ ctrlType) (found []logged) {
	for _, x := range l {
		if x.typ == typ {
			found = append(found, x)
		}
	}
	return found
}

// dataIn returns the data packets of l as numbers counted from 0.
func dataIn(l []logged) (packets []int) {
	for _, x := range l {
		if !x.control() {
			packets = append(packets, x.seq.sub(scriptISN))
		}
	}
	return packets
}

func times(l []logged) (at []time.Duration) {
	for _, x := range l {
		at = append(at, x.at)
	}
	return at
}

// acked returns the packets that an ACK acknowledges, counted from the first.
func (x logged) acked() int { return seqNo(binary.BigEndian.Uint32(x.payload)).sub(scriptISN) }

func (x logged) word(i int) int { return int(binary.BigEndian.Uint32(x.payload[4*i:])) }

// sendPacket sends what one of our own functions made, as the peer would.
func (p *scripted) sendPacket(b []byte) {
	p.t.Helper()
	if !p.checks {
		b = zeroTime(b)
	}
	p.raw(b)
}

// raw sends a datagram as it is and lets our side deal with it.
func (p *scripted) raw(b []byte) {
	p.t.Helper()
	if _, err := p.sock.WriteToUDPAddrPort(b, serverAddr); err != nil {
		p.t.Fatal(err)
	}
	synctest.Wait()
}

func (p *scripted) control(typ ctrlType, info uint32, words ...uint32) {
	p.t.Helper()
	p.sendPacket(appendControl(nil, typ, info, p.dst, words...))
}

// data sends packet i.
func (p *scripted) data(i int, payload []byte) {
	p.t.Helper()
	b := append(make([]byte, headerSize), payload...)
	putDataHeader(b, scriptISN.add(i), 1, p.dst)
	p.sendPacket(b)
}

func (p *scripted) full(packets ...int) {
	p.t.Helper()
	for _, i := range packets {
		p.data(i, make([]byte, scriptFull))
	}
}

// ack acknowledges everything before packet i, with a window of 8000 packets.
func (p *scripted) ack(i int) {
	p.t.Helper()
	p.ackNo++
	p.control(ctrlACK, p.ackNo, uint32(scriptISN.add(i)), 10_000, 5_000, 8000, 0, 0)
}

// nak reports the packets of each range [from, to).
func (p *scripted) nak(ranges ...[2]int) {
	p.t.Helper()
	var words []uint32
	for _, r := range ranges {
		words = appendLoss(words, seqRange{scriptISN.add(r[0]), scriptISN.add(r[1])})
	}
	p.control(ctrlNAK, 0, words...)
}

func (p *scripted) request(reqType int32) {
	p.t.Helper()
	h := handshake{
		version: udtVersion, sockType: sockStream, isn: scriptISN, mss: 1500, window: 8192,
		reqType: reqType, id: scriptID, cookie: p.cookie, addr: serverHost,
	}
	p.sendPacket(h.append(nil, 0))
}

// connect makes the connection; no time passes.
func (p *scripted) connect() {
	p.t.Helper()
	l, err := p.ep.Listen()
	if err != nil {
		p.t.Fatal(err)
	}
	p.request(reqInduction)
	answer := p.handshakes()
	p.cookie = answer[0].cookie
	p.request(reqConclusion)
	answer = p.handshakes()
	p.dst = answer[0].id
	c, err := l.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.c = c.(*Conn)
}

// handshakes returns the handshakes that our side has sent, at least one.
func (p *scripted) handshakes() (hs []handshake) {
	p.t.Helper()
	for _, x := range of(p.take(), ctrlHandshake) {
		h, _ := parseHandshake(x.payload)
		hs = append(hs, h)
	}
	if len(hs) == 0 {
		p.t.Fatal("no handshake came")
	}
	return hs
}

// write writes packets full packets and one byte, which is how they are cut:
// the last packet is never full.
func (p *scripted) write(packets int) {
	p.t.Helper()
	if _, err := p.c.Write(make([]byte, packets*scriptFull+1)); err != nil {
		p.t.Fatal(err)
	}
	synctest.Wait()
}

// read reads n bytes of what the peer has sent.
func (p *scripted) read(n int) {
	p.t.Helper()
	if _, err := io.ReadFull(p.c, make([]byte, n)); err != nil {
		p.t.Fatal(err)
	}
	synctest.Wait()
}

// measure lets our sender measure a round trip, its first.
func (p *scripted) measure(rtt time.Duration) (next int) {
	p.t.Helper()
	p.write(0)
	p.run(rtt)
	p.ack(1)
	p.run(time.Second)
	if got := p.c.Stats().RTT; got < rtt || got > rtt+time.Millisecond {
		p.t.Fatalf("measured %v, want %v", got, rtt)
	}
	p.take()
	return 1
}
