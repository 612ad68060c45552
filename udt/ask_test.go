package udt

import (
	"encoding/binary"
	"testing"
	"time"
)

func wordsOf(words []uint32) (p []byte) {
	for _, w := range words {
		p = binary.BigEndian.AppendUint32(p, w)
	}
	return p
}

func TestAskRoundTrip(t *testing.T) {
	for _, a := range []askPacket{
		{},
		Ask{Controller: "ledbat"}.packet(Path{}),
		Ask{Controller: "fixed", Rate: 40e9, Share: 1.25}.packet(Path{Rate: 8e9, MinRTT: 30 * ms}),
	} {
		p := wordsOf(a.words())
		for _, more := range [][]byte{nil, {1, 2, 3, 4}} { // words of a later version
			if got, ok := parseAsk(append(p, more...)); !ok || got != a {
				t.Errorf("got %+v, want %+v", got, a)
			}
		}
		if _, ok := parseAsk(p[:len(p)-1]); ok {
			t.Error("a short one was taken")
		}
	}
	for _, a := range []answerPacket{{}, {RefusedRate, 3, 40e9, 200}, {77, 0, 0, 0}} {
		p := wordsOf(a.words())
		if got, ok := parseAnswer(p); !ok || got != a {
			t.Errorf("got %+v, want %+v", got, a)
		}
		if _, ok := parseAnswer(p[:len(p)-1]); ok {
			t.Error("a short one was taken")
		}
	}
	if _, ok := parseAnswer(wordsOf(answerPacket{verdict: NotAsked}.words())); ok {
		t.Error("a verdict of ours was taken from the peer")
	}
	if got, _ := parseAsk(wordsOf(askPacket{pathRate: 1e13, pathRTT: ms}.words())); got.pathRate != 0 {
		t.Errorf("a memory of %d bit/s was taken", got.pathRate)
	}
}

func FuzzAsk(f *testing.F) {
	f.Add(wordsOf(Ask{Controller: "fixed", Rate: 40e9, Share: 1.25}.packet(Path{Rate: 8e9, MinRTT: 30 * ms}).words()))
	f.Add(wordsOf(answerPacket{RefusedRate, 3, 40e9, 200}.words()))
	f.Add([]byte{})
	allow := AskPolicy{MaxRate: 1e9}
	f.Fuzz(func(t *testing.T, p []byte) {
		if a, ok := parseAsk(p); ok {
			if again, ok := parseAsk(wordsOf(a.words())); !ok || again != a {
				t.Errorf("%+v became %+v", a, again)
			}
			if allow.judge(a) == Accepted {
				if e := controllerByCode(a.code); e != nil {
					cc := e.make(float64(a.rate))
					cc.Init(ccStart, CongestionParams{MSS: 1500, MaxWindow: 1000, Rate: float64(a.pathRate), MinRTT: a.pathRTT})
					if cc.Window() < 1 || cc.SendPeriod() < 0 {
						t.Errorf("%+v makes a window of %d and a period of %v", a, cc.Window(), cc.SendPeriod())
					}
				}
			}
		}
		if a, ok := parseAnswer(p); ok {
			if again, ok := parseAnswer(wordsOf(a.words())); !ok || again != a {
				t.Errorf("%+v became %+v", a, again)
			}
			_ = a.status().Verdict.String()
		}
	})
}

func TestAskCheck(t *testing.T) {
	for _, tt := range []struct {
		ask Ask
		ok  bool
	}{
		{Ask{}, true},
		{Ask{Controller: "bbr"}, true},
		{Ask{Controller: "fixed", Rate: 1e6}, true},
		{Ask{Share: 1}, true},
		{Ask{Controller: "cubic"}, false},
		{Ask{Controller: "fixed"}, false},
		{Ask{Controller: "bbr", Rate: 1e6}, false},
		{Ask{Rate: 1e6}, false},
		{Ask{Share: 0.5}, false},
		{Ask{Share: 101}, false},
	} {
		if err := tt.ask.check(); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.ask, err)
		}
	}
	if e, err := ListenEndpoint("udt", "127.0.0.1:0", &Config{Ask: Ask{Controller: "cubic"}}); err == nil {
		e.Close()
		t.Error("an endpoint was made that asks for cubic")
	}
}

