package udt

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// latestACK returns the last full ACK in l.
func latestACK(t *testing.T, l []logged) logged {
	t.Helper()
	acks := of(l, ctrlACK)
	for i := len(acks) - 1; i >= 0; i-- {
		if len(acks[i].payload) == 24 {
			return acks[i]
		}
	}
	t.Fatal("no full ACK came")
	return logged{}
}

// The first packet is acknowledged at once, for the peer to start with; then
// full packets every 2 ms, and one that is not full at once again.
func TestACKSchedule(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		start := p.now()
		p.full(0)
		first := latestACK(t, p.take())
		p.control(ctrlACK2, first.info)
		p.run(100 * time.Microsecond)
		for i := range 40 {
			p.full(1 + i)
			p.run(100 * time.Microsecond)
		}
		var got []time.Duration
		for _, x := range of(p.take(), ctrlACK) {
			p.control(ctrlACK2, x.info)
			got = append(got, x.at-start)
		}
		if want := []time.Duration{2 * ms, 4 * ms}; first.at != start || !slices.Equal(got, want) {
			t.Errorf("ACKs at %v and %v, want 0 and %v", first.at-start, got, want)
		}
		p.run(100 * ms)
		for _, x := range of(p.take(), ctrlACK) {
			p.control(ctrlACK2, x.info)
		}
		p.full(41)
		p.run(100 * time.Microsecond)
		p.take()
		p.data(42, []byte("irregular"))
		if ack := latestACK(t, p.take()); ack.acked() != 43 {
			t.Errorf("%d packets acknowledged, want 43", ack.acked())
		}
	})
}

// Between full ACKs 64 packets bring a light one.
func TestLightACK(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.full(0)
		p.control(ctrlACK2, latestACK(t, p.take()).info)
		for i := range 3 * lightACKEvery {
			p.full(1 + i)
		}
		var got []int
		for _, x := range of(p.take(), ctrlACK) {
			if len(x.payload) != 4 || x.info != 0 {
				t.Errorf("ACK %d of %d bytes, want a light one", x.info, len(x.payload))
			}
			got = append(got, x.acked())
		}
		if want := []int{65, 129, 193}; !slices.Equal(got, want) {
			t.Errorf("acknowledged up to %v, want %v", got, want)
		}
	})
}

// ACKs are numbered without gaps, and carry what was measured.
func TestACKContent(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.data(0, []byte("x"))
		first := latestACK(t, p.take())
		if first.info != 1 || first.acked() != 1 || first.word(1) != 100_000 || first.word(2) != 50_000 ||
			first.word(4) != 0 || first.word(5) != 0 {
			t.Errorf("first ACK %d, payload % x", first.info, first.payload)
		}
		p.run(14 * ms)
		p.control(ctrlACK2, 1)
		for i := range 200 {
			p.run(time.Millisecond)
			p.data(i+1, []byte("x"))
		}
		acks := of(p.take(), ctrlACK)
		for i, x := range acks {
			if x.info != uint32(i+2) {
				t.Fatalf("ACK %d follows %d", x.info, i+1)
			}
		}
		last := acks[len(acks)-1]
		if last.word(1) != 14_000 || last.word(2) != 7_000 {
			t.Errorf("RTT %d µs, variance %d µs, want 14000 and 7000", last.word(1), last.word(2))
		}
		if s := last.word(4); s < 990 || s > 1010 || last.word(5) < s {
			t.Errorf("speed %d/s, capacity %d/s, want about 1000", s, last.word(5))
		}
	})
}

// The latest ACK is repeated until its ACK2 comes, but no more than three
// times: each repetition keeps a C++ peer from repairing what it has lost.
func TestACKRepeats(t *testing.T) {
	script(t, &Config{KeepAlive: time.Hour, PeerTimeout: time.Hour}, func(t *testing.T, p *scripted) {
		p.data(0, []byte("x"))
		first := latestACK(t, p.take())
		p.run(time.Minute)
		var got []time.Duration
		repeats := p.take()
		for _, x := range repeats {
			if x.typ != ctrlACK || x.acked() != 1 {
				t.Errorf("unexpected packet %+v", x)
			}
			got = append(got, x.at-first.at)
		}
		if want := []time.Duration{15 * ms, 45 * ms, 105 * ms}; !slices.Equal(got, want) {
			t.Errorf("repeated after %v, want %v", got, want)
		}

		p.data(1, []byte("x"))
		p.run(5 * ms)
		p.control(ctrlACK2, latestACK(t, p.take()).info)
		p.run(time.Minute)
		if got := p.take(); got != nil {
			t.Errorf("after ACK2: %+v", got)
		}
	})
}

