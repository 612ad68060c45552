package udt

import (
	"bytes"
	"net/netip"
	"testing"
)

// Captured from the C++ library 4.11 and its listener.
const (
	capturedRequest = `80000000 00000000 00000000 00000000
		00000004 00000001 65d02bf7 000005dc 00002000 00000001 1baaaa7e 00000000
		0100007f 00000000 00000000 00000000`
	capturedAnswer = `80000000 00000000 00000000 1baaaa7e
		00000004 00000001 65d02bf7 000005dc 00002000 ffffffff 2609f451 87578a8c
		0100007f 00000000 00000000 00000000`
)

func TestHandshakeBytes(t *testing.T) {
	request := handshake{
		version: udtVersion, sockType: sockStream, isn: 0x65d02bf7, mss: 1500, window: 8192,
		reqType: reqInduction, id: 0x1baaaa7e, addr: netip.MustParseAddr("127.0.0.1"),
	}
	answer := request
	answer.reqType, answer.id, answer.cookie = reqConclusion, 0x2609f451, 0x87578a8c
	for _, tt := range []struct {
		name string
		wire string
		dst  socketID
		h    handshake
	}{
		{"client's request", capturedRequest, 0, request},
		{"listener's answer", capturedAnswer, 0x1baaaa7e, answer},
	} {
		wire := unhex(tt.wire)
		if got := tt.h.append(nil, tt.dst); !bytes.Equal(zeroTime(got), wire) {
			t.Errorf("%s: append\n% x, want\n% x", tt.name, zeroTime(got), wire)
		}
		if h, ok := parseHandshake(wire[headerSize:]); !ok || h != tt.h {
			t.Errorf("%s: parse %+v, %v, want %+v", tt.name, h, ok, tt.h)
		}
		if !tt.h.plausible() {
			t.Errorf("%s is not plausible", tt.name)
		}
	}
}

// Each word of the address travels with its bytes reversed.
func TestHandshakeAddress(t *testing.T) {
	for _, tt := range []struct{ addr, wire, parsed string }{
		{"192.0.2.33", "210200c0 00000000 00000000 00000000", ""},
		{"::ffff:192.0.2.33", "210200c0 00000000 00000000 00000000", "192.0.2.33"},
		{"::1", "00000000 00000000 00000000 01000000", ""},
		{"2001:db8:1122:3344:5566:7788:99aa:bbcc", "b80d0120 44332211 88776655 ccbbaa99", ""},
	} {
		addr := netip.MustParseAddr(tt.addr)
		p := handshake{addr: addr}.append(nil, 1)
		if got := p[headerSize+32:]; !bytes.Equal(got, unhex(tt.wire)) {
			t.Errorf("%s: % x, want %s", tt.addr, got, tt.wire)
		}
		want := addr
		if tt.parsed != "" {
			want = netip.MustParseAddr(tt.parsed)
		}
		if h, _ := parseHandshake(p[headerSize:]); h.addr != want {
			t.Errorf("%s: parsed as %v", tt.addr, h.addr)
		}
	}
	if p := (handshake{}).append(nil, 1); len(p) != headerSize+handshakeSize {
		t.Errorf("without an address: %d bytes", len(p))
	}
}

func TestParseHandshakeLength(t *testing.T) {
	p := handshake{mss: 1500}.append(nil, 1)[headerSize:]
	for n := range p {
		if _, ok := parseHandshake(p[:n]); ok {
			t.Errorf("%d bytes are accepted", n)
		}
	}
	// An open connection accepts what is longer; only a listener does not.
	if h, ok := parseHandshake(append(p, 0, 0, 0, 0)); !ok || h.mss != 1500 {
		t.Errorf("a longer body: %+v, %v", h, ok)
	}
}

func TestHandshakePlausible(t *testing.T) {
	good := handshake{mss: 1500, window: 8192, id: 1}
	for _, tt := range []struct {
		name   string
		change func(*handshake)
		want   bool
	}{
		{"good", func(*handshake) {}, true},
		{"smallest MSS", func(h *handshake) { h.mss = 76 }, true},
		{"MSS too small", func(h *handshake) { h.mss = 75 }, false},
		{"MSS 0", func(h *handshake) { h.mss = 0 }, false},
		{"MSS too large", func(h *handshake) { h.mss = 65536 }, false},
		{"negative MSS", func(h *handshake) { h.mss = 0xFFFFFFFF }, false},
		{"window 0", func(h *handshake) { h.window = 0 }, false},
		{"largest window", func(h *handshake) { h.window = maxWindow }, true},
		{"window too large", func(h *handshake) { h.window = maxWindow + 1 }, false},
		{"negative window", func(h *handshake) { h.window = 0xFFFFFFFF }, false},
		{"id 0", func(h *handshake) { h.id = 0 }, false},
		{"largest id", func(h *handshake) { h.id = seqMask }, true},
		{"negative id", func(h *handshake) { h.id = 1 << 31 }, false},
	} {
		h := good
		tt.change(&h)
		if got := h.plausible(); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add(unhex(capturedRequest)[headerSize:])
	f.Add(unhex(capturedAnswer)[headerSize:])
	f.Add(handshake{addr: netip.MustParseAddr("2001:db8::1")}.append(nil, 1)[headerSize:])
	f.Add(make([]byte, handshakeSize-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseHandshake(b)
		if ok != (len(b) >= handshakeSize) {
			t.Fatalf("%d bytes: ok = %v", len(b), ok)
		}
		if !ok {
			return
		}
		// An IPv4 address may come in the form that IPv6 has for it; it goes out
		// in its own.
		mapped := h.addr.Is4In6()
		h.addr = h.addr.Unmap()
		body := h.append(nil, 1)[headerSize:]
		if again, ok := parseHandshake(body); !ok || again != h {
			t.Errorf("%+v became %+v", h, again)
		}
		if topBit := b[8]&0x80 != 0; !mapped && !topBit && !bytes.Equal(body, b[:handshakeSize]) {
			t.Errorf("% x became\n% x", b[:handshakeSize], body)
		}
	})
}
