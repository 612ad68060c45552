package udt

import (
	"errors"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// A lost tail is repaired by the timer: its first and its last packet go out
// again, with growing intervals, until there is progress.
func TestLostTail(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		n := p.measure(40 * ms)
		sent := p.now()
		p.write(3)
		if got := dataIn(p.take()); !slices.Equal(got, []int{n, n + 1, n + 2, n + 3}) {
			t.Fatalf("sent %v", got)
		}
		p.run(3 * time.Second)
		var rounds []time.Duration
		repeated := p.take()
		for i, x := range repeated {
			if !x.control() && (i == 0 || x.at != repeated[i-1].at) {
				rounds = append(rounds, x.at-sent)
			}
		}
		// 40 ms and four times the variance of 20 ms, and 12 ms for the ACK timer
		// of the peer; then twice that, up to a second.
		want := []time.Duration{132 * ms, 396 * ms, 924 * ms, 1924 * ms, 2924 * ms}
		if !slices.Equal(rounds, want) {
			t.Errorf("repeated after %v, want %v", rounds, want)
		}
		for i, got := range dataIn(repeated) {
			if want := n + i%2*3; got != want {
				t.Errorf("repeated %v, want the first and the last", dataIn(repeated))
				break
			}
		}
		p.ack(n + 4)
		p.run(10 * time.Second)
		if got := dataIn(p.take()); got != nil {
			t.Errorf("sent %v after all was acknowledged", got)
		}
	})
}

// Reported packets go out at once, and not again while they may be on their
// way.
func TestRetransmitOnReport(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		n := p.measure(100 * ms)
		p.write(9)
		p.take()
		p.run(20 * ms)
		report := func() []int {
			p.nak([2]int{n + 2, n + 3}, [2]int{n + 5, n + 7})
			return dataIn(p.take())
		}
		all := []int{n + 2, n + 5, n + 6}
		if got := report(); !slices.Equal(got, all) {
			t.Errorf("first report: sent %v, want %v", got, all)
		}
		p.run(50 * ms)
		if got := report(); got != nil {
			t.Errorf("second report, half a round trip later: sent %v", got)
		}
		p.run(60 * ms)
		if got := report(); !slices.Equal(got, all) {
			t.Errorf("third report, after a round trip: sent %v, want %v", got, all)
		}
		// What an ACK covers meanwhile is not sent, however old the report.
		p.run(120 * ms)
		p.ack(n + 6)
		p.take()
		if got := report(); !slices.Equal(got, []int{n + 6}) {
			t.Errorf("after an ACK: sent %v, want %v", got, n+6)
		}
	})
}

// A report and the ACK that outdates it may come together: what is acknowledged
// is not sent again, its buffer is another's by then.
func TestReportOutdatedAtOnce(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.write(9)
		p.take()
		p.c.onLoop(func(now time.Duration) {
			p.c.onNAK(now, lossWords(uint32(scriptISN)|controlBit, uint32(scriptISN.add(4))))
			p.c.onACK(now, 1, lossWords(uint32(scriptISN.add(3)), 1, 1, 8000))
		})
		p.run(0)
		if got := dataIn(p.take()); !slices.Equal(got, []int{3, 4}) {
			t.Errorf("sent %v, want 3 and 4", got)
		}
	})
}