// A gap is reported at once, and again while it stays open, at growing
// intervals; what has been filled is not reported any more. Until an ACK has
// carried a real speed one goes first, for a C++ sender leaves slow start at the
// speed of the latest.
func TestLossReports(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.data(0, []byte("x"))
		p.run(10 * ms)
		p.control(ctrlACK2, 1) // a round trip of 10 ms, variance 5 ms
		p.run(100 * ms)
		p.take()

		p.full(1)
		p.run(ms / 2)
		p.full(2)
		p.run(ms / 2)
		p.take()
		start := p.now()
		p.full(6)
		l := p.take()
		if len(l) != 2 || l[0].typ != ctrlACK || l[0].acked() != 3 || l[0].word(4) < 1900 || l[0].word(4) > 2100 {
			t.Errorf("sent %+v, want an ACK that tells of 2000 packets/s, and a report", l)
		}
		if naks := of(l, ctrlNAK); len(naks) != 1 || !slices.Equal(naks[0].payload, lossWords(uint32(scriptISN.add(3))|controlBit, uint32(scriptISN.add(5)))) {
			t.Fatalf("reports %+v, want one of packets 3 to 5", naks)
		}
		for _, x := range of(l, ctrlACK) {
			p.control(ctrlACK2, x.info) // at once, which is no sample
		}
		p.run(170 * ms)
		var got []time.Duration
		for _, x := range of(p.take(), ctrlNAK) {
			got = append(got, x.at-start)
		}
		if want := []time.Duration{30 * ms, 75 * ms, 142500 * time.Microsecond}; !slices.Equal(got, want) {
			t.Errorf("repeated after %v, want %v", got, want)
		}

		p.full(3, 4)
		p.take()
		p.run(10 * time.Second)
		naks := of(p.take(), ctrlNAK)
		for i, x := range naks {
			if !slices.Equal(x.payload, lossWords(uint32(scriptISN.add(5)))) {
				t.Errorf("report % x, want packet 5 alone", x.payload)
			}
			if i > 1 && x.at-naks[i-1].at > maxNAKInterval {
				t.Errorf("%v between two reports", x.at-naks[i-1].at)
			}
		}
		if len(naks) < 30 {
			t.Errorf("%d reports in 10 s", len(naks))
		}
		p.full(5)
		p.take()
		p.run(10 * time.Second)
		if naks := of(p.take(), ctrlNAK); naks != nil {
			t.Errorf("reports %+v with nothing missing", naks)
		}
	})
}

// Once a path has been seen to reorder, a gap is given time to fill by itself.
func TestReorderTolerance(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.full(0)
		p.run(40 * ms)
		p.control(ctrlACK2, latestACK(t, p.take()).info)
		p.full(2)
		if naks := of(p.take(), ctrlNAK); len(naks) != 1 {
			t.Fatalf("%d reports of the first gap, want 1", len(naks))
		}
		p.run(2 * ms)
		p.full(1) // sooner than a retransmission could come
		p.run(10 * ms)
		p.take()
		p.full(3, 5)
		p.run(2 * ms)
		p.full(4)
		p.run(100 * ms)
		if naks := of(p.take(), ctrlNAK); naks != nil {
			t.Errorf("packets that were only overtaken are reported: %+v", naks)
		}
		// A real loss is reported all the same.
		start := p.now()
		p.full(6, 8)
		p.run(100 * ms)
		naks := of(p.take(), ctrlNAK)
		if len(naks) == 0 || naks[0].at-start > 5*ms {
			t.Errorf("reports of a loss: %+v", naks)
		}
	})
}

// No ACK advertises more than the handshake did, whatever is read when: the
// C++ library writes beyond an array if one does. Nor less than 2.
func TestAdvertisedWindow(t *testing.T) {
	for _, cfg := range []Config{
		{RecvBuffer: 1}, // the least possible
		{RecvBuffer: 100 * scriptFull},
		{Memory: NewMemory(1)},
		{},
	} {
		t.Run(fmt.Sprintf("buffer %d, limit %d", cfg.RecvBuffer, cfg.memory().Limit()), func(t *testing.T) {
			script(t, &cfg, func(t *testing.T, p *scripted) {
				announced := p.c.window
				if announced < minWindow {
					t.Fatalf("announced %d packets", announced)
				}
				next := 0
				for range 30 {
					for range min(announced, 100) {
						p.full(next)
						next++
					}
					p.run(5 * ms)
					for _, x := range of(p.take(), ctrlACK) {
						if len(x.payload) == 4 {
							continue
						}
						if w := x.word(3); w < 2 || w > announced {
							t.Fatalf("advertised %d packets, announced %d", w, announced)
						}
						next = x.acked()
					}
					p.c.rcv.mu.Lock()
					readable := p.c.rcv.pending
					p.c.rcv.mu.Unlock()
					p.read(min(readable, 20*scriptFull))
				}
			})
		})
	}
}

