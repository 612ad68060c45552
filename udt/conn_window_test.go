package udt

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

func TestNextWindow(t *testing.T) {
	const most = 100_000
	for _, tt := range []struct {
		name                  string
		window                int
		taken, before, behind int64
		trips                 float64
		left                  int
		want                  int
	}{
		{"nothing", 64, 0, 0, 0, 1, 0, 64},
		{"steady", 2016, 1000, 1000, 0, 1, 0, 2016},
		{"less is needed", 6400, 1000, 1000, 0, 1, 0, 6300},
		{"holes", 2016, 1000, 1000, 500, 1, 0, 2516},
		{"doubles", 2000, 2000, 1000, 0, 1, 0, 3 * 4016},
		{"begins", 2880, 1000, 0, 0, 1, 0, 5 * 2016},
		{"doubles in five round trips", 2000, 2000, 1000, 0, 5, 0, 4016 + 2*4016/5},
		{"some was always left", 16_000, 1000, 1000, 0, 1, 4000, 15_000},
		{"some was always left, although more is taken", 16_000, 9000, 1000, 0, 1, 4000, 16_000},
		{"all was always left", 2016, 1000, 1000, 0, 1, 2016, 2016},
		{"more than there may be", 2880, 90_000, 90_000, 0, 1, 0, most},
	} {
		if got := nextWindow(tt.window, tt.taken, tt.before, tt.behind, tt.trips, tt.left, most); got != tt.want {
			t.Errorf("%s: %d packets, want %d", tt.name, got, tt.want)
		}
	}
}

// 125 MB are in flight at 1 Gbit/s over a second, as at 10 Gbit/s over 100 ms.
// The windows do not limit that, and are given back when nothing is sent any
// more. Large packets only make the simulation short.
func TestWindowFollowsPath(t *testing.T) { measure(t, windowFollowsPath) }

