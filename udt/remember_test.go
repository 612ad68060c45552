package udt

import (
	"io"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// startOver downloads over a path of which something is remembered, and returns
// what has arrived five round trips after the request, and what was sent and
// lost by then.
func startOver(t *testing.T, rate int64, rtt time.Duration, remembered Path) (received, sent, lost int64) {
	link := simnet.LinkConfig{Delay: rtt / 2, Rate: rate, Queue: int(float64(rate) / 8 * rtt.Seconds())}
	inMeasuredLab(t, link, nil, func(l *lab) {
		d := Dialer{Endpoint: l.client, EarlyData: true, Path: remembered}
		nc, err := d.DialContext(l.t.Context(), "udt", serverAddr.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		s, err := l.listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if _, err := io.ReadFull(s, make([]byte, 1)); err == nil {
				s.Write(make([]byte, 64<<20))
			}
		}()
		go io.Copy(io.Discard, nc)
		time.Sleep(5 * rtt)
		received = nc.(*Conn).Stats().ByteRecv
		n := s.(*Conn).Stats()
		sent, lost = n.PktSent, n.PktSndLoss
	})
	return received, sent, lost
}

// Who comes again starts faster; a path that has become another one is not
// flooded.
func TestRememberedPath(t *testing.T) {
	for _, tt := range []struct {
		rate int64
		rtt  time.Duration
	}{{100e6, 100 * ms}, {300e6, 100 * ms}, {300e6, 200 * ms}} {
		same := Path{Rate: float64(tt.rate) * 0.95, MinRTT: tt.rtt}
		without, _, _ := startOver(t, tt.rate, tt.rtt, Path{})
		with, _, lost := startOver(t, tt.rate, tt.rtt, same)
		bdp := float64(tt.rate) / 8 * tt.rtt.Seconds()
		t.Logf("%d Mbit/s, %v: %.2f BDP after 5 round trips, %.2f with the memory, %d lost", tt.rate/1e6, tt.rtt, float64(without)/bdp, float64(with)/bdp, lost)
		if float64(with-without) < 0.2*bdp {
			t.Errorf("the memory is worth %.2f BDP", float64(with-without)/bdp)
		}
		got, sent, lost := startOver(t, tt.rate/10, tt.rtt, same)
		plain, sentPlain, lostPlain := startOver(t, tt.rate/10, tt.rtt, Path{})
		most := float64(tt.rate) / 8 / 1500 * tt.rtt.Seconds() * bbrRemembered
		t.Logf("a tenth of it: %.2f BDP, %d of %d lost; without %.2f BDP, %d of %d lost", float64(got)/bdp*10, lost, sent, float64(plain)/bdp*10, lostPlain, sentPlain)
		if float64(lost-lostPlain) > most+bbrInitialWindow {
			t.Errorf("the memory costs %d packets, %d without, on a path that carries a tenth", lost, lostPlain)
		}
		other, _, _ := startOver(t, tt.rate, tt.rtt, Path{Rate: same.Rate, MinRTT: tt.rtt / 2})
		if float64(other) > 1.05*float64(without) {
			t.Errorf("a memory of another path was used: %d bytes, %d without", other, without)
		}
	}
}
