package udt

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func dataPacket(seq seqNo, payload []byte) []byte {
	p := append(make([]byte, headerSize), payload...)
	putDataHeader(p, seq, 1, 7)
	return p
}

// cutPieces returns the payloads of the pieces of a packet, whose headers it
// checks.
func cutPieces(t *testing.T, seq seqNo, payload []byte, most int) (cut [][]byte) {
	t.Helper()
	packets, _ := appendPieces(nil, nil, dataPacket(seq, payload), most)
	for _, p := range packets {
		h, _ := parseHeader(p)
		if len(p) > most || h.typ != ctrlUser || h.info != uint32(seq) || h.dst != 7 || extendedType(p) != pieceType || !checked(p) {
			t.Fatalf("%d bytes, %+v", len(p), h)
		}
		cut = append(cut, p[headerSize:])
	}
	return cut
}

func TestPiecesRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 1452, 1453, 2904, 2905, 4308, 8956} {
		payload := randomBytes(n, byte(n))
		cut := cutPieces(t, 5, payload, 1472)
		// In any order, with others between, some of them twice.
		m := partials{mem: NewMemory(1 << 20)}
		var got []byte
		order := r.Perm(len(cut))
		for k, j := range order {
			var f piece
			if !f.parse(cut[j]) {
				t.Fatalf("%d bytes: piece %d is malformed", n, j)
			}
			again := k > 0 && m.add(9, f) != nil
			got = m.add(9, f)
			if (got != nil || again) != (k == len(cut)-1) {
				t.Fatalf("%d bytes: complete with piece %d of %d", n, k+1, len(cut))
			}
			if again {
				break
			}
			m.add(10, piece{number: 0, count: 2, total: 4, data: []byte{1, 2}})
		}
		if got != nil && !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: content differs", n)
		}
	}
}

// Pieces of another cut of the same packet are not taken for those of the first.
func TestPiecesCutAnew(t *testing.T) {
	payload := randomBytes(8000, 1)
	m := partials{mem: NewMemory(1 << 20)}
	var f piece
	first, second := cutPieces(t, 5, payload, 1472), cutPieces(t, 5, payload, 1200)
	for _, p := range first[:len(first)-1] {
		f.parse(p)
		m.add(3, f)
	}
	var got []byte
	for k := range second {
		if got != nil {
			t.Fatalf("complete after %d of %d pieces", k, len(second))
		}
		f.parse(second[len(second)-1-k])
		got = m.add(3, f)
	}
	if !bytes.Equal(got, payload) {
		t.Error("content differs")
	}
}

func TestPartialsAreBounded(t *testing.T) {
	m := partials{mem: NewMemory(1 << 20)}
	f := piece{number: 0, count: 2, total: 4, data: []byte{1, 2}}
	for i := range int64(2 * maxPartial) {
		m.add(1000-i, f)
	}
	if len(m.packets) != maxPartial || m.packets[1000-2*maxPartial+1] == nil || m.packets[1000] != nil {
		t.Errorf("%d packets are kept, not the first ones", len(m.packets))
	}
	if m.mem.Used() != m.held || m.held != 4*maxPartial {
		t.Errorf("%d bytes counted, and %d in memory", m.held, m.mem.Used())
	}
	m.dropBefore(1000)
	if len(m.packets) != 0 || m.mem.Used() != 0 {
		t.Errorf("%d packets are kept that are not needed, and %d bytes", len(m.packets), m.mem.Used())
	}
}

// They take no more memory than there is, but one packet is always taken, and it
// is the first one.
func TestPartialsShareMemory(t *testing.T) {
	const size = 8000
	m := partials{mem: NewMemory(10 * size)}
	f := piece{number: 0, count: 2, total: size, data: make([]byte, size/2)}
	for i := range int64(maxPartial) {
		m.add(1000-i, f)
	}
	if n := len(m.packets); n < 2 || n > 5 || m.packets[1000-maxPartial+1] == nil {
		t.Errorf("%d packets are kept in memory for ten, or not the first ones", n)
	}
	m.dropBefore(1000)
	other := m.mem.resize(0, 20*size, 20*size, 0)
	for i := range int64(3) {
		m.add(3-i, f)
	}
	if len(m.packets) != 1 || m.packets[1] == nil {
		t.Errorf("%d packets are kept where there is no memory, want the first one", len(m.packets))
	}
	f.number = 1
	if m.add(1, f) == nil || m.mem.Used() != other {
		t.Errorf("the first packet cannot be completed, or %d bytes stay", m.mem.Used()-other)
	}
}

func TestPieceMalformed(t *testing.T) {
	var f piece
	for name, p := range map[string][]byte{
		"empty":               nil,
		"no bytes":            {0, 1, 0, 1},
		"no pieces":           {0, 0, 0, 1, 5},
		"number too large":    {2, 2, 0, 3, 5},
		"too many pieces":     append([]byte{0, 65, 0, 65}, 5),
		"more pieces":         {0, 3, 0, 2, 5},
		"short":               {0, 2, 0, 4, 5},
		"long":                {0, 2, 0, 4, 5, 5, 5},
		"the rest is nothing": {3, 4, 0, 5, 1},
	} {
		if f.parse(p) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// What is accepted lies inside the packet that it is a part of.
func FuzzPiece(f *testing.F) {
	f.Add([]byte{0, 2, 0, 4, 1, 2})
	f.Add([]byte{1, 2, 0, 3, 1})
	f.Add([]byte{63, 64, 0, 64, 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		var f piece
		if !f.parse(p) {
			return
		}
		m := partials{mem: NewMemory(1 << 20)}
		data := m.add(1, f)
		if (data != nil) != (f.count == 1) {
			t.Fatalf("complete: %v, of %d pieces", data != nil, f.count)
		}
		if f.number*pieceSize(f.total, f.count)+len(f.data) > f.total {
			t.Fatalf("%+v reaches beyond the packet", f)
		}
	})
}