// A report of what was never sent, or that makes no sense, causes nothing.
func TestInvalidReports(t *testing.T) {
	at := func(i int) uint32 { return uint32(scriptISN.add(i)) }
	for _, tt := range []struct {
		name  string
		words []uint32
		want  []int // sent again
	}{
		{"beyond what was sent", []uint32{at(4)}, nil},
		{"range beyond", []uint32{at(4) | controlBit, at(6)}, nil},
		{"range across the end", []uint32{at(2) | controlBit, at(4)}, nil},
		{"everything", []uint32{controlBit, seqMask}, nil},
		{"acknowledged", []uint32{at(0)}, nil},
		{"long ago", []uint32{at(-1000) | controlBit, at(-900)}, nil},
		{"backwards", []uint32{at(3) | controlBit, at(2)}, nil},
		{"open range", []uint32{at(2) | controlBit}, nil},
		{"partly acknowledged", []uint32{at(0) | controlBit, at(2)}, []int{1, 2}},
		{"beyond, then valid", []uint32{at(9), at(3)}, []int{3}},
		{"valid, then an open range", []uint32{at(3), at(1) | controlBit}, []int{3}},
		{"twice", []uint32{at(2), at(2), at(1) | controlBit, at(3)}, []int{2, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script(t, nil, func(t *testing.T, p *scripted) {
				p.write(3)
				p.ack(1)
				p.take()
				p.control(ctrlNAK, 0, tt.words...)
				if got := dataIn(p.take()); !slices.Equal(got, tt.want) {
					t.Errorf("sent %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// Retransmissions ignore the window; new data does not.
func TestRetransmitIntoClosedWindow(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.write(9)
		p.take()
		p.ackNo++
		p.control(ctrlACK, p.ackNo, uint32(scriptISN.add(2)), 10_000, 5_000, 2, 0, 0)
		p.write(5)
		if got := dataIn(p.take()); got != nil {
			t.Errorf("sent %v into a window of 2 with 8 in flight", got)
		}
		p.nak([2]int{3, 5})
		if got := dataIn(p.take()); !slices.Equal(got, []int{3, 4}) {
			t.Errorf("sent %v, want 3 and 4", got)
		}
	})
}

// A C++ receiver reports a gap once. A retransmission that is lost too is
// repeated although ACKs keep coming.
func TestLostRetransmission(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		n := p.measure(40 * ms)
		p.write(9)
		p.nak([2]int{n, n + 1})
		p.take()
		for range 50 {
			p.run(10 * ms)
			p.ack(n) // no progress, but a sign of life
		}
		// The timer alone, which backs off, would repeat it twice.
		repeated := 0
		for _, i := range dataIn(p.take()) {
			if i == n {
				repeated++
			}
		}
		if repeated < 3 {
			t.Errorf("repeated %d times in 500 ms, a timeout is 132 ms", repeated)
		}
	})
}

// So is a burst of them, twice as many each time: the receiver says that one is missing
// only by not acknowledging it.
func TestLostRetransmissions(t *testing.T) {
	cfg := &Config{Congestion: func() Congestion { return NewFixed(1e9) }}
	script(t, cfg, func(t *testing.T, p *scripted) {
		const burst = 100
		n := p.measure(40 * ms)
		p.write(burst)
		p.run(40 * ms)
		p.take()
		missing := make(map[int]bool) // all that is sent; the last packet arrives
		for i := n; i < n+burst; i++ {
			missing[i] = true
		}
		p.nak([2]int{n, n + burst})
		p.run(40 * ms)
		if got := dataIn(p.take()); len(got) != burst {
			t.Fatalf("sent %d packets again, want %d", len(got), burst)
		}
		// None of these has arrived, all of the next ones do.
		first, began := n, p.now()
		for len(missing) > 0 {
			if p.now()-began > 2*time.Second {
				t.Fatalf("%d of %d packets are missing after 2 s, a timeout is 132 ms", len(missing), burst)
			}
			p.ack(first)
			p.run(50 * ms) // a round trip, and the receiver's tick
			for _, i := range dataIn(p.take()) {
				delete(missing, i)
			}
			for first < n+burst && !missing[first] {
				first++
			}
		}
	})
}

// Every full ACK is answered, the outdated ones too; a light one is not.
func TestACK2(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.write(9)
		p.take()
		seq := uint32(scriptISN.add(5))
		for _, tt := range []struct {
			name  string
			info  uint32
			words []uint32
			want  bool
		}{
			{"24 bytes", 1, []uint32{seq, 1, 1, 100, 0, 0}, true},
			{"16 bytes", 2, []uint32{seq, 1, 1, 100}, true},
			{"repeated", 2, []uint32{seq, 1, 1, 100}, true},
			{"overtaken", 1, []uint32{uint32(scriptISN), 1, 1, 100}, true},
			{"light", 0, []uint32{seq}, false},
			{"beyond what was sent", 3, []uint32{uint32(scriptISN.add(11)), 1, 1, 100}, false},
			{"of 20 bytes", 4, []uint32{seq, 1, 1, 100, 0}, false},
		} {
			p.control(ctrlACK, tt.info, tt.words...)
			answers := of(p.take(), ctrlACK2)
			if (len(answers) == 1) != tt.want || tt.want && answers[0].info != tt.info {
				t.Errorf("%s: answered with %v", tt.name, answers)
			}
		}
	})
}

// Light ACKs may use up the window. If the full one that follows is lost, the
// sender must not wait for it for ever.
func TestLightACKsDoNotCloseTheWindow(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.write(39)
		p.ackNo++
		p.control(ctrlACK, p.ackNo, uint32(scriptISN.add(2)), 10_000, 5_000, 10, 0, 0)
		p.run(ms)
		sent := len(dataIn(p.take()))
		p.control(ctrlACK, 0, uint32(scriptISN.add(sent)))
		p.run(5 * time.Second)
		if got := dataIn(p.take()); len(got) == 0 {
			t.Errorf("nothing was sent after %d packets, which all arrived", sent)
		}
	})
}

