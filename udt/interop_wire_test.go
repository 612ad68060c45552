//go:build libudt

package udt_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/chunkget/chunkget/internal/simnet"
)

// Control packet types on the wire.
const (
	wireHandshake = 0
	wireKeepalive = 1
	wireACK       = 2
	wireNAK       = 3
	wireShutdown  = 5
	wireACK2      = 6
)

// wirePacket is a UDT packet, decoded independently of the package under test.
type wirePacket struct {
	control bool
	typ     int    // control
	seq     uint32 // data
	info    uint32
	dst     uint32
	// payload and header are inside the datagram, so that a fault may change it.
	header, payload []byte
}

func decodeWire(b []byte) (p wirePacket, ok bool) {
	if len(b) < 16 {
		return p, false
	}
	w := binary.BigEndian.Uint32
	p = wirePacket{info: w(b[4:]), dst: w(b[12:]), header: b[:16], payload: b[16:]}
	if p.control = w(b)>>31 == 1; p.control {
		p.typ = int(w(b) >> 16 & 0x7FFF)
	} else {
		p.seq = w(b)
	}
	return p, true
}

// is reports whether p is a control packet of the type.
func (p wirePacket) is(typ int) bool { return p.control && p.typ == typ }

// setSeq changes the sequence number of a data packet.
func (p wirePacket) setSeq(seq uint32) { binary.BigEndian.PutUint32(p.header, seq&(1<<31-1)) }

func (p wirePacket) words() int          { return len(p.payload) / 4 }
func (p wirePacket) word(i int) uint32   { return binary.BigEndian.Uint32(p.payload[4*i:]) }
func (p wirePacket) set(i int, v uint32) { binary.BigEndian.PutUint32(p.payload[4*i:], v) }

// Words of a handshake body.
const (
	hsVersion = 0
	hsISN     = 2
	hsMSS     = 3
	hsWindow  = 4
	hsRequest = 5
	hsID      = 6
	hsCookie  = 7
)

// request is the type of a handshake, or a number that is none.
func (p wirePacket) request() int32 {
	if !p.is(wireHandshake) || len(p.payload) != 48 {
		return 9999
	}
	return int32(p.word(hsRequest))
}

// seqDiff is the signed distance from a to b.
func seqDiff(a, b uint32) int32 { return int32((b-a)<<1) >> 1 }

// fault decides over a packet of one direction, after the tap has seen it.
type fault func(p wirePacket) simnet.Verdict

// drop drops the packets from the skip-th to before the (skip+count)-th that
// match.
func drop(skip, count int, match func(wirePacket) bool) fault {
	return func(p wirePacket) simnet.Verdict {
		if !match(p) {
			return simnet.Verdict{}
		}
		skip--
		if skip >= 0 {
			return simnet.Verdict{}
		}
		count--
		return simnet.Verdict{Drop: count >= 0}
	}
}

func isControl(typ int) func(wirePacket) bool {
	return func(p wirePacket) bool { return p.is(typ) }
}
func isRequest(request int32) func(wirePacket) bool {
	return func(p wirePacket) bool { return p.request() == request }
}

// all applies several faults to one direction.
func all(faults ...fault) fault {
	return func(p wirePacket) (v simnet.Verdict) {
		for _, f := range faults {
			w := f(p)
			v.Drop = v.Drop || w.Drop
			v.Duplicates += w.Duplicates
			v.Delay += w.Delay
		}
		return v
	}
}

// half is what one peer, named by its socket id, has put on the wire.
type half struct {
	fromGo        bool
	peer          uint32 // the other one's id, 0 = not known yet
	window        uint32 // largest announced in a handshake, packets
	mss           uint32 // smallest announced, bytes
	isn           uint32
	highest       uint32 // sequence number of data
	data          int    // data packets
	fullACKs      int
	lightACKs     int
	naks          int
	keepalives    int
	shutdowns     int
	minWindow     uint32          // smallest in a full ACK
	largestPacket int             // data packet, bytes with the UDT header
	finalIDs      map[uint32]bool // ids announced in request type -1
}

// tap watches the packets between a Go and a C++ peer, before any fault, and
// holds every packet of ours to what a C++ peer can bear.
type tap struct {
	t testing.TB
	// before changes what comes from the C++ side before anything else sees it.
	before fault

	mu    sync.Mutex
	halfs map[uint32]*half
	seen  [2][]int32 // request types of the handshakes, from C++ and from Go
	log   []string   // handshakes, for the log of a failed test
}

func newTap(t testing.TB) *tap {
	w := &tap{t: t, halfs: make(map[uint32]*half)}
	t.Cleanup(func() {
		if t.Failed() {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, line := range w.log {
				t.Log(line)
			}
		}
	})
	return w
}

// filter is the filter of the direction from Go, or to Go.
func (w *tap) filter(fromGo bool, f fault) func(simnet.Packet) simnet.Verdict {
	return func(packet simnet.Packet) simnet.Verdict {
		p, ok := decodeWire(packet.Data)
		if !ok {
			if fromGo {
				w.t.Errorf("sent a datagram of %d bytes", len(packet.Data))
			}
			return simnet.Verdict{}
		}
		if w.before != nil && !fromGo {
			w.before(p)
			p, _ = decodeWire(packet.Data)
		}
		w.mu.Lock()
		w.observe(p, fromGo)
		w.mu.Unlock()
		if f == nil {
			return simnet.Verdict{}
		}
		return f(p)
	}
}

// half returns the half of a socket id.
func (w *tap) half(id uint32) *half {
	h := w.halfs[id]
	if h == nil {
		h = &half{mss: 1 << 16, minWindow: 1 << 31, finalIDs: make(map[uint32]bool)}
		w.halfs[id] = h
	}
	return h
}