func TestAskPolicy(t *testing.T) {
	fixed := func(rate float64) askPacket { return Ask{Controller: "fixed", Rate: rate}.packet(Path{}) }
	named := func(name string) askPacket { return Ask{Controller: name}.packet(Path{}) }
	share := func(n float64) askPacket { return Ask{Share: n}.packet(Path{}) }
	for _, tt := range []struct {
		policy AskPolicy
		ask    askPacket
		want   Verdict
	}{
		{AskPolicy{}, askPacket{}, Accepted},
		{AskPolicy{}, named("bbr"), Accepted},
		{AskPolicy{}, named("ledbat"), Accepted},
		{AskPolicy{}, named("udt"), Accepted},
		{AskPolicy{}, fixed(1e6), RefusedRate},
		{AskPolicy{MaxRate: 1e6}, fixed(1e6), Accepted},
		{AskPolicy{MaxRate: 1e6}, fixed(1e6 + 1), RefusedRate},
		{AskPolicy{MaxRate: 1e13}, fixed(2e12), RefusedRate},
		{AskPolicy{MaxRate: 1e6}, fixed(1), RefusedRate},
		{AskPolicy{}, askPacket{code: 1, rate: 1e6}, RefusedRate},
		{AskPolicy{}, askPacket{code: 99}, RefusedUnknown},
		{AskPolicy{Controllers: []string{"ledbat"}}, named("bbr"), RefusedController},
		{AskPolicy{Controllers: []string{"ledbat"}}, named("ledbat"), Accepted},
		{AskPolicy{Controllers: []string{}}, askPacket{}, Accepted},
		{AskPolicy{}, share(8), Accepted},
		{AskPolicy{}, share(9), RefusedShare},
		{AskPolicy{MaxShare: 16}, share(9), Accepted},
		{AskPolicy{}, askPacket{share: 50}, RefusedShare},
	} {
		if got := tt.policy.judge(tt.ask); got != tt.want {
			t.Errorf("%+v asked %+v: %v, want %v", tt.policy, tt.ask, got, tt.want)
		}
	}
}

// Of requests on several connections the latest wins, whatever their order.
func TestAskLastWins(t *testing.T) {
	g := &group{cc: NewBBR(), params: CongestionParams{MSS: 1500, MaxWindow: 1000, Share: 2}}
	take := func(no uint32, cc Congestion, want string) {
		t.Helper()
		g.take(ccStart, no, cc, 2, Path{}, 1456)
		if got := g.cc.Name(); got != want {
			t.Errorf("request %d: controller %s, want %s", no, got, want)
		}
	}
	take(1<<32-1, NewLEDBAT(), "ledbat")
	take(1<<32-1, NewBBR(), "ledbat") // the same by another member
	take(1, NewFixed(1e6), "fixed")   // numbers wrap
	take(1<<32-1, NewLEDBAT(), "fixed")
	take(0, NewLEDBAT(), "fixed")
	before := g.cc
	take(2, NewFixed(1e6), "fixed")
	if g.cc != before {
		t.Error("a request that changes nothing has replaced the controller")
	}
	take(3, NewFixed(2e6), "fixed")
	if g.cc == before {
		t.Error("a request for another rate has not replaced the controller")
	}
}

func TestPathFits(t *testing.T) {
	p := Path{Rate: 1e6, MinRTT: 100 * ms}
	for rtt, want := range map[time.Duration]bool{
		50 * ms: false, 80 * ms: true, 100 * ms: true, 150 * ms: true, 160 * ms: false,
	} {
		if got := p.fits(rtt); got != want {
			t.Errorf("a round trip of %v fits one of %v: %v", rtt, p.MinRTT, got)
		}
	}
	if (Path{MinRTT: ms}).fits(ms) || (Path{Rate: 1}).fits(ms) {
		t.Error("half a memory fits")
	}
}
