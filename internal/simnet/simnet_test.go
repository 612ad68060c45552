package simnet_test

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

var (
	hostA = netip.MustParseAddr("10.0.0.1")
	hostB = netip.MustParseAddr("10.0.0.2")
)

// arrival is one datagram as the receiver saw it.
type arrival struct {
	number uint32
	after  time.Duration // since the start of the test
	data   []byte
}

// exchange sends count numbered datagrams of the given payload size from A to B, one
// per interval, runs during (if any) between sends, waits until all have
// arrived and returns what came out.
func exchange(t *testing.T, cfg simnet.Config, count, size int, interval time.Duration, during func(n *simnet.Network, i int)) ([]arrival, simnet.Counters) {
	t.Helper()
	var got []arrival
	var counters simnet.Counters
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(cfg)
		a := n.Listen(netip.AddrPortFrom(hostA, 1))
		b := n.Listen(netip.AddrPortFrom(hostB, 2))
		start := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 1<<16)
			for {
				m, from, err := b.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				if from != a.AddrPort() {
					t.Errorf("datagram from %v, want %v", from, a.AddrPort())
				}
				got = append(got, arrival{binary.BigEndian.Uint32(buf), time.Since(start), slices.Clone(buf[:m])})
			}
		}()
		msg := make([]byte, size)
		for i := range count {
			if during != nil {
				during(n, i)
			}
			binary.BigEndian.PutUint32(msg, uint32(i))
			if _, err := a.WriteToUDPAddrPort(msg, b.AddrPort()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(interval)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		counters = n.Counters(hostA, hostB)
		n.Close()
		<-done
	})
	c := counters
	if in, out := c.Sent.Packets+c.Duplicated.Packets, c.Delivered.Packets+c.Filtered.Packets+c.TooBig.Packets+
		c.Overflow.Packets+c.Lost.Packets+c.Unreachable.Packets+c.Overrun.Packets; in != out {
		t.Errorf("%d packets went in and %d came out: %+v", in, out, c)
	}
	if int64(len(got)) != c.Delivered.Packets {
		t.Errorf("read %d datagrams, counted %d delivered", len(got), c.Delivered.Packets)
	}
	return got, counters
}

func numbers(got []arrival) []uint32 {
	var s []uint32
	for _, a := range got {
		s = append(s, a.number)
	}
	return s
}

func TestDelay(t *testing.T) {
	got, _ := exchange(t, simnet.Config{Link: simnet.LinkConfig{Delay: 30 * time.Millisecond}}, 10, 100, 7*time.Millisecond, nil)
	for i, a := range got {
		if want := time.Duration(i)*7*time.Millisecond + 30*time.Millisecond; a.number != uint32(i) || a.after != want {
			t.Errorf("datagram %d arrived after %v, want %d after %v", a.number, a.after, i, want)
		}
	}
}

func TestRate(t *testing.T) {
	// 1222+28 bytes at 10 Mbit/s take 1 ms each.
	got, c := exchange(t, simnet.Config{Link: simnet.LinkConfig{Delay: 5 * time.Millisecond, Rate: 10e6}}, 100, 1222, 0, nil)
	for i, a := range got {
		if want := time.Duration(i+1)*time.Millisecond + 5*time.Millisecond; a.after != want {
			t.Errorf("datagram %d arrived after %v, want %v", i, a.after, want)
		}
	}
	if want := (simnet.Count{Packets: 100, Bytes: 100 * 1250}); c.Delivered != want {
		t.Errorf("delivered %+v, want %+v", c.Delivered, want)
	}
}

func TestQueueOverflow(t *testing.T) {
	cfg := simnet.Config{Link: simnet.LinkConfig{Rate: 10e6, Queue: 10 * 1250}}
	got, c := exchange(t, cfg, 25, 1222, 0, nil)
	if want := []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(numbers(got), want) {
		t.Errorf("a burst of 25 into a queue of 10 delivered %v", numbers(got))
	}
	if c.Overflow.Packets != 15 {
		t.Errorf("overflow %+v, want 15 packets", c.Overflow)
	}
	// At half the rate nothing queues.
	if _, c := exchange(t, cfg, 25, 1222, 2*time.Millisecond, nil); c.Overflow.Packets != 0 {
		t.Errorf("overflow %+v at half the rate", c.Overflow)
	}
	// At twice the rate half is dropped once the queue is full.
	if _, c := exchange(t, cfg, 10000, 1222, 500*time.Microsecond, nil); math.Abs(float64(c.Overflow.Packets)-5000) > 20 {
		t.Errorf("overflow %+v at twice the rate, want 5000 packets", c.Overflow)
	}
}

