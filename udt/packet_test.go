package udt

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex decodes a dump; blanks are for the reader.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// zeroTime returns p as the C++ library sends it, with 0 for a timestamp.
func zeroTime(p []byte) []byte {
	p = bytes.Clone(p)
	clear(p[8:12])
	return p
}

// What version 4.11 of the C++ library puts on the wire, captured, and what we
// make of the same content. Only the timestamp differs: ours is a check value.
func TestControlPacketBytes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		wire  string
		h     header
		words []uint32 // payload; none = the pad word
	}{
		{
			"full ACK",
			"80020000 00000001 00000000 1baaaa7e 65d02bfa 000186a0 0000c350 00001ffc 00000001 000003e8",
			header{typ: ctrlACK, info: 1, dst: 0x1baaaa7e},
			[]uint32{0x65d02bfa, 100_000, 50_000, 8188, 1, 1000},
		},
		{
			"light ACK",
			"80020000 00000000 00000000 140e6dd4 7a1d6e39",
			header{typ: ctrlACK, dst: 0x140e6dd4},
			[]uint32{0x7a1d6e39},
		},
		{
			"ACK2",
			"80060000 00000002 00000000 2609f451 00000000",
			header{typ: ctrlACK2, info: 2, dst: 0x2609f451}, nil,
		},
		{
			"keepalive",
			"80010000 00000000 00000000 2609f451 00000000",
			header{typ: ctrlKeepalive, dst: 0x2609f451}, nil,
		},
		{
			"shutdown",
			"80050000 00000000 00000000 2609f451 00000000",
			header{typ: ctrlShutdown, dst: 0x2609f451}, nil,
		},
		{
			"NAK of one packet",
			"80030000 00000000 00000000 00003039 000003ea",
			header{typ: ctrlNAK, dst: 12345},
			[]uint32{1002},
		},
		{
			"NAK of a range",
			"80030000 00000000 00000000 00003039 800003ea 000003ec",
			header{typ: ctrlNAK, dst: 12345},
			[]uint32{1002 | controlBit, 1004},
		},
		{
			"message drop request",
			"80070000 00000005 00000000 0870a29b 19bdca33 19bdca34",
			header{typ: ctrlDropReq, info: 5, dst: 0x0870a29b},
			[]uint32{0x19bdca33, 0x19bdca34},
		},
		{
			"peer error",
			"80080000 00000fa0 00000000 140e6dd4 00000000",
			header{typ: ctrlPeerError, info: 4000, dst: 0x140e6dd4}, nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wire := unhex(tt.wire)
			if got := appendControl(nil, tt.h.typ, tt.h.info, tt.h.dst, tt.words...); !bytes.Equal(zeroTime(got), wire) {
				t.Errorf("append:\n% x, want\n% x", zeroTime(got), wire)
			}
			if h, ok := parseHeader(wire); !ok || h != tt.h {
				t.Errorf("parse: %+v, %v, want %+v", h, ok, tt.h)
			}
		})
	}
}

// The extended type of a user-defined packet does not matter to us.
func TestParseUserPacket(t *testing.T) {
	h, ok := parseHeader(unhex("ffff1234 00000000 00000000 22545ad5 11223344 55667788"))
	if want := (header{typ: ctrlUser, dst: 0x22545ad5}); !ok || h != want {
		t.Errorf("%+v, %v, want %+v", h, ok, want)
	}
}

func TestDataPacketBytes(t *testing.T) {
	captured := unhex("65d02bf7 80000001 00000522 2609f451 7878")
	want := header{typ: ctrlNone, seq: 0x65d02bf7, info: 2<<30 | 1, dst: 0x2609f451}
	if h, ok := parseHeader(captured); !ok || h != want {
		t.Errorf("parse: %+v, %v, want %+v", h, ok, want)
	}
	ours := append(make([]byte, headerSize), "xx"...)
	putDataHeader(ours, 0x65d02bf7, 1, 0x2609f451)
	// Each of our packets is a message of its own.
	if want := unhex("65d02bf7 c0000001 00000000 2609f451 7878"); !bytes.Equal(zeroTime(ours), want) {
		t.Errorf("append:\n% x, want\n% x", zeroTime(ours), want)
	}
}

func TestParseHeaderLength(t *testing.T) {
	for n := range headerSize {
		if h, ok := parseHeader(make([]byte, n)); ok || h != (header{typ: ctrlNone}) {
			t.Errorf("%d bytes: %+v, %v", n, h, ok)
		}
	}
	if _, ok := parseHeader(make([]byte, headerSize)); !ok {
		t.Error("a header without payload is refused")
	}
}

