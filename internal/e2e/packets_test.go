//go:build linux

package e2e

import (
	"encoding/binary"
	"flag"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/chunkget/chunkget/udt"
)

var (
	hostileFor  = flag.Duration("hostile", 2*time.Second, "how long the server is sent malformed UDT packets")
	hostileSeed = flag.Uint64("hostile-seed", 1, "seed of the malformed UDT packets")
)

// recordPackets returns what a client sends to the server in a short download.
func recordPackets(t *testing.T, v *victim) (packets [][]byte) {
	t.Helper()
	relay, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	server, err := net.ResolveUDPAddr("udp", v.addr)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		var client *net.UDPAddr
		b := make([]byte, 1<<16)
		for {
			n, from, err := relay.ReadFromUDP(b)
			if err != nil {
				return
			}
			if from.Port == server.Port {
				relay.WriteToUDP(b[:n], client)
				continue
			}
			client = from
			if len(packets) < 500 {
				packets = append(packets, append([]byte(nil), b[:n]...))
			}
			relay.WriteToUDP(b[:n], server)
		}
	})
	c, err := udt.Dial("udt", relay.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET /normal HTTP/1.1\r\nHost: x\r\nRange: bytes=0-999999\r\nConnection: close\r\n\r\n")
	if n, err := io.Copy(io.Discard, c); err != nil || n < 1_000_000 {
		t.Fatalf("recording: %d bytes, %v", n, err)
	}
	c.Close()
	relay.Close()
	running.Wait()
	if len(packets) < 5 {
		t.Fatalf("%d packets were recorded", len(packets))
	}
	return packets
}

// forger makes malformed packets out of valid ones. The same seed makes the same
// packets.
type forger struct {
	*rand.Rand
	corpus [][]byte
}

// forge returns a packet for the connection id, or for none.
func (f *forger) forge(id uint32) []byte {
	p := append([]byte(nil), f.corpus[f.IntN(len(f.corpus))]...)
	for range 1 + f.IntN(4) {
		word := func() []byte {
			if len(p) < 4 {
				return make([]byte, 4)
			}
			at := f.IntN(min(len(p), 64)/4) * 4
			return p[at : at+4]
		}
		switch f.IntN(7) {
		case 0:
			if len(p) > 0 {
				p[f.IntN(len(p))] ^= 1 << f.IntN(8)
			}
		case 1:
			values := []uint32{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, f.Uint32()}
			binary.BigEndian.PutUint32(word(), values[f.IntN(len(values))])
		case 2: // near to what it was
			w := word()
			binary.BigEndian.PutUint32(w, binary.BigEndian.Uint32(w)+uint32(f.IntN(64))-32)
		case 3:
			p = p[:f.IntN(len(p)+1)]
		case 4:
			for range f.IntN(200) {
				p = append(p, byte(f.Uint32()))
			}
		case 5: // the end of another one
			other := f.corpus[f.IntN(len(f.corpus))]
			p = append(p[:f.IntN(len(p)+1)], other[f.IntN(len(other)+1):]...)
		case 6: // another type of control packet
			if len(p) >= 4 {
				binary.BigEndian.PutUint16(p, 0x8000|uint16(f.IntN(10)))
			}
		}
	}
	if len(p) >= 16 {
		if f.IntN(10) > 0 {
			binary.BigEndian.PutUint32(p[12:], id)
		}
		if f.IntN(4) > 0 {
			sign(p)
		}
	}
	return p
}

// sign puts the check value into a packet, without which most malformed ones
// would not get far (see package udt).
func sign(p []byte) {
	covered := p[12:16]
	if p[0]&0x80 != 0 {
		covered = p[12:]
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.BigEndian.PutUint32(p[8:], max(1, crc32.Update(crc32.Update(0, table, p[:8]), table, covered)))
}

// handshakePacket is a request with the given values, with a check value or as
// the C++ library sends it.
func handshakePacket(request int32, isn, id, cookie uint32, checks bool) (p []byte) {
	for _, w := range []uint32{1 << 31, 0, 0, 0, 4, 1, isn, 1500, 8192, uint32(request), id, cookie, 0x0100007f, 0, 0, 0} {
		p = binary.BigEndian.AppendUint32(p, w)
	}
	if checks {
		sign(p)
	}
	return p
}

// malformedPackets opens connections by hand and sends forged packets to them,
// from their own address and thus past everything that turns strangers away.
func malformedPackets(t *testing.T, v *victim, corpus [][]byte) {
	server, err := net.ResolveUDPAddr("udp", v.addr)
	if err != nil {
		t.Fatal(err)
	}
	const perConn = 200
	end := time.Now().Add(*hostileFor)
	conns, refused, packets := 0, 0, 0
	// The pause leaves the processor to the download beside it.
	for tick := time.Tick(10 * time.Millisecond); time.Now().Before(end); <-tick {
		f := forger{rand.New(rand.NewPCG(*hostileSeed, uint64(conns))), corpus}
		conns++
		from := net.IPv4(127, 0, byte(1+conns/200%200), byte(1+conns%200))
		sock, err := net.DialUDP("udp", &net.UDPAddr{IP: from}, server)
		if err != nil {
			t.Fatal(err)
		}
		id, ok := openByHand(sock, &f)
		if !ok {
			refused++
		}
		for range perConn {
			sock.Write(f.forge(id)) // an error is about an earlier packet, by ICMP
			packets++
		}
		shutdown := binary.BigEndian.AppendUint32([]byte{0x80, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, id)
		shutdown = append(shutdown, 0, 0, 0, 0)
		sign(shutdown)
		sock.Write(shutdown)
		sock.Close()
	}
	if conns == 0 || refused > conns/2 {
		t.Errorf("%d of %d connections were not made", refused, conns)
	}
	v.readStatus() // it is still there
	t.Logf("seed %d: %d malformed packets to %d connections, %d of which were not made", *hostileSeed, packets, conns, refused)
}

// openByHand goes through a client's handshake and returns the id of the
// server's end.
func openByHand(sock *net.UDPConn, f *forger) (id uint32, ok bool) {
	isn, own, checks := f.Uint32()>>1, f.Uint32()>>2|1, f.IntN(2) == 0
	answer := make([]byte, 1<<16)
	exchange := func(request int32, cookie uint32) bool {
		for range 50 { // a server that has much to do comes to it later
			sock.Write(handshakePacket(request, isn, own, cookie, checks))
			sock.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := sock.Read(answer)
			if err == nil && n == 64 && answer[0] == 0x80 && answer[1] == 0 && int32(binary.BigEndian.Uint32(answer[36:])) == request {
				return true
			}
		}
		return false
	}
	if !exchange(1, 0) || !exchange(-1, binary.BigEndian.Uint32(answer[44:])) {
		return f.Uint32(), false
	}
	return binary.BigEndian.Uint32(answer[40:]), true
}