// The end of a burst is followed by a keepalive, which makes a C++ receiver
// acknowledge it, and by some more while it does not.
func TestKeepaliveAfterBurst(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		n := p.measure(20 * ms)
		p.write(3)
		burst := p.take()
		if len(burst) != 5 || len(dataIn(burst[:4])) != 4 || burst[4].typ != ctrlKeepalive {
			t.Errorf("the burst was %+v, want four packets and a keepalive", burst)
		}
		for _, x := range burst[:3] {
			if len(x.payload) != scriptFull {
				t.Errorf("packet %d carries %d bytes", x.seq, len(x.payload))
			}
		}
		sent := p.now()
		p.run(60 * ms) // before the timeout
		at := times(of(p.take(), ctrlKeepalive))
		if len(at) < 1 || at[0] != sent+32*ms {
			t.Errorf("keepalives at %v, want one a round trip and 12 ms after %v", at, sent)
		}
		p.ack(n + 4)
		p.take()
		p.run(time.Second)
		if got := p.take(); len(got) != 0 {
			t.Errorf("sent %v although nothing is to be done", got)
		}
	})
}

// A burst that the window ends is no different: its acknowledgement is what
// the sender waits for.
func TestPokeAfterFullWindow(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.write(100)
		if got := dataIn(p.take()); len(got) != nativeInitialWindow {
			t.Fatalf("%d packets sent, want the initial window", len(got))
		}
		p.run(150 * ms) // before the first timeout
		if got := of(p.take(), ctrlKeepalive); len(got) == 0 {
			t.Error("the peer is never asked for an ACK")
		}
	})
}

// The polling of a silent receiver ends.
func TestPokesAreBounded(t *testing.T) {
	script(t, &Config{PeerTimeout: time.Hour, KeepAlive: time.Hour}, func(t *testing.T, p *scripted) {
		p.write(3)
		p.take()
		p.run(time.Minute)
		if got := of(p.take(), ctrlKeepalive); len(got) > maxPokes {
			t.Errorf("%d keepalives, want at most %d", len(got), maxPokes)
		}
	})
}

// A peer of our own kind has timers of its own and is not helped to look at
// them.
func TestOwnPeerIsNotPoked(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.checks = true
		p.control(ctrlKeepalive, 0)
		n := p.measure(40 * ms)
		p.write(3)
		p.run(time.Second)
		l := p.take()
		if got := of(l, ctrlKeepalive); got != nil {
			t.Errorf("keepalives at %v", times(got))
		}
		if got := dataIn(l); len(got) < 6 || got[4] != n {
			t.Errorf("sent %v, want four packets and repetitions by the timer", got)
		}
	})
}