func TestParseACK(t *testing.T) {
	const words = "7fffffff 000186a0 0000c350 00001ffc 00000001 000003e8"
	full := ackInfo{seq: seqMask, rtt: 100_000, rttVar: 50_000, window: 8188, speed: 1, capacity: 1000}
	short := full
	short.speed, short.capacity = 0, 0
	all := unhex(words)
	for n := range 33 {
		got, ok := parseACK(append(all[:len(all):len(all)], make([]byte, 32)...)[:n])
		want, wantOK := ackInfo{}, true
		switch n {
		case 4:
			want = ackInfo{seq: seqMask, light: true}
		case 16:
			want = short
		case 24:
			want = full
		default:
			wantOK = false
		}
		if got != want || ok != wantOK {
			t.Errorf("%d bytes: %+v, %v, want %+v, %v", n, got, ok, want, wantOK)
		}
	}

	if a, ok := parseACK(unhex("80000000")); ok {
		t.Errorf("a sequence number of 32 bits is accepted: %+v", a)
	}
	// The C++ library divides by zero and sends a negative capacity.
	a, ok := parseACK(unhex("00000001 00000001 00000001 00000002 ffffffff 80000000"))
	if !ok || a.speed != 0 || a.capacity != 0 {
		t.Errorf("negative rates: %+v, %v, want no estimate", a, ok)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(unhex("80020000 00000001 00000000 1baaaa7e 65d02bfa 000186a0 0000c350 00001ffc 00000001 000003e8"))
	f.Add(unhex("80020000 00000000 00000000 140e6dd4 7a1d6e39"))
	f.Add(unhex("65d02bf7 80000001 00000522 2609f451 7878"))
	f.Add(unhex("ffff1234 00000000 00000000 22545ad5 11223344 55667788"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseHeader(b)
		if ok != (len(b) >= headerSize) {
			t.Fatalf("%d bytes: ok = %v", len(b), ok)
		}
		if !ok {
			return
		}
		if h.control() {
			again := appendControl(nil, h.typ, h.info, h.dst)
			if g, ok := parseHeader(again); !ok || g != h || !checked(again) {
				t.Errorf("%+v became %+v", h, g)
			}
		} else {
			again := make([]byte, headerSize)
			putDataHeader(again, h.seq, msgNo(h.info&0x1FFFFFFF), h.dst)
			h.info |= messageSolo
			h.info &^= 1 << 29
			if g, ok := parseHeader(again); !ok || g != h || !checked(again) {
				t.Errorf("%+v became %+v", h, g)
			}
		}
		if a, ok := parseACK(b[headerSize:]); ok {
			words := []uint32{uint32(a.seq)}
			if !a.light {
				words = append(words, a.rtt, a.rttVar, a.window, a.speed, a.capacity)
			}
			p := appendControl(nil, ctrlACK, 0, 1, words...)
			if g, ok := parseACK(p[headerSize:]); !ok || g != a {
				t.Errorf("%+v became %+v", a, g)
			}
		}
	})
}

func BenchmarkParsePacket(b *testing.B) {
	b.Run("ACK", func(b *testing.B) {
		p := appendControl(nil, ctrlACK, 1, 2, 3, 4, 5, 6, 7, 8)
		b.SetBytes(int64(len(p)))
		b.ReportAllocs()
		for b.Loop() {
			h, ok := parseHeader(p)
			a, ok2 := parseACK(p[headerSize:])
			if !ok || !ok2 || h.typ != ctrlACK || a.window != 6 {
				b.Fatal("not what was appended")
			}
		}
	})
	b.Run("data header", func(b *testing.B) {
		p := make([]byte, headerSize+1456)
		putDataHeader(p, 1, 2, 3)
		b.SetBytes(int64(len(p)))
		b.ReportAllocs()
		for b.Loop() {
			if h, ok := parseHeader(p); !ok || h.control() || h.seq != 1 {
				b.Fatal("not what was put")
			}
		}
	})
}

func BenchmarkAppendPacket(b *testing.B) {
	b.Run("ACK", func(b *testing.B) {
		var p []byte
		b.ReportAllocs()
		for b.Loop() {
			p = appendControl(p[:0], ctrlACK, 1, 2, 3, 4, 5, 6, 7, 8)
		}
		b.SetBytes(int64(len(p)))
	})
	b.Run("data header", func(b *testing.B) {
		p := make([]byte, headerSize+1456)
		b.SetBytes(int64(len(p)))
		b.ReportAllocs()
		for b.Loop() {
			putDataHeader(p, 1, 2, 3)
		}
	})
}
