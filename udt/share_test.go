package udt

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// flow is one download in a test of several that share a path.
type flow struct {
	name        string
	cc          func() Congestion
	from, to    time.Duration // when it runs; to 0 = to the end
	connections int           // from one endpoint; 0 = one

	got    atomic.Int64         // bytes
	server atomic.Pointer[Conn] // of the latest connection
}

// sharedLink has 100 Mbit/s, 50 ms, and a queue of so many bandwidth-delay products.
func sharedLink(queue float64) simnet.LinkConfig {
	return simnet.LinkConfig{Rate: 100e6, Delay: 25 * time.Millisecond, Queue: int(queue * 100e6 / 8 * 0.05)}
}

// drain reads until the connection ends.
func (f *flow) drain(c net.Conn) {
	b := make([]byte, 1<<18)
	for {
		k, err := c.Read(b)
		f.got.Add(int64(k))
		if err != nil {
			return
		}
	}
}

// shared runs flows over one path, and returns the payload that each of them
// received between two times, as a share of what the link carries.
func shared(t *testing.T, link simnet.LinkConfig, length time.Duration, flows []*flow) (between func(flow int, from, to time.Duration) float64) {
	t.Helper()
	const step = 100 * time.Millisecond
	var samples [][]int64 // by step, then flow
	oneProcessor(t)
	seed := simnet.FixedSeed(t)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Config{Seed: seed, Link: link})
		l := &lab{t: t, net: n}
		start := time.Now()
		var ends []*Endpoint
		var running []chan struct{}
		for i, f := range flows {
			server := l.endpoint(netip.AddrPortFrom(serverHost, uint16(9000+i)), &Config{Congestion: f.cc, Linger: -1})
			client := l.endpoint(netip.AddrPortFrom(clientHost, 0), nil)
			ends = append(ends, server, client)
			listener, err := server.Listen()
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			running = append(running, ended)
			go func() {
				defer close(ended)
				time.Sleep(f.from)
				var readers sync.WaitGroup
				defer readers.Wait()
				for range max(f.connections, 1) {
					c, err := client.DialContext(t.Context(), "udt", serverAddrOf(i).String())
					if err != nil {
						t.Error(err)
						return
					}
					s, err := listener.Accept()
					if err != nil {
						t.Error(err)
						return
					}
					f.server.Store(s.(*Conn))
					go writeForever(s, make([]byte, 1<<18))
					if f.to > 0 {
						time.AfterFunc(f.to-f.from, func() { s.Close() })
					}
					readers.Go(func() { f.drain(c) })
				}
			}()
		}
		for time.Since(start) < length {
			time.Sleep(step)
			row := make([]int64, len(flows))
			for i, f := range flows {
				row[i] = f.got.Load()
			}
			samples = append(samples, row)
			if testing.Verbose() && len(samples)%5 == 0 {
				line := ""
				for i, f := range flows {
					before := int64(0)
					if k := len(samples) - 6; k >= 0 {
						before = samples[k][i]
					}
					state, w, rtt, sent, room := "-", 0, time.Duration(0), 0, 0
					if c := f.server.Load(); c != nil && (f.to == 0 || time.Since(start) < f.to) {
						s := c.Stats()
						g := c.grp
						g.mu.Lock()
						state = g.cc.State()
						if b, ok := g.cc.(*bbr); ok {
							state += fmt.Sprintf("[min %v most %.0f lossy %.3f every %d]", b.minRTT.Round(time.Millisecond), b.rival.most, b.rival.lossy, b.probeEvery)
						}
						g.mu.Unlock()
						w, rtt, sent, room = s.CongestionWindow, s.RTT, s.FlightSize, s.FlowWindow
					}
					line += fmt.Sprintf("  %s %5.1f Mbit/s %s w=%d sent=%d room=%d rtt=%v", f.name, float64(row[i]-before)*8/0.5/1e6, state, w, sent, room, rtt.Round(time.Millisecond))
				}
				t.Logf("%5.1f s%s", time.Since(start).Seconds(), line)
			}
		}
		for _, e := range ends {
			e.Close()
		}
		for _, c := range running {
			<-c
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return func(i int, from, to time.Duration) float64 {
		at := func(d time.Duration) int64 {
			if d == 0 {
				return 0
			}
			return samples[d/step-1][i]
		}
		limit := float64(link.Rate) / 8 * (to - from).Seconds() * 1456 / 1500
		return float64(at(to)-at(from)) / limit
	}
}