func (w *tap) observe(p wirePacket, fromGo bool) {
	wrong := func(format string, args ...any) {
		if fromGo {
			w.t.Errorf("sent "+format, args...)
		}
	}
	if p.control && len(p.payload)%4 != 0 {
		wrong("a control packet of type %d with %d bytes of payload", p.typ, len(p.payload))
		return
	}
	if p.is(wireHandshake) {
		w.observeHandshake(p, fromGo, wrong)
		return
	}
	receiver := w.half(p.dst)
	sender := w.half(receiver.peer)
	if p.dst == 0 || receiver.peer == 0 {
		// A rejected C++ client says goodbye to itself.
		if !p.is(wireShutdown) {
			wrong("a packet for the unknown id %d: %+v", p.dst, p)
		}
		return
	}
	switch {
	case !p.control:
		if sender.data == 0 || seqDiff(sender.highest, p.seq) > 0 {
			sender.highest = p.seq
		}
		sender.data++
		sender.largestPacket = max(sender.largestPacket, 16+len(p.payload))
		if limit := int(min(sender.mss, receiver.mss)) - 44; len(p.payload) == 0 || len(p.payload) > limit {
			wrong("a data packet with %d bytes, the limit is %d", len(p.payload), limit)
		}
		if seqDiff(sender.isn, p.seq) < 0 {
			wrong("data packet %d before the initial %d", p.seq, sender.isn)
		}
	case p.is(wireACK):
		if n := len(p.payload); n != 4 && n != 16 && n != 24 {
			wrong("an ACK of %d bytes", n)
			return
		}
		if p.word(0)>>31 != 0 || !receiver.hasSentUpTo(p.word(0)-1) {
			wrong("an ACK of %d, beyond what the peer sent", p.word(0))
		}
		if len(p.payload) == 4 {
			sender.lightACKs++
			return
		}
		sender.fullACKs++
		sender.minWindow = min(sender.minWindow, p.word(3))
		if p.word(3) < 2 || p.word(3) > sender.window {
			wrong("an ACK with a window of %d packets, the handshake said %d", p.word(3), sender.window)
		}
	case p.is(wireNAK):
		sender.naks++
		if p.words() == 0 {
			wrong("an empty loss report")
		}
		for i := 0; i < p.words(); i++ {
			from := p.word(i) &^ (1 << 31)
			to := from
			if p.word(i)>>31 != 0 {
				if i++; i == p.words() || p.word(i)>>31 != 0 {
					wrong("a loss report with an open range: %x", p.payload)
					return
				}
				to = p.word(i)
			}
			if seqDiff(from, to) < 0 || !receiver.hasSentUpTo(to) || seqDiff(receiver.isn, from) < 0 {
				wrong("a loss report of %d to %d, the peer sent %d to %d", from, to, receiver.isn, receiver.highest)
			}
		}
	case p.is(wireKeepalive):
		sender.keepalives++
	case p.is(wireShutdown):
		sender.shutdowns++
	case p.is(wireACK2):
	default:
		wrong("a control packet of type %d", p.typ)
	}
}

// distinct is the number of data packets without the repeated ones.
func (h *half) distinct() int { return int(seqDiff(h.isn, h.highest)) + 1 }

// hasSentUpTo reports whether data packet seq has been sent.
func (h *half) hasSentUpTo(seq uint32) bool {
	if h.data == 0 {
		return seqDiff(h.isn-1, seq) <= 0
	}
	return seqDiff(h.highest, seq&(1<<31-1)) <= 0
}

func (w *tap) observeHandshake(p wirePacket, fromGo bool, wrong func(string, ...any)) {
	if len(p.payload) != 48 {
		wrong("a handshake of %d bytes", len(p.payload))
		return
	}
	who := "C++"
	side := &w.seen[0]
	if fromGo {
		who, side = "Go", &w.seen[1]
	}
	id := p.word(hsID)
	*side = append(*side, p.request())
	w.log = append(w.log, fmt.Sprintf("%s: handshake %d to %d: version %d, isn %d, mss %d, window %d, id %d, cookie %x",
		who, p.request(), p.dst, p.word(hsVersion), p.word(hsISN), p.word(hsMSS), p.word(hsWindow), id, p.word(hsCookie)))
	if p.request() >= 1000 || p.dst == id {
		return // a rejection and a listener's cookie echo the client's fields
	}
	if fromGo && (p.word(hsVersion) != 4 || p.word(1) != 1 || p.word(hsWindow) < 32 || id == 0 || id > 1<<30 || p.word(hsISN)>>31 != 0) {
		wrong("an implausible handshake: %x", p.payload)
	}
	h := w.half(id)
	h.fromGo = fromGo
	h.isn = p.word(hsISN)
	h.window = max(h.window, p.word(hsWindow))
	h.mss = min(h.mss, p.word(hsMSS))
	if p.dst != 0 {
		h.peer = p.dst
		w.half(p.dst).peer = id
		if p.request() == -1 {
			w.half(p.dst).finalIDs[id] = true
		}
	}
}

// of returns what our, or the C++, end of the test's only connection has sent.
func (w *tap) of(fromGo bool) half {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.halfs {
		if h.peer != 0 && h.fromGo == fromGo {
			return *h
		}
	}
	w.t.Error("the tap saw no connection")
	return half{}
}

// handshakes returns the request types that a side has sent so far.
func (w *tap) handshakes(fromGo bool) []int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if fromGo {
		return slices.Clone(w.seen[1])
	}
	return slices.Clone(w.seen[0])
}
