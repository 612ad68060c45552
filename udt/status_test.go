package udt

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

const statusPayload = 1456

func TestStatusRoundTrip(t *testing.T) {
	for _, s := range []SenderStats{
		{},
		{
			Controller: ledbatName, State: "slowdown", PacingRate: 94e6, DeliveryRate: 93_999e3,
			RTT: 61500 * time.Microsecond, MinRTT: 50 * time.Millisecond, Loss: 0.010001,
			Window: 430 * statusPayload, InFlight: 429 * statusPayload,
		},
		{Controller: fixedName, State: "over-budget1", Loss: 1, RTT: time.Hour},
	} {
		p := appendStatus(nil, 7, 9, &s, statusPayload)
		h, _ := parseHeader(p)
		if h.typ != ctrlUser || extendedType(p) != statusType || h.info != 7 || h.dst != 9 || !checked(p) {
			t.Errorf("header %+v of %x", h, p)
		}
		if got, ok := parseStatus(p[headerSize:], statusPayload); !ok || got != s {
			t.Errorf("got %+v, want %+v", got, s)
		}
	}
}

// What has no room in the packet arrives as the nearest value that has.
func TestStatusBounds(t *testing.T) {
	s := SenderStats{Controller: "cubic", State: "a-state-that-is-long", PacingRate: 1e18, DeliveryRate: -1, Loss: -0.1, RTT: 1000 * time.Hour, MinRTT: 1}
	got, ok := parseStatus(appendStatus(nil, 1, 1, &s, statusPayload)[headerSize:], statusPayload)
	want := SenderStats{State: "a-state-that", PacingRate: (1<<32 - 1) * 1e3, RTT: (1<<32 - 1) * time.Microsecond, MinRTT: time.Microsecond}
	if !ok || got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestStatusMalformed(t *testing.T) {
	good := appendStatus(nil, 1, 1, &SenderStats{Controller: bbrName, State: "cruise"}, statusPayload)[headerSize:]
	if _, ok := parseStatus(append(slices.Clone(good), 1, 2, 3, 4), statusPayload); !ok {
		t.Error("a word more is not accepted")
	}
	with := func(at int, b byte) []byte {
		p := slices.Clone(good)
		p[at] = b
		return p
	}
	for name, p := range map[string][]byte{
		"empty":                    nil,
		"short":                    good[:4*statusWords-4],
		"no whole words":           append(slices.Clone(good), 0),
		"state in capitals":        with(4, 'C'),
		"escape in the state":      with(5, 0x1b),
		"character behind its end": with(15, 'x'),
		"more lost than sent":      binary.BigEndian.AppendUint32(slices.Clone(good[:32]), 1e6+1),
	} {
		if name == "more lost than sent" {
			p = append(p, good[36:]...)
		}
		if s, ok := parseStatus(p, statusPayload); ok {
			t.Errorf("%s: accepted as %+v", name, s)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add(appendStatus(nil, 1, 1, &SenderStats{Controller: bbrName, State: "probe-down", RTT: time.Second, Loss: 0.5, Window: 1 << 20}, statusPayload)[headerSize:])
	f.Add(make([]byte, 4*statusWords))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, ok := parseStatus(p, statusPayload)
		if !ok {
			return
		}
		if s.Loss < 0 || s.Loss > 1 || s.Window < 0 || s.RTT < 0 || len(s.State) > stateSize {
			t.Fatalf("%+v", s)
		}
		again, ok := parseStatus(appendStatus(nil, 1, 1, &s, statusPayload)[headerSize:], statusPayload)
		if !ok || !reflect.DeepEqual(again, s) {
			t.Fatalf("%+v became %+v", s, again)
		}
	})
}

func TestStatusAllocatesNothing(t *testing.T) {
	s := SenderStats{Controller: bbrName, State: "cruise", PacingRate: 1e8, Window: 1 << 20}
	b := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { b = appendStatus(b[:0], 1, 1, &s, statusPayload) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Receivers see how their sender sends, a few times a second while data flows,
// whichever connection tells; a sender of requests has nothing to say.
func TestReceiverLearnsStatus(t *testing.T) {
	const rtt = 50 * time.Millisecond
	// What is lost is data: a status that was lost would not be repeated, and so be old.
	rng := rand.New(rand.NewPCG(1, 1)) // the network calls filters one at a time
	link := simnet.LinkConfig{Delay: rtt / 2, Rate: 100e6, Queue: 100e6 / 8 / 20, Filter: func(p simnet.Packet) simnet.Verdict {
		return simnet.Verdict{Drop: p.Data[0]&0x80 == 0 && rng.Float64() < 0.01}
	}}
	for _, c := range []struct {
		make func() Congestion
		want string
		most uint32  // status packets of all connections in 4 s
		loss float64 // at most; the native controller takes late packets for lost ones
	}{{NewBBR, bbrName, 20, 0.03}, {func() Congestion { return NewFixed(80e6) }, fixedName, 20, 0.03}, {NewNative, nativeName, 60, 0.2}} {
		inMeasuredLab(t, link, nil, func(l *lab) {
			l.server.cfg.Congestion = c.make
			var servers, clients []*Conn
			for range 3 {
				server, _ := l.sendForever(l.client)
				servers = append(servers, server)
			}
			time.Sleep(4 * time.Second)
			l.client.mu.Lock()
			for _, conn := range l.client.conns {
				clients = append(clients, conn)
			}
			l.client.mu.Unlock()
			said := uint32(0)
			for i := range clients {
				theirs, ours := clients[i].Stats(), servers[i].Stats()
				t.Logf("told %+v", theirs.Peer)
				if p := theirs.Peer; p.Controller != c.want || p.State == "" || p.Age > statusEvery+2*rtt ||
					p.MinRTT < rtt || p.MinRTT > rtt+rtt/5 || p.RTT < p.MinRTT || p.Loss < 0.003 || p.Loss > c.loss || p.Window <= 0 || p.InFlight < 0 {
					t.Errorf("the receiver was told %+v", p)
				} else if c.want != nativeName && (p.DeliveryRate < 60e6 || p.DeliveryRate > 110e6 || p.PacingRate < 60e6 || p.Window < 60e6/8/20) {
					t.Errorf("the receiver was told rates %+v", p)
				}
				if theirs.Receiving() != theirs.Peer || ours.Sending.Controller != c.want || ours.Sending.Age != 0 {
					t.Errorf("%+v at the receiver, %+v at the sender", theirs.Receiving(), ours.Sending)
				}
				if ours.Peer != (SenderStats{}) {
					t.Errorf("the sender was told %+v", ours.Peer)
				}
				var no uint32
				servers[i].onLoop(func(time.Duration) { no = servers[i].statusNo })
				said += no
			}
			if said < 8 || said > c.most {
				t.Errorf("%d status packets in 4 s", said)
			}
		})
	}
}

// Without feedback nobody is told anything, and all that is known is what the
// receiver sees itself.
func TestNoStatusInPlainUDT(t *testing.T) {
	link := simnet.LinkConfig{Delay: 20 * time.Millisecond, Rate: 100e6, Queue: 8 << 20, Loss: 0.01} // nothing overflows
	inMeasuredLab(t, link, &Config{PlainUDT: true}, func(l *lab) {
		client, server := l.connect()
		l.exchange(client, server, nil, randomBytes(4<<20, 1))
		s := client.Stats()
		f := s.Receiving()
		if s.Peer != (SenderStats{}) || f.Controller != "" || f.Loss < 0.002 || f.Loss > 0.05 || f.MinRTT < 40*time.Millisecond {
			t.Errorf("told %+v, known %+v", s.Peer, f)
		}
	})
}
