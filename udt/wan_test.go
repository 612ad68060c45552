package udt

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// wanCell is a path and what one download over it is to reach.
type wanCell struct {
	name  string
	rate  int64 // bit/s
	rtt   time.Duration
	loss  float64
	burst float64 // mean length of a run of losses, 0 = independent
	queue float64 // bandwidth-delay products
	size  int     // bytes
	share float64 // of the limit, at least, over one connection
}

// splitMargin is what the last of eight connections may be late, whose parts
// nobody takes over here.
const splitMargin = 0.15

func (w wanCell) link() simnet.LinkConfig {
	l := simnet.LinkConfig{
		Delay: w.rtt / 2, Rate: w.rate,
		Queue: int(w.queue * float64(w.rate) / 8 * w.rtt.Seconds()),
	}
	if w.burst > 0 {
		l.Burst = simnet.Burst{Enter: w.loss / w.burst / (1 - w.loss), Leave: 1 / w.burst}
	} else {
		l.Loss = w.loss
	}
	return l
}

// limit is the time that size bytes need at least, connection and request
// included.
func (w wanCell) limit() time.Duration {
	return 2*w.rtt + time.Duration(8*float64(w.size)/(float64(w.rate)*1456/1500*(1-w.loss))*1e9)
}

// download lets the server send size bytes over n connections.
func (l *lab) download(w wanCell, n int) (took time.Duration, stats []Stats) {
	l.t.Helper()
	start := time.Now()
	done := make(chan error, n)
	stats = make([]Stats, n)
	conns := make([]*Conn, n)
	go func() {
		for i := range n {
			s, err := l.listener.Accept()
			if err != nil {
				done <- err
				return
			}
			conns[i] = s.(*Conn)
			go func() {
				if _, err := io.ReadFull(s, make([]byte, 1)); err == nil {
					s.Write(make([]byte, w.size/n))
				}
			}()
		}
	}()
	for range n {
		go func() {
			c, err := l.client.DialContext(l.t.Context(), "udt", serverAddr.String())
			if err != nil {
				done <- err
				return
			}
			c.Write([]byte{1})
			_, err = io.CopyN(io.Discard, c, int64(w.size/n))
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			l.t.Error(err)
		}
	}
	took = time.Since(start)
	for i, s := range conns {
		stats[i] = s.Stats()
	}
	return took, stats
}

// A download over a path is to come near the limit, which counts the
// connection and the start as well. What is asked for here leaves a margin for
// seeds that are unlucky.
func TestDownloadOverLongPaths(t *testing.T) {
	for i, w := range []wanCell{
		{"300M 20ms", 300e6, 20 * time.Millisecond, 0, 0, 1, 32 << 20, 0.9},
		{"300M 100ms", 300e6, 100 * time.Millisecond, 0, 0, 1, 64 << 20, 0.83},
		{"300M 100ms 0.1%", 300e6, 100 * time.Millisecond, 0.001, 0, 1, 64 << 20, 0.8},
		{"300M 100ms 1%", 300e6, 100 * time.Millisecond, 0.01, 0, 1, 64 << 20, 0.78},
		{"100M 200ms 3%", 100e6, 200 * time.Millisecond, 0.03, 0, 1, 64 << 20, 0.78},
		{"100M 50ms 5%", 100e6, 50 * time.Millisecond, 0.05, 0, 1, 64 << 20, 0.8},
		{"100M 50ms 10%", 100e6, 50 * time.Millisecond, 0.1, 0, 1, 64 << 20, 0.8},
		{"100M 50ms 20% bursts", 100e6, 50 * time.Millisecond, 0.2, 8, 1, 64 << 20, 0.7},
		{"50M 600ms 1%", 50e6, 600 * time.Millisecond, 0.01, 0, 1, 64 << 20, 0.7},
	} {
		for _, n := range []int{1, 8} {
			t.Run(fmt.Sprintf("%s x%d", w.name, n), func(t *testing.T) {
				if raceEnabled && i%4 != 0 {
					t.Skip("ten seconds of real time each with the race detector")
				}
				measure(t, func(t *measurement) {
					inMeasuredLab(t.T, w.link(), nil, func(l *lab) {
						took, stats := l.download(w, n)
						share := w.limit().Seconds() / took.Seconds()
						sent, again, lost := int64(0), int64(0), int64(0)
						for _, s := range stats {
							sent += s.PktSent
							again += s.PktRetrans
							lost += s.PktSndLoss
						}
						t.Logf("%.2f of the limit, %v; sent again %.2f %%; %+v", share, took.Round(time.Millisecond), 100*float64(again)/float64(sent), stats[0])
						if most := 1.3*w.loss/(1-w.loss) + 0.01; float64(again)/float64(sent-again) > most {
							t.Errorf("%.2f %% were sent again", 100*float64(again)/float64(sent-again))
						}
						want := w.share
						if n > 1 {
							want -= splitMargin
						}
						if share < want {
							t.Errorf("%.2f of the limit, want %.2f", share, want)
						}
					})
				})
			})
		}
	}
}