func TestLossShare(t *testing.T) {
	const packets = 20000
	for _, tt := range []struct {
		name string
		link simnet.LinkConfig
		want float64
	}{
		{"none", simnet.LinkConfig{}, 0},
		{"1 %", simnet.LinkConfig{Loss: 0.01}, 0.01},
		{"20 %", simnet.LinkConfig{Loss: 0.2}, 0.2},
		{"cut", simnet.LinkConfig{Loss: 1}, 1},
		{"burst", simnet.LinkConfig{Burst: simnet.Burst{Enter: 0.05, Leave: 0.25}}, 0.05 / 0.3},
		{"weak burst", simnet.LinkConfig{Burst: simnet.Burst{Enter: 0.1, Leave: 0.1, Loss: 0.5}}, 0.25},
		{"both", simnet.LinkConfig{Loss: 0.1, Burst: simnet.Burst{Enter: 0.1, Leave: 0.3}}, 1 - 0.9*0.75},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, c := exchange(t, simnet.Config{Seed: 1, Link: tt.link}, packets, 10, time.Microsecond, nil)
			got := float64(c.Lost.Packets) / packets
			if math.Abs(got-tt.want) > 0.1*tt.want {
				t.Errorf("lost %.4f of the packets, want %.4f", got, tt.want)
			}
		})
	}
}

func TestBurstLength(t *testing.T) {
	got, c := exchange(t, simnet.Config{Seed: 1, Link: simnet.LinkConfig{Burst: simnet.Burst{Enter: 0.05, Leave: 0.25}}}, 20000, 10, time.Microsecond, nil)
	bursts, next := 0, uint32(0)
	for _, a := range got {
		if a.number != next {
			bursts++
		}
		next = a.number + 1
	}
	if mean := float64(c.Lost.Packets) / float64(bursts); mean < 3.6 || mean > 4.4 {
		t.Errorf("bursts of %.1f packets on average, want 4", mean)
	}
}

func TestJitterKeepsOrder(t *testing.T) {
	link := simnet.LinkConfig{Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond}
	got, c := exchange(t, simnet.Config{Seed: 1, Link: link}, 1000, 10, time.Millisecond, nil)
	if !slices.IsSorted(numbers(got)) || len(got) != 1000 || c.Reordered.Packets != 0 {
		t.Errorf("jitter lost or reordered packets: %v", numbers(got))
	}
	least, most := time.Hour, time.Duration(0)
	for _, a := range got {
		d := a.after - time.Duration(a.number)*time.Millisecond
		least, most = min(least, d), max(most, d)
	}
	if least < 10*time.Millisecond || most > 30*time.Millisecond || most-least < 10*time.Millisecond {
		t.Errorf("delays from %v to %v, want them spread over 10ms to 30ms", least, most)
	}
}

func TestReorder(t *testing.T) {
	link := simnet.LinkConfig{Delay: 10 * time.Millisecond, Reorder: simnet.Reorder{Probability: 0.1, ExtraDelay: 3500 * time.Microsecond}}
	got, c := exchange(t, simnet.Config{Seed: 1, Link: link}, 1000, 10, time.Millisecond, nil)
	if c.Reordered.Packets < 70 || c.Reordered.Packets > 130 {
		t.Errorf("reordered %d packets, want about 100", c.Reordered.Packets)
	}
	highest, late := uint32(0), 0
	for _, a := range got {
		if highest = max(highest, a.number); a.number < highest {
			late++
			if highest-a.number > 3 {
				t.Errorf("packet %d came after %d, beyond the extra delay", a.number, highest)
			}
		}
	}
	if late < 60 || len(got) != 1000 {
		t.Errorf("%d of %d packets came late, want about 100 of 1000", late, len(got))
	}
}

func TestDuplicate(t *testing.T) {
	got, c := exchange(t, simnet.Config{Seed: 1, Link: simnet.LinkConfig{Duplicate: 0.25}}, 1000, 10, time.Millisecond, nil)
	if c.Duplicated.Packets < 200 || c.Duplicated.Packets > 300 || len(got) != 1000+int(c.Duplicated.Packets) {
		t.Errorf("%d datagrams from 1000 with %d duplicated, want about 250 more", len(got), c.Duplicated.Packets)
	}
	if !slices.IsSorted(numbers(got)) {
		t.Error("duplication reordered packets")
	}
}