func serverAddrOf(i int) netip.AddrPort { return netip.AddrPortFrom(serverHost, uint16(9000+i)) }

// A background transfer that comes late takes nothing from who is there.
func TestLEDBATComesLate(t *testing.T) {
	for i, c := range []struct {
		name       string
		queue      float64
		foreground func() Congestion
	}{
		{"bbr 0.5 BDP", 0.5, NewBBR}, {"bbr 4 BDP", 4, NewBBR},
		{"cubic 0.5 BDP", 0.5, newCubic}, {"cubic 1 BDP", 1, newCubic}, {"cubic 4 BDP", 4, newCubic},
	} {
		t.Run(c.name, func(t *testing.T) {
			measure(t, func(t *measurement) {
				if raceEnabled && i > 0 {
					t.Skip("half a minute of real time each with the race detector")
				}
				link := sharedLink(c.queue)
				const join, end = 10 * time.Second, 30 * time.Second
				share := shared(t.T, link, end, []*flow{
					{name: "foreground", cc: c.foreground},
					{name: "ledbat", cc: NewLEDBAT, from: join},
				})
				before, theirs, ours := share(0, join/2, join), share(0, join, end), share(1, join, end)
				t.Logf("foreground %.3f before and %.3f after, ledbat %.3f", before, theirs, ours)
				if ours > 0.1 || theirs < 0.9*before {
					t.Errorf("foreground %.3f before and %.3f after, ledbat %.3f", before, theirs, ours)
				}
			})
		})
	}
}