// Of a window that is nearly closed one packet stays unacknowledged, for the
// ACK that reopens it has to advance: the C++ sender goes on for no other. What
// comes into the least window that can be advertised is taken.
func TestClosedWindow(t *testing.T) {
	script(t, &Config{RecvBuffer: 32 * scriptFull}, func(t *testing.T, p *scripted) {
		for i := range 32 {
			p.full(i)
		}
		p.run(50 * ms)
		ack := latestACK(t, p.take())
		if ack.acked() != 31 || ack.word(3) != 2 {
			t.Errorf("acknowledged %d of 32 packets, window %d, want 31 and 2", ack.acked(), ack.word(3))
		}
		p.control(ctrlACK2, ack.info)
		p.full(32)
		p.run(50 * ms)
		if s := p.c.Stats(); s.PktDropped != 0 || s.PktRecv != 33 {
			t.Errorf("%d of %d packets dropped", s.PktDropped, s.PktRecv)
		}
		before := latestACK(t, p.take()).acked()

		p.read(7 * scriptFull)
		for _, x := range of(p.take(), ctrlACK) {
			t.Errorf("reopened for %d packets", x.word(3))
		}
		start := p.now()
		p.read(20 * scriptFull)
		ack = latestACK(t, p.take())
		if ack.at != start || ack.acked() <= before || ack.acked() != 33 || ack.word(3) < 8 {
			t.Errorf("acknowledged %d after %d, window %d, %v after the read", ack.acked(), before, ack.word(3), ack.at-start)
		}
	})
}

// A peer that sends without regard to the window gets no more memory for it.
func TestWindowIsEnforced(t *testing.T) {
	const limit = recvOwnChunks * chunkPackets * scriptFull // the least share
	script(t, &Config{Memory: NewMemory(1)}, func(t *testing.T, p *scripted) {
		for i := range 2000 {
			p.full(2*i + 1) // 0 never comes
		}
		p.run(ms)
		p.c.rcv.mu.Lock()
		held := 0
		for _, c := range p.c.rcv.chunks {
			if c != nil {
				held += chunkPackets * scriptFull
			}
		}
		p.c.rcv.mu.Unlock()
		if held > limit+chunkPackets*scriptFull {
			t.Errorf("%d bytes are held, the share is %d", held, limit)
		}
		if gaps := len(p.c.gaps.gaps); gaps > limit/scriptFull {
			t.Errorf("%d gaps are remembered", gaps)
		}
	})
}

// What is no part of the stream changes nothing in it.
func TestIgnoredPackets(t *testing.T) {
	isn := uint32(scriptISN)
	for _, tt := range []struct {
		name string
		send func(p *scripted)
	}{
		{"drop request", func(p *scripted) { p.control(ctrlDropReq, 1, isn, isn+1) }},
		{"data of another connection", func(p *scripted) {
			b := append(make([]byte, headerSize), "other"...)
			putDataHeader(b, scriptISN, 1, p.dst+1)
			p.raw(zeroTime(b))
		}},
		{"keepalive with a data packet's payload", func(p *scripted) { p.control(ctrlKeepalive, 0, 1, 2) }},
		{"shutdown with a data packet's payload", func(p *scripted) { p.control(ctrlShutdown, 0, 1, 2) }},
		{"peer error with a data packet's payload", func(p *scripted) { p.control(ctrlPeerError, 1, 1, 2) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script(t, nil, func(t *testing.T, p *scripted) {
				tt.send(p)
				p.run(ms)
				p.data(0, []byte("one"))
				tt.send(p)
				p.data(1, []byte("two"))
				p.run(ms)
				b := make([]byte, 10)
				if n, err := p.c.Read(b); err != nil || string(b[:n]) != "onetwo" {
					t.Errorf("read %q, %v", b[:n], err)
				}
				if _, err := p.c.Write([]byte("x")); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Once a peer has shown that it sends check values, what comes without one is
// not its own.
func TestCheckedPeer(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.checks = true
		p.control(ctrlKeepalive, 0)
		p.checks = false
		p.control(ctrlShutdown, 0)
		p.data(0, []byte("forged"))
		p.checks = true
		p.data(0, []byte("real"))
		got := make([]byte, 10)
		if n, err := p.c.Read(got); err != nil || string(got[:n]) != "real" {
			t.Errorf("read %q, %v", got[:n], err)
		}
		if n := p.c.Stats().PktInvalid; n != 2 {
			t.Errorf("%d packets ignored, want 2", n)
		}
	})
}
