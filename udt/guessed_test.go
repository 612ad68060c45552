package udt

import (
	"io"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// The time without anything on its way is left out once, however often what is sent
// after it is lost.
func TestGuessedRateLeavesIdleTimeOut(t *testing.T) {
	g := &group{even: new(evenness), cc: NewBBR()}
	g.cc.Init(0, CongestionParams{MaxWindow: 1 << 16})
	ack := func(now time.Duration) {
		g.acknowledged(now, ACKEvent{Latest: ms, RTT: ms}, arrivals{newly: 1000, landed: 1000, at: now})
	}
	send := func(now time.Duration) {
		g.begin(now)
		g.sent(now, SendEvent{New: 1000}, true, true)
	}
	for now := ms; now <= 10*ms; now += 2 * ms {
		send(now)
		ack(now + ms)
	}
	for _, now := range []time.Duration{200 * ms, 400 * ms, 600 * ms, 800 * ms} {
		send(now)
		g.lostPackets(now+50*ms, 1000, LossEvent{Lost: 1000})
	}
	if since, now := g.guessed.since, 800*ms; since > now {
		t.Errorf("measured since %v, which is %v ahead", since, since-now)
	}
}

// Who writes faster than a short path carries, in pieces, has nothing to send again and
// again. What a peer without feedback lets believe of the path is bounded nevertheless.
func TestPiecesToPeerWithoutFeedback(t *testing.T) {
	measure(t, func(t *measurement) {
		const rate, length = 400e6, 3 * time.Second
		link := simnet.LinkConfig{Delay: 50 * time.Microsecond, Rate: rate, Queue: 250_000}
		inMeasuredLab(t.T, link, &Config{PlainUDT: true}, func(l *lab) {
			client, server := l.connect()
			go io.Copy(io.Discard, client)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				piece := make([]byte, 64<<10)
				for {
					if _, err := server.Write(piece); err != nil {
						return
					}
					time.Sleep(500 * time.Microsecond) // in virtual time
				}
			}()
			time.Sleep(length)
			s := server.Stats()
			server.Close()
			<-ended
			share := float64(client.Stats().ByteRecv) * 8 / length.Seconds() / (rate * 1456 / 1500)
			again := float64(s.PktRetrans) / float64(s.PktSent)
			t.Logf("%.2f of the link, %.3f sent again", share, again)
			if share < 0.9 || again > 0.05 {
				t.Errorf("%.2f of the link, %.3f sent again", share, again)
			}
		})
	})
}

// A path that was dead for a while is filled again soon after acknowledgements come.
// What was delivered while holes were repaired one by one is not taken for its rate.
func TestOutageWithoutFeedback(t *testing.T) {
	measure(t, func(t *measurement) {
		const rate = 200e6
		link := simnet.LinkConfig{Delay: time.Millisecond, Rate: rate, Queue: 250_000}
		inMeasuredLab(t.T, link, &Config{PlainUDT: true}, func(l *lab) {
			_, received := l.sendForever(l.client)
			time.Sleep(3 * time.Second)
			dead := link
			dead.Loss = 1
			l.net.SetLinks(serverHost, clientHost, dead)
			time.Sleep(time.Second)
			l.net.SetLinks(serverHost, clientHost, link)
			time.Sleep(maxRTO + 500*time.Millisecond) // the first retransmission takes up to maxRTO
			before := received()
			time.Sleep(500 * time.Millisecond)
			share := float64(received()-before) * 8 / 0.5 / (rate * 1456 / 1500)
			t.Logf("%.2f of the link", share)
			if share < 0.8 {
				t.Errorf("%.2f of the link", share)
			}
		})
	})
}