func TestCorrupt(t *testing.T) {
	for _, tt := range []struct {
		name    string
		corrupt simnet.Corrupt
		bits    int
	}{
		{"one bit anywhere", simnet.Corrupt{Probability: 0.5}, 1},
		{"three bits in the header", simnet.Corrupt{Probability: 0.5, Bits: 3, HeaderOnly: true}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, c := exchange(t, simnet.Config{Seed: 1, Link: simnet.LinkConfig{Corrupt: tt.corrupt}}, 1000, 100, time.Millisecond, nil)
			bad, beyond := 0, 0
			for i, a := range got {
				want := make([]byte, 100)
				binary.BigEndian.PutUint32(want, uint32(i))
				diff := 0
				for j := range want {
					d := bits.OnesCount8(want[j] ^ a.data[j])
					diff += d
					if j >= 16 {
						beyond += d
					}
				}
				if diff != 0 {
					bad++
					if diff != tt.bits {
						t.Errorf("%d bits differ, want %d", diff, tt.bits)
					}
				}
			}
			if bad != int(c.Corrupted.Packets) || bad < 430 || bad > 570 {
				t.Errorf("%d datagrams were damaged and %d counted, want about 500", bad, c.Corrupted.Packets)
			}
			if (beyond == 0) != tt.corrupt.HeaderOnly {
				t.Errorf("%d bits flipped beyond the first 16 bytes", beyond)
			}
		})
	}
}

func TestMTU(t *testing.T) {
	cfg := simnet.Config{Link: simnet.LinkConfig{MTU: 1500}}
	if got, _ := exchange(t, cfg, 1, 1472, 0, nil); len(got) != 1 {
		t.Error("a packet of exactly the MTU was dropped")
	}
	if got, c := exchange(t, cfg, 1, 1473, 0, nil); len(got) != 0 || c.TooBig.Packets != 1 {
		t.Errorf("a packet one byte above the MTU: %d delivered, counters %+v", len(got), c)
	}
}

func TestFilter(t *testing.T) {
	link := simnet.LinkConfig{Delay: time.Millisecond, Filter: func(p simnet.Packet) simnet.Verdict {
		if p.From.Addr() != hostA || p.To.Addr() != hostB || uint32(p.Number) != binary.BigEndian.Uint32(p.Data) {
			t.Errorf("filter saw %+v", p)
		}
		switch p.Number {
		case 1:
			return simnet.Verdict{Drop: true}
		case 3:
			return simnet.Verdict{Duplicates: 2}
		case 5:
			return simnet.Verdict{Delay: 2500 * time.Microsecond}
		}
		return simnet.Verdict{}
	}}
	got, c := exchange(t, simnet.Config{Link: link}, 10, 10, time.Millisecond, nil)
	if want := []uint32{0, 2, 3, 3, 3, 4, 6, 7, 5, 8, 9}; !slices.Equal(numbers(got), want) {
		t.Errorf("filtered order %v, want %v", numbers(got), want)
	}
	if c.Filtered.Packets != 1 || c.Duplicated.Packets != 2 {
		t.Errorf("counters %+v", c)
	}
}

func TestCutAndRestoreWhileRunning(t *testing.T) {
	got, _ := exchange(t, simnet.Config{}, 9, 10, time.Millisecond, func(n *simnet.Network, i int) {
		switch i {
		case 3:
			n.SetLinks(hostA, hostB, simnet.LinkConfig{Loss: 1})
		case 6:
			n.SetLinks(hostA, hostB, simnet.LinkConfig{})
		}
	})
	if want := []uint32{0, 1, 2, 6, 7, 8}; !slices.Equal(numbers(got), want) {
		t.Errorf("delivered %v, want %v", numbers(got), want)
	}
}

