package udt

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// inAskLab is inBatchingLab with a configuration for each side.
func inAskLab(t *testing.T, link simnet.LinkConfig, client, server *Config, f func(l *lab)) {
	t.Helper()
	inMeasuredLab(t, link, nil, func(l *lab) {
		var err error
		if err = l.client.Close(); err != nil {
			t.Fatal(err)
		}
		if err = l.server.Close(); err != nil {
			t.Fatal(err)
		}
		l.client = l.endpoint(netip.AddrPortFrom(clientHost, 0), client)
		l.server = l.endpoint(serverAddr, server)
		if l.listener, err = l.server.Listen(); err != nil {
			t.Fatal(err)
		}
		f(l)
	})
}

// expectAsk checks what both sides of a connection think of the request.
func expectAsk(t *testing.T, client, server *Conn, want AskStatus, inForce string) {
	t.Helper()
	if got := client.Stats().Ask; got != want {
		t.Errorf("the client has %+v, want %+v", got, want)
	}
	if got := server.Stats().Sending.Controller; got != inForce {
		t.Errorf("the server sends with %s, want %s", got, inForce)
	}
}

// What is asked for is in force at the sender when its first data leaves, and
// for each of several connections, and can be changed while they are open.
func TestAsk(t *testing.T) {
	link := simnet.LinkConfig{Delay: 20 * ms, Rate: 100e6, Queue: 500_000}
	cfg := &Config{Ask: Ask{Controller: "ledbat", Share: 1.5}}
	inAskLab(t, link, cfg, &Config{Allow: AskPolicy{MaxRate: 1e9}}, func(l *lab) {
		var clients, servers []*Conn
		for range 3 {
			c, s := l.connect()
			clients, servers = append(clients, c), append(servers, s)
		}
		time.Sleep(25 * ms)
		if got := servers[2].Stats().Sending.Controller; got != "ledbat" {
			t.Errorf("half a round trip after the handshake the server has %s", got)
		}
		for _, a := range []Ask{
			{Controller: "ledbat", Share: 1.5},
			{Controller: "fixed", Rate: 30e6},
			{Controller: "udt"},
			{Controller: "udt", Share: 3},
			{Controller: "bbr", Share: 1},
			{},
		} {
			if a.Share != 1.5 {
				if err := l.client.Ask(a); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(300 * ms) // until a status packet is due
			for i := range clients {
				l.exchange(clients[i], servers[i], randomBytes(1000, 1), randomBytes(100_000, 2))
			}
			time.Sleep(100 * ms)
			want := AskStatus{Accepted, a.Controller, a.Rate, a.Share}
			if a.Controller == "" {
				want.Controller = "bbr"
			}
			if a.Share == 0 {
				want.Share = defaultShare
			}
			for i := range clients {
				expectAsk(t, clients[i], servers[i], want, want.Controller)
				if got := clients[i].Stats().Peer.Controller; got != want.Controller {
					t.Errorf("the server says that it sends with %s, not %s", got, want.Controller)
				}
				if i > 0 && (servers[i].grp == servers[0].grp) == (a.Controller == "udt") {
					t.Errorf("%+v: connection %d shares its group: %v", a, i, servers[i].grp == servers[0].grp)
				}
			}
		}
		// The groups have lost count of nothing.
		for _, s := range servers {
			if g := s.grp; g.members != 3 || g.inFlight != 0 || g.hungry != 0 {
				t.Errorf("%d members, %d packets in flight, %d with more to send", g.members, g.inFlight, g.hungry)
			}
		}
		if err := l.client.Ask(Ask{Controller: "cubic"}); err == nil {
			t.Error("cubic was asked for")
		}
	})
}

func TestAskRefused(t *testing.T) {
	link := simnet.LinkConfig{Delay: 20 * ms}
	for _, tt := range []struct {
		name   string
		ask    Ask
		policy AskPolicy
		want   Verdict
	}{
		{"fixed", Ask{Controller: "fixed", Rate: 1e6}, AskPolicy{}, RefusedRate},
		{"controller", Ask{Controller: "bbr"}, AskPolicy{Controllers: []string{"ledbat"}}, RefusedController},
		{"share", Ask{Share: 50}, AskPolicy{}, RefusedShare},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			var log bytes.Buffer
			var told atomic.Int32
			client := &Config{
				Ask: tt.ask, Logger: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil)),
				OnAnswer: func(peer netip.AddrPort, s AskStatus) {
					told.Add(1)
					if peer != serverAddr || s.Verdict != tt.want {
						t.Errorf("told %v of %v", s, peer)
					}
				},
			}
			inAskLab(t, link, client, &Config{Allow: tt.policy}, func(l *lab) {
				for range 3 {
					c, s := l.connect()
					time.Sleep(time.Second)
					expectAsk(t, c, s, AskStatus{tt.want, "bbr", 0, defaultShare}, "bbr")
					l.exchange(c, s, []byte("up"), []byte("down"))
				}
			})
			mu.Lock()
			defer mu.Unlock()
			if n := strings.Count(log.String(), "does not send as asked"); n != 1 || told.Load() != 1 {
				t.Errorf("logged %d times and told %d times: %s", n, told.Load(), log.String())
			}
		})
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}