// A background transfer takes what others leave: everything when it is alone,
// next to nothing beside a foreground, within seconds both ways.
func TestLEDBAT(t *testing.T) {
	type cell struct {
		name       string
		rate       int64
		rtt        time.Duration
		loss       float64
		queue      float64 // bandwidth-delay products
		jitter     time.Duration
		foreground func() Congestion
	}
	for i, c := range []cell{
		{"100M 50ms", 100e6, 50 * time.Millisecond, 0, 1, 0, nil},
		{"100M 50ms 4 BDP", 100e6, 50 * time.Millisecond, 0, 4, 0, nil},
		{"100M 50ms 1%", 100e6, 50 * time.Millisecond, 0.01, 1, 0, nil},
		{"100M 50ms 5%", 100e6, 50 * time.Millisecond, 0.05, 1, 0, nil},
		{"300M 20ms", 300e6, 20 * time.Millisecond, 0, 1, 0, nil},
		{"300M 100ms 0.1%", 300e6, 100 * time.Millisecond, 0.001, 1, 0, nil},
		{"20M 200ms 3%", 20e6, 200 * time.Millisecond, 0.03, 1, 0, nil},
		{"100M 50ms 0.1 BDP", 100e6, 50 * time.Millisecond, 0, 0.1, 0, nil},
		{"100M 50ms jitter", 100e6, 50 * time.Millisecond, 0, 1, 5 * time.Millisecond, nil},
		{"5M 30ms", 5e6, 30 * time.Millisecond, 0, 4, 0, nil},
		{"beside bbr 0.5 BDP", 100e6, 50 * time.Millisecond, 0, 0.5, 0, NewBBR},
		{"beside bbr", 100e6, 50 * time.Millisecond, 0, 1, 0, NewBBR},
		{"beside bbr 4 BDP", 100e6, 50 * time.Millisecond, 0, 4, 0, NewBBR},
		{"beside bbr 1%", 100e6, 50 * time.Millisecond, 0.01, 1, 0, NewBBR},
		{"beside cubic 0.5 BDP", 100e6, 50 * time.Millisecond, 0, 0.5, 0, newCubic},
		{"beside cubic", 100e6, 50 * time.Millisecond, 0, 1, 0, newCubic},
		{"beside cubic 4 BDP", 100e6, 50 * time.Millisecond, 0, 4, 0, newCubic},
	} {
		t.Run(c.name, func(t *testing.T) {
			measure(t, func(t *measurement) {
				if raceEnabled && i%6 != 0 {
					t.Skip("half a minute of real time each with the race detector")
				}
				link := simnet.LinkConfig{
					Rate: c.rate, Delay: c.rtt / 2, Jitter: c.jitter, Loss: c.loss,
					Queue: int(c.queue * float64(c.rate) / 8 * c.rtt.Seconds()),
				}
				if c.foreground == nil {
					// The start and the first slowdown take some 30 round trips.
					settled := max(5*time.Second, 50*c.rtt)
					end := settled + 20*time.Second
					share := shared(t.T, link, end, []*flow{{name: "ledbat", cc: NewLEDBAT}})
					whole, late := share(0, 0, end), share(0, settled, end)
					t.Logf("%.2f of the link, %.2f from %v on", whole, late, settled)
					want := 0.85 * (1 - c.loss)
					if c.queue < 0.2 {
						want = 0.75 // a queue smaller than the target shows in losses only
					}
					if c.jitter > 0 {
						want = 0.5 // to and fro it is more than the target
					}
					if late < want {
						t.Errorf("alone it had %.2f of the link, want %.2f", late, want)
					}
					return
				}
				const join, leave, end = 8 * time.Second, 28 * time.Second, 40 * time.Second
				share := shared(t.T, link, end, []*flow{
					{name: "ledbat", cc: NewLEDBAT},
					{name: "foreground", cc: c.foreground, from: join, to: leave},
				})
				first := share(0, join, join+4*time.Second)
				ours, theirs := share(0, join+4*time.Second, leave), share(1, join+4*time.Second, leave)
				after := share(0, leave+6*time.Second, end)
				t.Logf("ledbat %.3f in the first 4 s, %.3f later, foreground %.3f, ledbat alone again %.3f", first, ours, theirs, after)
				if ours > 0.1 || theirs < 0.9 {
					t.Errorf("ledbat had %.3f of the link, the foreground %.3f", ours, theirs)
				}
				if after < 0.8 {
					t.Errorf("alone again it had %.3f", after)
				}
			})
		})
	}
}

var allCells = flag.Bool("allcells", false, "let flows share links in every order of their beginning, not in one for each buffer")