func TestSameSeedSameFate(t *testing.T) {
	link := simnet.LinkConfig{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.1, Duplicate: 0.1,
		Reorder: simnet.Reorder{Probability: 0.1, ExtraDelay: 5 * time.Millisecond}}
	run := func(seed uint64) []arrival {
		got, _ := exchange(t, simnet.Config{Seed: seed, Link: link}, 500, 10, time.Millisecond, nil)
		return got
	}
	equal := func(a, b []arrival) bool {
		return slices.EqualFunc(a, b, func(x, y arrival) bool { return x.number == y.number && x.after == y.after })
	}
	if first := run(7); !equal(first, run(7)) {
		t.Error("two runs with one seed differ")
	} else if equal(first, run(8)) {
		t.Error("two seeds gave the same run")
	}
}

func TestReceiveBufferOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Config{ReceiveBuffer: 1000})
		defer n.Close()
		a := n.Listen(netip.AddrPortFrom(hostA, 1))
		b := n.Listen(netip.AddrPortFrom(hostB, 2))
		for range 15 { // 1000 bytes fit, 100 each
			a.WriteToUDPAddrPort(make([]byte, 100), b.AddrPort())
		}
		a.WriteToUDPAddrPort(make([]byte, 1), netip.AddrPortFrom(hostB, 3))
		synctest.Wait()
		if c := n.Counters(hostA, hostB); c.Delivered.Packets != 10 || c.Overrun.Packets != 5 || c.Unreachable.Packets != 1 {
			t.Errorf("counters %+v, want 10 delivered, 5 overrun, 1 unreachable", c)
		}
		for range 10 {
			b.ReadFrom(make([]byte, 100))
		}
		a.WriteToUDPAddrPort(make([]byte, 1000), b.AddrPort())
		synctest.Wait()
		if c := n.Counters(hostA, hostB); c.Delivered.Packets != 11 {
			t.Errorf("counters %+v, want room again after reading", c)
		}
	})
}

// TestDeadlinesAndClose runs in virtual and in real time.
func TestDeadlinesAndClose(t *testing.T) {
	body := func(t *testing.T) {
		n := simnet.New(simnet.Config{Link: simnet.LinkConfig{Delay: time.Millisecond}})
		defer n.Close()
		var pc net.PacketConn = n.Listen(netip.AddrPortFrom(hostA, 0))
		other := n.Listen(netip.AddrPortFrom(hostB, 0))
		if pc.LocalAddr().(*net.UDPAddr).Port == 0 {
			t.Fatal("port 0 was not replaced")
		}
		buf := make([]byte, 10)
		isTimeout := func(err error) bool {
			var ne net.Error
			return errors.Is(err, os.ErrDeadlineExceeded) && errors.As(err, &ne) && ne.Timeout()
		}

		start := time.Now()
		pc.SetDeadline(start.Add(20 * time.Millisecond))
		if _, _, err := pc.ReadFrom(buf); !isTimeout(err) || time.Since(start) < 20*time.Millisecond {
			t.Errorf("read before the deadline: %v after %v", err, time.Since(start))
		}
		if _, err := pc.WriteTo(buf, other.LocalAddr()); !isTimeout(err) {
			t.Errorf("write after the deadline: %v", err)
		}

		pc.SetDeadline(time.Time{})
		if _, err := pc.WriteTo([]byte("ping"), other.LocalAddr()); err != nil {
			t.Errorf("write after clearing the deadline: %v", err)
		}
		m, from, err := other.ReadFrom(buf)
		if err != nil || string(buf[:m]) != "ping" || from.String() != pc.LocalAddr().String() {
			t.Errorf("read %q from %v, error %v", buf[:m], from, err)
		}
		if _, err := other.WriteTo([]byte("pong"), from); err != nil {
			t.Error(err)
		}
		if m, _, err := pc.ReadFrom(buf); err != nil || string(buf[:m]) != "pong" {
			t.Errorf("read %q, error %v", buf[:m], err)
		}

		// A deadline set during a read takes effect, and so does Close.
		result := make(chan error, 1)
		read := func() { _, _, err := pc.ReadFrom(buf); result <- err }
		go read()
		pc.SetReadDeadline(time.Now())
		if err := <-result; !isTimeout(err) {
			t.Errorf("blocked read with a new deadline: %v", err)
		}
		pc.SetReadDeadline(time.Time{})
		go read()
		pc.Close()
		if err := <-result; !errors.Is(err, net.ErrClosed) {
			t.Errorf("blocked read of a closed socket: %v", err)
		}
		for what, err := range map[string]error{
			"close":    pc.Close(),
			"deadline": pc.SetDeadline(time.Time{}),
			"write":    func() error { _, err := pc.WriteTo(buf, other.LocalAddr()); return err }(),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s on a closed socket: %v", what, err)
			}
		}
		n.Listen(netip.AddrPortFrom(hostA, uint16(pc.LocalAddr().(*net.UDPAddr).Port))) // the port is free again

		go func() { _, _, err := other.ReadFrom(buf); result <- err }()
		n.Close()
		if err := <-result; !errors.Is(err, net.ErrClosed) {
			t.Errorf("blocked read on a closed network: %v", err)
		}
	}
	t.Run("virtual", func(t *testing.T) { synctest.Test(t, body) })
	t.Run("real", body)
}

