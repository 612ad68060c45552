package udt

import (
	"io"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// Before feedback is agreed on, what loss reports do not name is assumed to have
// arrived. Feedback that says otherwise is believed.
func TestFeedbackCorrectsAssumptions(t *testing.T) {
	inLab(t, simnet.LinkConfig{Delay: 20 * time.Millisecond, Rate: 20e6}, nil, func(l *lab) {
		start := time.Now()
		first, transmissions, reports := seqNo(0), 0, 0
		l.net.SetLink(serverHost, clientHost, simnet.LinkConfig{Delay: 20 * time.Millisecond, Rate: 20e6, Filter: func(p simnet.Packet) simnet.Verdict {
			h, _ := parseHeader(p.Data)
			if h.control() {
				return simnet.Verdict{}
			}
			if first == 0 {
				first = h.seq
			}
			if n := h.seq.sub(first); n == 20 || n == 30 {
				transmissions++
				return simnet.Verdict{Drop: transmissions <= 2}
			}
			return simnet.Verdict{}
		}})
		l.net.SetLink(clientHost, serverHost, simnet.LinkConfig{Delay: 20 * time.Millisecond, Filter: func(p simnet.Packet) simnet.Verdict {
			h, _ := parseHeader(p.Data)
			switch {
			case h.typ == ctrlUser && time.Since(start) < 120*time.Millisecond:
				return simnet.Verdict{Delay: 60 * time.Millisecond} // hellos come after the second report of loss
			case h.typ == ctrlNAK:
				reports++
				return simnet.Verdict{Drop: reports == 1}
			}
			return simnet.Verdict{}
		}})
		client, server := l.connect()
		go server.Write(make([]byte, 8<<20)) // some seconds: a timeout would repair it only at the end
		if _, err := io.ReadFull(client, make([]byte, 100<<10)); err != nil {
			t.Error(err)
		}
		took := time.Since(start)
		t.Logf("%v, %d transmissions, %d reports of loss", took, transmissions, reports)
		if took > 500*time.Millisecond {
			t.Errorf("the beginning took %v", took)
		}
	})
}

// onceOnly makes the loss reports of a receiver those of the C++ library, which
// reports each gap once.
func onceOnly() func(simnet.Packet) simnet.Verdict {
	seen := make(map[seqNo]bool)
	return func(p simnet.Packet) simnet.Verdict {
		h, _ := parseHeader(p.Data)
		if h.typ != ctrlNAK {
			return simnet.Verdict{}
		}
		again := false
		for r := range lossReport(p.Data[headerSize:]) {
			again = again || seen[r.start]
			seen[r.start] = true
		}
		return simnet.Verdict{Drop: again}
	}
}

// What has arrived behind holes is not acknowledged before they are filled, which
// takes timeouts for those that are lost again. It does not keep the window closed.
func TestHolesDoNotStopTheFlow(t *testing.T) {
	const holes, size = 64, 16 << 20
	link := simnet.LinkConfig{Delay: 10 * time.Millisecond, Rate: 100e6, Queue: 500_000}
	inLab(t, link, &Config{PlainUDT: true}, func(l *lab) {
		first := seqNo(0)
		lost := make(map[seqNo]int)
		down := link
		down.Filter = func(p simnet.Packet) simnet.Verdict {
			h, _ := parseHeader(p.Data)
			if h.control() {
				return simnet.Verdict{}
			}
			if first == 0 {
				first = h.seq
			}
			if n := h.seq.sub(first); n < 4000 || n >= 4000+10*holes || n%10 != 0 {
				return simnet.Verdict{}
			}
			lost[h.seq]++
			return simnet.Verdict{Drop: lost[h.seq] <= 2}
		}
		l.net.SetLink(serverHost, clientHost, down)
		up := link
		up.Filter = onceOnly()
		l.net.SetLink(clientHost, serverHost, up)
		client, server := l.connect()
		go server.Write(make([]byte, size))
		start := time.Now()
		if _, err := io.ReadFull(client, make([]byte, size)); err != nil {
			t.Error(err)
		}
		took := time.Since(start)
		share := size * 8 / took.Seconds() / (100e6 * 1456 / 1500)
		t.Logf("%v, %.2f of the link", took, share)
		if share < 0.93 {
			t.Errorf("%.2f of the link", share)
		}
	})
}