// The first data of a server waits for 10 ms, or until the client shows that
// it knows of the connection. A repeated request shows the contrary.
func TestFirstDataHold(t *testing.T) {
	for _, tt := range []struct {
		name string
		send func(p *scripted)
		want time.Duration
	}{
		{"silent client", func(*scripted) {}, firstDataHold},
		{"keepalive", func(p *scripted) { p.control(ctrlKeepalive, 0) }, 3 * ms},
		{"data", func(p *scripted) { p.data(0, []byte("x")) }, 3 * ms},
		{"repeated request", func(p *scripted) { p.request(reqConclusion) }, firstDataHold},
		{"somebody else's packet", func(p *scripted) {
			p.raw(zeroTime(appendControl(nil, ctrlKeepalive, 0, p.dst+1)))
		}, firstDataHold},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scriptUnconnected(t, nil, func(t *testing.T, p *scripted) {
				p.connect()
				start := p.now()
				p.write(0)
				p.run(3 * ms)
				tt.send(p)
				p.run(50 * ms)
				for _, x := range p.take() {
					if !x.control() {
						if got := x.at - start; got != tt.want {
							t.Errorf("first data after %v, want %v", got, tt.want)
						}
						return
					}
				}
				t.Error("no data came")
			})
		})
	}
}

// A C++ peer repeats its lost tail only when it hears nothing for 300 ms. If
// its data stopped where a tail may be lost we pause, once.
func TestPauseForPeer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		last  int // payload of the peer's last packet
		pause bool
	}{{"full last packet", scriptFull, true}, {"last packet not full", 5, false}} {
		t.Run(tt.name, func(t *testing.T) {
			script(t, nil, func(t *testing.T, p *scripted) {
				p.data(0, make([]byte, tt.last))
				next, pauses, last := 0, 0, p.now()
				for range 500 { // 5 s of sending
					if _, err := p.c.Write([]byte("x")); err != nil {
						t.Fatal(err)
					}
					p.run(10 * ms)
					for _, x := range p.take() {
						if x.control() {
							continue
						}
						if x.at-last >= 350*ms {
							pauses++
						}
						last = x.at
						next = max(next, x.seq.sub(scriptISN)+1)
					}
					// The latest packet stays unacknowledged.
					p.control(ctrlACK, 0, uint32(scriptISN.add(max(0, next-1))))
				}
				if pauses > 1 || (pauses == 1) != tt.pause {
					t.Errorf("%d pauses", pauses)
				}
			})
		})
	}
}

// A peer's error fails one write, and nothing else.
func TestPeerError(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		p.control(ctrlPeerError, 4000)
		p.run(ms)
		var peerErr *PeerError
		if _, err := p.c.Write([]byte("x")); !errors.As(err, &peerErr) || peerErr.Code != 4000 {
			t.Errorf("write: %v, want the peer's error 4000", err)
		}
		if _, err := p.c.Write([]byte("x")); err != nil {
			t.Errorf("next write: %v", err)
		}
		p.data(0, []byte("y"))
		p.read(1)
	})
}

// Close waits for the last ACK and announces the end three times, since
// nothing acknowledges that.
func TestShutdownRhythm(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		n := p.measure(40 * ms)
		p.write(0)
		closed := make(chan error, 1)
		go func() { closed <- p.c.Close() }()
		p.run(50 * ms)
		if got := of(p.take(), ctrlShutdown); got != nil {
			t.Error("closed before the last ACK")
		}
		select {
		case err := <-closed:
			t.Errorf("Close returned before the last ACK: %v", err)
		default:
		}
		acked := p.now()
		p.ack(n + 1)
		if err := <-closed; err != nil || p.now() != acked {
			t.Errorf("Close returned %v after the last ACK: %v", p.now()-acked, err)
		}
		p.run(time.Minute)
		rtt := p.c.Stats().RTT
		want := []time.Duration{acked, acked + rtt, acked + 4*rtt}
		if got := times(of(p.take(), ctrlShutdown)); !slices.Equal(got, want) {
			t.Errorf("Shutdowns at %v, want %v", got, want)
		}
	})
}