func windowFollowsPath(t *measurement) {
	const (
		size   = 440_000_000
		rate   = 1e9
		flight = 125_000_000
	)
	link := simnet.LinkConfig{Rate: rate, Delay: 500 * time.Millisecond, Queue: flight / 2}
	memory := NewMemory(1 << 30)
	inMeasuredLab(t.T, link, &Config{MSS: 9000, Memory: memory}, func(l *lab) {
		client, server := l.connect()
		sent := make(chan error, 1)
		go func() {
			_, err := server.Write(make([]byte, size))
			sent <- err
		}()
		start := time.Now()
		small, most := 0, 0
		received := int64(0)
		for received < size {
			n, err := io.CopyN(io.Discard, client, size/100)
			if err != nil {
				t.Fatal(err)
			}
			received += n
			s := server.Stats()
			most = max(most, s.FlightSize*s.Payload)
			if s.FlowWindow <= s.FlightSize {
				small++
			}
		}
		took := time.Since(start)
		t.Logf("%v; %d MB in flight at most, %d MiB of memory used", took, most/1e6, memory.Used()>>20)
		if small > 0 || most < flight {
			t.Errorf("the window was full %d times; %d MB in flight at most", small, most/1e6)
		}
		if took > 9*time.Second { // as without any limit on windows; 3.5 of them at full rate
			t.Errorf("it took %v", took)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		time.Sleep(2*idleAfter + 2*time.Second)
		if used := memory.used.Load(); used != 0 {
			t.Errorf("idle connections use %d bytes", used)
		}
		if w := server.Stats().FlowWindow; w > startPackets {
			t.Errorf("an idle connection has promised room for %d packets", w)
		}
	})
}

// Who only reads learns from the sender that round trips have become longer, as when
// others fill a queue: the window does not limit what is in flight.
func TestWindowFollowsQueue(t *testing.T) {
	const rate = 80e6
	link := func(delay time.Duration) simnet.LinkConfig {
		return simnet.LinkConfig{Rate: 100e6, Delay: delay, Queue: 1 << 20}
	}
	fixed := func() Congestion { return NewFixed(rate) }
	inLab(t, link(25*time.Millisecond), &Config{Congestion: fixed}, func(l *lab) {
		client, server := l.connect()
		// As with a request, the receiver measures a round trip before anything flows.
		if _, err := client.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		go writeForever(server, make([]byte, 1<<18))
		take := func(during time.Duration) float64 {
			start, n := time.Now(), int64(0)
			for time.Since(start) < during {
				k, err := io.CopyN(io.Discard, client, 1<<16)
				if err != nil {
					t.Fatal(err)
				}
				n += k
			}
			return float64(n) * 8 / time.Since(start).Seconds()
		}
		take(10 * time.Second)
		l.net.SetLink(serverHost, clientHost, link(225*time.Millisecond))
		take(10 * time.Second)
		if got := take(10 * time.Second); got < 0.9*rate {
			s := server.Stats()
			t.Errorf("%.1f Mbit/s over round trips of %v, want %.0f; %d packets in flight, room for %d", got/1e6, s.RTT, rate/1e6, s.FlightSize, s.FlowWindow)
		}
	})
}

// A reader that is slower than the path, as one that writes to a disk, bounds what waits
// for it, and is never made to wait: the sender does not take what the window lets it
// send for what the path carries.
func TestWindowFollowsReader(t *testing.T) {
	const (
		every  = 20 * time.Millisecond
		piece  = 128 << 10 // 52 Mbit/s
		pieces = 500
	)
	for _, tt := range []struct {
		loss float64
		held int64 // on average, at most
	}{{0, 4 * piece}, {0.01, 12 * piece}} {
		link := simnet.LinkConfig{Rate: 1e9, Delay: 5 * time.Millisecond, Queue: 2 << 20, Loss: tt.loss}
		inMeasuredLab(t, link, &Config{Memory: NewMemory(1 << 30)}, func(l *lab) {
			client, server := l.connect()
			sent := make(chan error, 1)
			go func() {
				_, err := server.Write(make([]byte, pieces*piece))
				sent <- err
			}()
			held := int64(0) // summed over all looks
			start := time.Now()
			for range pieces {
				if _, err := io.CopyN(io.Discard, client, piece); err != nil {
					t.Fatal(err)
				}
				held += client.rcv.bytesHeld()
				time.Sleep(every)
			}
			took := time.Since(start)
			held /= pieces
			t.Logf("loss %g: %v, %d KiB held on average", tt.loss, took, held>>10)
			if held > tt.held {
				t.Errorf("%d KiB wait for a reader that takes %d at a time", held>>10, piece>>10)
			}
			if took > pieces*every*21/20 {
				t.Errorf("it took %v, with data always there %v", took, pieces*every)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	}
}

// Many connections share little memory. They stay within it, nothing that was
// promised room is dropped, although half of the readers sleep, and all finish.
func TestMemoryOfManyConnections(t *testing.T) {
	const conns, size = 40, 1 << 20
	for _, loss := range []float64{0, 0.02} {
		link := simnet.LinkConfig{Rate: 300e6, Delay: 40 * time.Millisecond, Queue: 3 << 20, Loss: loss}
		memory := NewMemory(96 << 20)
		inMeasuredLab(t, link, &Config{Memory: memory}, func(l *lab) {
			data := randomBytes(size, 9)
			clients, servers := make([]*Conn, conns), make([]*Conn, conns)
			for i := range conns {
				clients[i], servers[i] = l.connect()
			}
			done := make(chan error, 2*conns)
			for i, s := range servers {
				go func() {
					_, err := s.Write(data)
					done <- err
				}()
				go func() {
					if i%2 == 0 {
						time.Sleep(3 * time.Second)
					}
					got := make([]byte, size)
					_, err := io.ReadFull(clients[i], got)
					if err == nil && !bytes.Equal(got, data) {
						err = io.ErrNoProgress
					}
					done <- err
				}()
			}
			most, held := int64(0), int64(0)
			for n := 0; n < 2*conns; {
				select {
				case err := <-done:
					if n++; err != nil {
						t.Error(err)
					}
				case <-time.After(10 * time.Millisecond):
				}
				now := int64(0)
				for i := range conns {
					now += clients[i].rcv.bytesHeld() + servers[i].snd.bytesHeld()
				}
				most, held = max(most, memory.Used()), max(held, now)
			}
			t.Logf("loss %g: %d KiB of %d used at most, %d held", loss, most>>10, memory.Limit()>>10, held>>10)
			if most > memory.Limit() || held > most {
				t.Errorf("%d bytes used, %d held, of %d", most, held, memory.Limit())
			}
			for i, c := range clients {
				if n := c.Stats().PktDropped; n > 0 {
					t.Errorf("connection %d dropped %d packets", i, n)
				}
				c.Close()
			}
			time.Sleep(5 * time.Second)
			if used := memory.Used(); used != 0 {
				t.Errorf("closed connections use %d bytes", used)
			}
		})
	}
}

func (b *recvBuffer) bytesHeld() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.chunks {
		if c != nil {
			n += chunkCost(c.slot)
		}
	}
	return n
}

func (b *sendBuffer) bytesHeld() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.chunks {
		n += chunkCost(c.slot)
	}
	return n
}

// What a connection buffers that has ended is counted until it has been read.
func TestUnreadDataIsCounted(t *testing.T) {
	memory := NewMemory(64 << 20)
	inLab(t, simnet.LinkConfig{Delay: time.Millisecond}, &Config{Memory: memory}, func(l *lab) {
		client, server := l.connect()
		if _, err := server.Write(make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		<-client.done
		if held := client.rcv.bytesHeld(); memory.Used() < held || held == 0 {
			t.Errorf("%d bytes are held, %d counted", held, memory.Used())
		}
		if n, err := io.Copy(io.Discard, client); n != 100_000 || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		time.Sleep(time.Second)
		if used := memory.Used(); used != 0 {
			t.Errorf("%d bytes are counted in the end", used)
		}
	})
}