func TestAddresses(t *testing.T) {
	n := simnet.New(simnet.Config{})
	defer n.Close()
	c := n.Listen(netip.AddrPortFrom(hostA, 1))
	mapped := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1} // 16 bytes, as net.ResolveUDPAddr gives it
	if _, err := c.WriteTo([]byte{1}, mapped); err != nil {
		t.Error(err)
	}
	if _, from, err := c.ReadFromUDPAddrPort(make([]byte, 1)); err != nil || from != c.AddrPort() {
		t.Errorf("read from %v, error %v", from, err)
	}
	for _, to := range []net.Addr{nil, &net.TCPAddr{}, &net.UDPAddr{}, &net.UDPAddr{IP: net.IPv6loopback, Port: 1}} {
		if _, err := c.WriteTo([]byte{1}, to); err == nil {
			t.Errorf("write to %v succeeded", to)
		}
	}
	for _, addr := range []string{"0.0.0.0:1", "10.0.0.1:1", "[ff02::1]:1"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("listen on %s succeeded", addr)
				}
			}()
			n.Listen(netip.MustParseAddrPort(addr))
		}()
	}
}

func BenchmarkDeliver(b *testing.B) {
	n := simnet.New(simnet.Config{})
	defer n.Close()
	from, to := n.Listen(netip.AddrPortFrom(hostA, 1)), n.Listen(netip.AddrPortFrom(hostB, 2))
	msg, buf := make([]byte, 1472), make([]byte, 1500)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		from.WriteToUDPAddrPort(msg, to.AddrPort())
		if _, _, err := to.ReadFromUDPAddrPort(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// What arrives within an interval comes at its end, in order or not, and is
// read in runs of one sender and size.
func TestBatching(t *testing.T) {
	for _, shuffle := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(simnet.Config{Seed: 3, Batching: simnet.Batching{
				Interval: 10 * time.Millisecond, Run: 8, Shuffle: shuffle,
			}})
			defer n.Close()
			a, b := n.Listen(netip.AddrPortFrom(hostA, 1)), n.Listen(netip.AddrPortFrom(hostA, 2))
			to := n.Listen(netip.AddrPortFrom(hostB, 3))
			time.Sleep(time.Millisecond)
			const packets = 100
			for i := range packets {
				from, size := a, 20
				if i%10 == 9 {
					from = b
				}
				if i%10 == 5 {
					size = 7
				}
				p := make([]byte, size)
				p[0] = byte(i)
				if _, err := from.WriteToUDPAddrPort(p, to.AddrPort()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Microsecond)
			}
			var order []int
			buf := make([]byte, 1000)
			start := time.Now()
			joined, reads := 0, 0
			for len(order) < packets {
				k, segment, from, err := to.ReadRun(buf)
				if err != nil {
					t.Fatal(err)
				}
				reads++
				for p := range slices.Chunk(buf[:k], segment) {
					i := int(p[0])
					order = append(order, i)
					if (from == b.AddrPort()) != (i%10 == 9) || (len(p) == 7) != (i%10 == 5) {
						t.Errorf("packet %d from %v has %d bytes", i, from, len(p))
					}
				}
				if k > segment {
					joined++
				}
			}
			if waited := time.Since(start); waited != 8*time.Millisecond {
				t.Errorf("the batch came after %v, want 8ms", waited)
			}
			if joined < 5 || reads < 20 {
				t.Errorf("%d of %d reads joined", joined, reads)
			}
			if slices.IsSorted(order) == shuffle {
				t.Errorf("shuffle %v: order %v", shuffle, order)
			}
			slices.Sort(order)
			for i, v := range order {
				if i != v {
					t.Fatalf("packet %d is missing", i)
				}
			}
		})
	}
}
