package udt

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// A client whose request with a cookie stays unanswered for 750 ms asks for a
// fresh cookie: a C++ listener forgets one when its minute ends.
func TestCookieRefresh(t *testing.T) {
	scriptUnconnected(t, nil, func(t *testing.T, p *scripted) {
		ctx, cancel := context.WithCancel(t.Context())
		dialled := make(chan error, 1)
		go func() {
			_, err := p.ep.DialContext(ctx, "udt", p.sock.LocalAddr().String())
			dialled <- err
		}()
		p.run(0)
		request := p.handshakes()[0]
		if request.reqType != reqInduction || request.cookie != 0 {
			t.Fatalf("first request %+v", request)
		}
		p.dst = request.id
		for round := range uint32(3) {
			answer := request
			answer.cookie = 1000 + round
			p.raw(zeroTime(answer.append(nil, p.dst)))
			answered := p.now()
			again := false
			for !again {
				for _, x := range of(p.take(), ctrlHandshake) {
					h, _ := parseHandshake(x.payload)
					if h.id != request.id || h.isn != request.isn {
						t.Fatalf("request %+v after %+v", h, request)
					}
					after := x.at - answered
					switch h.reqType {
					case reqConclusion:
						if h.cookie != 1000+round || after >= cookieLife {
							t.Errorf("request with cookie %d after %v", h.cookie, after)
						}
					case reqInduction:
						if again = true; h.cookie != 0 || after < cookieLife || after > cookieLife+2*handshakeRetry {
							t.Errorf("request for a cookie after %v, with cookie %d", after, h.cookie)
						}
					}
				}
				p.run(50 * ms)
				if p.now()-answered > 2*time.Second {
					t.Fatal("no request for a fresh cookie")
				}
			}
		}
		cancel()
		if err := <-dialled; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A request is repeated every 250 ms and a little, so that two peers in
// rendezvous do not stay in step, and in copies.
func TestHandshakeRetry(t *testing.T) {
	scriptUnconnected(t, nil, func(t *testing.T, p *scripted) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := p.ep.DialContext(ctx, "udt", p.sock.LocalAddr().String())
		var no *NoAnswerError
		if !errors.As(err, &no) {
			t.Fatal(err)
		}
		var at []time.Duration
		var copies []int
		for _, d := range times(of(p.take(), ctrlHandshake)) {
			if len(at) == 0 || d != at[len(at)-1] {
				at, copies = append(at, d), append(copies, 0)
			}
			copies[len(copies)-1]++
		}
		if len(at) != no.Requests || at[0] != 0 {
			t.Errorf("%d requests, the error tells of %d; the first after %v", len(at), no.Requests, at[0])
		}
		if want := []int{1, 2, 4, 8, 8}; !slices.Equal(copies[:len(want)], want) {
			t.Errorf("%d copies of the requests, want %d", copies[:len(want)], want)
		}
		uneven := false
		for i := 1; i < len(at); i++ {
			d := at[i] - at[i-1]
			if d < handshakeRetry || d > handshakeRetry*11/10 {
				t.Errorf("%v between two requests", d)
			}
			uneven = uneven || d != at[1]-at[0]
		}
		if !uneven {
			t.Error("the rhythm is even")
		}
	})
}

// A client that has missed the answer repeats its request, and gets the same
// answer; no second connection is made.
func TestRepeatedRequest(t *testing.T) {
	script(t, nil, func(t *testing.T, p *scripted) {
		for range 3 {
			p.request(reqConclusion)
			for _, h := range p.handshakes() {
				if h.reqType != reqConclusion || h.id != p.dst || h.isn != scriptISN || h.cookie != p.cookie ||
					h.version != udtVersion || h.sockType != sockStream || int(h.window) != p.c.window || h.mss != 1500 {
					t.Errorf("answer %+v", h)
				}
			}
		}
		if n := len(p.ep.conns); n != 1 {
			t.Errorf("%d connections", n)
		}
		p.data(0, []byte("x"))
		p.read(1)
	})
}

// A connected client answers a server that asks, and no other repetition: two
// of them would answer each other for ever.
func TestRepeatedAnswer(t *testing.T) {
	scriptUnconnected(t, nil, func(t *testing.T, p *scripted) {
		dialled := make(chan error, 1)
		go func() {
			var err error
			p.c, err = p.ep.DialContext(t.Context(), "udt", p.sock.LocalAddr().String())
			dialled <- err
		}()
		p.run(0)
		h := p.handshakes()[0]
		p.dst = h.id
		h.reqType, h.id = reqConclusion, scriptID
		p.raw(zeroTime(h.append(nil, p.dst)))
		if err := <-dialled; err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			reqType int32
			want    int // answers
		}{{reqConclusion, 0}, {reqAgreement, 0}, {reqRendezvous, 0}, {reqInduction, 1}} {
			p.take()
			h.reqType = tt.reqType
			p.raw(zeroTime(h.append(nil, p.dst)))
			if got := of(p.take(), ctrlHandshake); len(got) != tt.want {
				t.Errorf("request type %d: %d answers, want %d", tt.reqType, len(got), tt.want)
			}
		}
	})
}

// If the last handshake of a rendezvous is lost, data shows that the peer is
// connected.
func TestRendezvousEndedByData(t *testing.T) {
	for _, tt := range []struct {
		name string
		send func(p *scripted)
		want bool
	}{
		{"data", func(p *scripted) { p.data(0, []byte("x")) }, true},
		{"keepalive", func(p *scripted) { p.control(ctrlKeepalive, 0) }, true},
		{"ACK", func(p *scripted) { p.ack(0) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scriptUnconnected(t, nil, func(t *testing.T, p *scripted) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				met := make(chan error, 1)
				go func() {
					var err error
					p.c, err = p.ep.Rendezvous(ctx, p.sock.AddrPort())
					met <- err
				}()
				p.run(0)
				p.dst = p.handshakes()[0].id
				tt.send(p) // means nothing before the peer is known
				p.request(reqRendezvous)
				if h := p.handshakes()[0]; h.reqType != reqConclusion {
					t.Errorf("answer %+v", h)
				}
				select {
				case err := <-met:
					t.Fatalf("connected after the first step: %v", err)
				default:
				}
				tt.send(p)
				if err := <-met; (err == nil) != tt.want {
					t.Errorf("connected: %v", err)
				}
			})
		})
	}
}