// A peer that knows no such request, and one that is plain UDT, send as they
// would anyway.
func TestAskUnanswered(t *testing.T) {
	link := simnet.LinkConfig{Delay: 20 * ms, Rate: 100e6, Queue: 500_000}
	ask := Ask{Controller: "ledbat"}
	for _, tt := range []struct {
		name           string
		client, server Config
		want           string // controller
	}{
		{"peer", Config{Ask: ask}, Config{PlainUDT: true}, "bbr"},
		{"self", Config{Ask: ask, PlainUDT: true}, Config{}, "bbr"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inAskLab(t, link, &tt.client, &tt.server, func(l *lab) {
				c, s := l.connect()
				l.exchange(c, s, randomBytes(1000, 1), randomBytes(100_000, 2))
				time.Sleep(20 * time.Second)
				expectAsk(t, c, s, AskStatus{Verdict: Unanswered}, tt.want)
			})
		})
	}
}

func TestAskOverLoss(t *testing.T) {
	link := simnet.LinkConfig{Delay: 20 * ms, Loss: 0.2, Duplicate: 0.2}
	inAskLab(t, link, &Config{Ask: Ask{Controller: "ledbat"}, PeerTimeout: time.Minute}, &Config{PeerTimeout: time.Minute}, func(l *lab) {
		for i := range 10 {
			c, s := l.connect()
			if i == 5 {
				if err := l.client.Ask(Ask{Controller: "bbr"}); err != nil {
					t.Fatal(err)
				}
			}
			want := "ledbat"
			if i >= 5 {
				want = "bbr"
			}
			time.Sleep(10 * time.Second)
			expectAsk(t, c, s, AskStatus{Accepted, want, 0, defaultShare}, want)
			go c.Close()
			s.Close()
		}
	})
}

// A fixed rate is never exceeded, by several connections, from the start or
// after another controller.
func TestAskedRateIsNotExceeded(t *testing.T) {
	link := simnet.LinkConfig{Delay: 20 * ms, Rate: 100e6, Queue: 500_000}
	const rate = 20e6
	inAskLab(t, link, &Config{Ask: Ask{Controller: "fixed", Rate: rate}}, &Config{Allow: AskPolicy{MaxRate: rate}}, func(l *lab) {
		var servers []*Conn
		for range 4 {
			s, _ := l.sendForever(l.client)
			servers = append(servers, s)
		}
		sent := func() (bits float64) {
			for _, s := range servers {
				bits += float64(s.Stats().PktSent) * 1500 * 8
			}
			return bits
		}
		watch := func() {
			t.Helper()
			for range 20 {
				before := sent()
				time.Sleep(100 * ms)
				if got := (sent() - before) / 0.1; got > rate*1.05+16*1500*8 || got < rate*0.9 {
					t.Errorf("%.1f Mbit/s", got/1e6)
				}
			}
		}
		time.Sleep(100 * ms)
		watch()
		if err := l.client.Ask(Ask{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		before := sent()
		time.Sleep(time.Second)
		if got := sent() - before; got < 80e6 {
			t.Errorf("bbr took over and sends %.1f Mbit/s", got/1e6)
		}
		if err := l.client.Ask(Ask{Controller: "fixed", Rate: rate}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * ms)
		watch()
	})
}

// A running transfer goes to the background and comes back while another one
// uses the path.
func TestAskForBackgroundWhileRunning(t *testing.T) {
	link := simnet.LinkConfig{Delay: 25 * ms, Rate: 100e6, Queue: 100e6 / 8 / 20}
	measure(t, func(t *measurement) {
		inAskLab(t.T, link, nil, nil, func(l *lab) {
			other := l.endpoint(netip.AddrPortFrom(clientHost, 0), nil)
			_, ours := l.sendForever(l.client)
			_, theirs := l.sendForever(other)
			share := func(wait, over time.Duration) float64 {
				time.Sleep(wait)
				a, b := ours(), theirs()
				time.Sleep(over)
				a, b = ours()-a, theirs()-b
				return float64(a) / float64(a+b)
			}
			ask := func(a Ask) {
				if err := l.client.Ask(a); err != nil {
					t.Fatal(err)
				}
			}
			first := share(5*time.Second, 5*time.Second)
			ask(Ask{Controller: "ledbat"})
			second := share(3*time.Second, 7*time.Second)
			ask(Ask{Controller: "bbr"})
			third := share(5*time.Second, 10*time.Second)
			t.Logf("share %.2f before, %.2f in the background, %.2f after", first, second, third)
			if first < 0.25 || second > 0.1 || third < 0.2 {
				t.Errorf("share %.2f before, %.2f in the background, %.2f after", first, second, third)
			}
			if err := other.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}

// What was asked for ends with the last connection from an address.
func TestAskEndsWithTheConnections(t *testing.T) {
	inAskLab(t, simnet.LinkConfig{Delay: 20 * ms}, &Config{Ask: Ask{Controller: "ledbat"}}, nil, func(l *lab) {
		addr := l.client.sock.local
		_, s := l.connect()
		time.Sleep(100 * ms)
		if got := s.Stats().Sending.Controller; got != "ledbat" {
			t.Errorf("the server sends with %s", got)
		}
		if err := l.client.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l.client = l.endpoint(addr, nil)
		c, s := l.connect()
		time.Sleep(100 * ms)
		expectAsk(t, c, s, AskStatus{Verdict: NotAsked}, "bbr")
	})
}
