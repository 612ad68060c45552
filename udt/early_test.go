package udt

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// echo answers the first byte of every connection with itself.
func (l *lab) echo() {
	for {
		s, err := l.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			b := make([]byte, 1)
			if _, err := io.ReadFull(s, b); err == nil {
				s.Write(b)
			}
		}()
	}
}

// roundTrip dials, sends a byte and waits for it to come back.
func (l *lab) roundTrip(early bool) (time.Duration, error) {
	start := time.Now()
	d := Dialer{Endpoint: l.client, EarlyData: early}
	c, err := d.DialContext(l.t.Context(), "udt", serverAddr.String())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.Write([]byte{7}); err != nil {
		return 0, err
	}
	b := make([]byte, 1)
	_, err = io.ReadFull(c, b)
	return time.Since(start), err
}

// With early data the first answer comes after two round trips instead of three.
func TestEarlyData(t *testing.T) {
	const rtt = 100 * time.Millisecond
	for _, tt := range []struct {
		early  bool
		server *Config
		want   time.Duration
	}{{false, nil, 3 * rtt}, {true, nil, 2 * rtt}} {
		inLab(t, simnet.LinkConfig{Delay: rtt / 2}, tt.server, func(l *lab) {
			go l.echo()
			got, err := l.roundTrip(tt.early)
			if err != nil || got < tt.want || got > tt.want+rtt/4 {
				t.Errorf("early %v: answered after %v (%v), want %v", tt.early, got, err, tt.want)
			}
		})
	}
}

// Early data arrives although the packets around it are lost, and whichever of
// request and data comes first.
func TestEarlyDataUnderLoss(t *testing.T) {
	link := simnet.LinkConfig{
		Delay: 20 * time.Millisecond, Loss: 0.3, Duplicate: 0.2,
		Reorder: simnet.Reorder{Probability: 0.3, ExtraDelay: 10 * time.Millisecond},
	}
	inLab(t, link, &Config{PeerTimeout: time.Minute}, func(l *lab) {
		go l.echo()
		for range 30 {
			if _, err := l.roundTrip(true); err != nil {
				t.Error(err)
			}
		}
	})
}

// A request that outlives its cookie gets another, and another id.
func TestEarlyDataSurvivesANewCookie(t *testing.T) {
	inLab(t, simnet.LinkConfig{Delay: 5 * time.Millisecond}, &Config{PeerTimeout: 10 * time.Minute}, func(l *lab) {
		go l.echo()
		d := Dialer{Endpoint: l.client, EarlyData: true}
		// The listener's answer to the first request is the last that arrives for
		// longer than its cookie lives.
		time.AfterFunc(12*time.Millisecond, func() {
			l.net.SetLinks(clientHost, serverHost, simnet.LinkConfig{Loss: 1})
		})
		l.net.SetLink(clientHost, serverHost, simnet.LinkConfig{Delay: 5 * time.Millisecond})
		c, err := d.DialContext(l.t.Context(), "udt", serverAddr.String())
		if err != nil {
			t.Fatal(err)
		}
		l.net.SetLinks(clientHost, serverHost, simnet.LinkConfig{Loss: 1})
		if _, err := c.Write([]byte{7}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * cookieEpoch)
		l.net.SetLinks(clientHost, serverHost, simnet.LinkConfig{Delay: 5 * time.Millisecond})
		b := make([]byte, 1)
		if _, err := io.ReadFull(c, b); err != nil || b[0] != 7 {
			t.Errorf("read %v: %v", b, err)
		}
		c.Close()
	})
}

// A listener that refuses is heard by the first Read.
func TestEarlyDataRejected(t *testing.T) {
	inLab(t, simnet.LinkConfig{Delay: 5 * time.Millisecond}, &Config{Backlog: 1}, func(l *lab) {
		d := Dialer{Endpoint: l.client, EarlyData: true}
		for i := range 2 {
			c, err := d.DialContext(l.t.Context(), "udt", serverAddr.String())
			if err != nil {
				t.Fatal(err)
			}
			c.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := c.Read(make([]byte, 1)); errors.Is(err, ErrRejected) != (i == 1) {
				t.Errorf("connection %d: %v", i, err)
			}
		}
	})
}

// Through runs of losses a connection comes about in a second or little more:
// their length is counted in packets, of which a handshake has few.
func TestDialThroughBursts(t *testing.T) {
	link := simnet.LinkConfig{Delay: 25 * time.Millisecond, Rate: 100e6, Queue: 500_000,
		Burst: simnet.Burst{Enter: 0.2 / 8 / 0.8, Leave: 1.0 / 8}}
	inMeasuredLab(t, link, nil, func(l *lab) {
		const dials = 400
		go func() {
			for range dials {
				s, err := l.listener.Accept()
				if err != nil {
					return
				}
				go io.Copy(io.Discard, s)
			}
		}()
		var took []time.Duration
		for range dials {
			start := time.Now()
			c, err := l.client.DialContext(l.t.Context(), "udt", serverAddr.String())
			if err != nil {
				l.t.Fatal(err)
			}
			took = append(took, time.Since(start))
			c.Close()
		}
		slices.Sort(took)
		t.Logf("median %v, nine of ten within %v, the longest %v", took[dials/2], took[dials*9/10], took[dials-1])
		if took[dials*9/10] > 1200*time.Millisecond || took[dials*99/100] > 4*time.Second {
			t.Errorf("nine of ten took up to %v, 99 of a hundred %v", took[dials*9/10], took[dials*99/100])
		}
	})
}
