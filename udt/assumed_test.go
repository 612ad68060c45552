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
			if h.control {
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
			case h.control && h.typ == ctrlUser && time.Since(start) < 120*time.Millisecond:
				return simnet.Verdict{Delay: 60 * time.Millisecond} // hellos come after the second report of loss
			case h.control && h.typ == ctrlNAK:
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