// One of ours and one of TCP share a path: the aim is that neither falls under a
// quarter, and that two of ours differ by less than 40 to 60 once both have run
// for 20 s. What is asked for leaves a margin for unlucky seeds.
func TestBBRShares(t *testing.T) {
	const (
		join, settled, end, last = 6 * time.Second, 20 * time.Second, 45 * time.Second, 10 * time.Second
		least, margin            = 0.25, 0.03
	)
	type cell struct {
		queue float64 // bandwidth-delay products
		late  string  // who begins later
	}
	cells := []cell{{0.5, "theirs"}, {1, "nobody"}, {4, "ours"}}
	if *allCells {
		cells = nil
		for _, queue := range []float64{0.5, 1, 4} {
			for _, late := range []string{"nobody", "ours", "theirs"} {
				cells = append(cells, cell{queue, late})
			}
		}
	}
	for i, other := range []struct {
		name string
		cc   func() Congestion
	}{{"cubic", newCubic}, {"tcp-bbr", newBBR1}, {"bbr", NewBBR}} {
		for j, c := range cells {
			t.Run(fmt.Sprintf("%s, %g BDP, %s late", other.name, c.queue, c.late), func(t *testing.T) {
				measure(t, func(t *measurement) {
					if raceEnabled && i+j > 0 {
						t.Skip("half a minute of real time each with the race detector")
					}
					link := sharedLink(c.queue)
					ours, theirs := &flow{name: "bbr", cc: NewBBR}, &flow{name: other.name, cc: other.cc}
					switch c.late {
					case "ours":
						ours.from = join
					case "theirs":
						theirs.from = join
					}
					share := shared(t.T, link, end, []*flow{ours, theirs})
					a, b := share(0, settled, end), share(1, settled, end)
					lastA, lastB := share(0, end-last, end), share(1, end-last, end)
					t.Logf("bbr %.2f and %s %.2f from %v on, %.2f and %.2f from %v on, %.2f and %.2f in the last %v",
						a, other.name, b, settled, share(0, join, end), share(1, join, end), join, lastA, lastB, last)
					if min(a, b, lastA, lastB) < least-margin {
						t.Errorf("bbr %.2f, %s %.2f of the link, %.2f and %.2f in the last %v, want %.2f each", a, other.name, b, lastA, lastB, last, least)
					}
					if other.name != "bbr" {
						return
					}
					if part := min(lastA, lastB) / (lastA + lastB); part < 0.4-margin {
						t.Errorf("of two of ours one had %.2f of what both had, want 0.40", part)
					}
				})
			})
		}
	}
}

// TCP that joins a background transfer has at least nine tenths of what it has
// alone, from its first packet on.
func TestLEDBATIsJoined(t *testing.T) {
	for i, c := range []struct {
		queue float64
		join  time.Duration
	}{
		{0.5, 8 * time.Second}, {0.5, 8700 * time.Millisecond}, {0.5, 10 * time.Second}, {0.5, 10300 * time.Millisecond}, {1, 8700 * time.Millisecond}, {4, 8700 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%v BDP, %v", c.queue, c.join), func(t *testing.T) {
			measure(t, func(t *measurement) {
				if raceEnabled && i > 0 {
					t.Skip("half a minute of real time each with the race detector")
				}
				link := sharedLink(c.queue)
				end := c.join + 20*time.Second
				alone := shared(t.T, link, end, []*flow{{name: "cubic", cc: newCubic, from: c.join}})(0, c.join, end)
				share := shared(t.T, link, end, []*flow{
					{name: "ledbat", cc: NewLEDBAT},
					{name: "cubic", cc: newCubic, from: c.join},
				})
				ours, theirs := share(0, c.join, end), share(1, c.join, end)
				t.Logf("cubic %.3f alone and %.3f beside ledbat, ledbat %.3f", alone, theirs, ours)
				if ours > 0.1 || theirs < 0.9*alone {
					t.Errorf("cubic %.3f alone and %.3f beside ledbat, ledbat %.3f", alone, theirs, ours)
				}
			})
		})
	}
}

// Eight connections of one download take from a flow of TCP what their share
// allows, which is that of two flows, and not what eight would.
func TestEightConnectionsShare(t *testing.T) {
	const (
		settled, end    = 20 * time.Second, 45 * time.Second
		allowed, margin = 2. / 3, 0.08
	)
	for i, queue := range []float64{0.5, 1, 4} {
		t.Run(fmt.Sprintf("%v BDP", queue), func(t *testing.T) {
			measure(t, func(t *measurement) {
				if raceEnabled && i > 0 {
					t.Skip("half a minute of real time each with the race detector")
				}
				link := sharedLink(queue)
				share := shared(t.T, link, end, []*flow{
					{name: "bbr", cc: NewBBR, connections: 8},
					{name: "cubic", cc: newCubic},
				})
				ours, theirs := share(0, settled, end), share(1, settled, end)
				t.Logf("eight connections %.3f, cubic %.3f", ours, theirs)
				if ours > allowed+margin || theirs < 1-allowed-margin {
					t.Errorf("eight connections had %.3f of the link, cubic %.3f", ours, theirs)
				}
			})
		})
	}
}
