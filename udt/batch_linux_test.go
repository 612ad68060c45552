package udt

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kernelEndpoint makes an endpoint of a UDP socket that prepare may change.
func kernelEndpoint(t *testing.T, network, address string, cfg *Config, prepare func(fd int) error) *Endpoint {
	t.Helper()
	pc, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEndpoint(pc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		if err := control(e.sock.kernel, prepare); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// transfer moves data from a to b, at an address of host, and back.
func transfer(t *testing.T, a, b *Endpoint, host string, size int) {
	t.Helper()
	l, err := b.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to := netip.AddrPortFrom(netip.MustParseAddr(host), b.sock.local.Port())
	c, err := a.DialContext(t.Context(), "udt", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	data := randomBytes(size, 1)
	echoed := make(chan error, 1)
	go func() {
		_, err := io.CopyN(s, s, int64(size))
		echoed <- err
	}()
	go c.Write(data)
	got := make([]byte, size)
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("what came back differs: %v", err)
	}
	if err := <-echoed; err != nil {
		t.Error(err)
	}
}

// Every way of moving datagrams works on every kind of socket.
func TestOffloads(t *testing.T) {
	for _, mode := range []struct {
		name string
		mode Offload
	}{{"full", OffloadFull}, {"batch", OffloadBatch}, {"off", OffloadOff}} {
		for _, tt := range []struct{ name, network, address, host string }{
			{"IPv4", "udp4", "127.0.0.1:0", "127.0.0.1"},
			{"IPv6", "udp6", "[::1]:0", "::1"},
			{"dual stack over IPv4", "udp", ":0", "127.0.0.2"},
			{"dual stack over IPv6", "udp", ":0", "::1"},
			{"all of IPv4", "udp4", "0.0.0.0:0", "127.0.0.3"},
			{"all of IPv6", "udp6", "[::]:0", "::1"},
		} {
			for _, mss := range []int{0, 1500, 9000, 65535} {
				t.Run(mode.name+"/"+tt.name, func(t *testing.T) {
					cfg := &Config{Offload: mode.mode, MSS: mss}
					a := kernelEndpoint(t, tt.network, tt.address, cfg, nil)
					b := kernelEndpoint(t, tt.network, tt.address, cfg, nil)
					transfer(t, a, b, tt.host, 500_000)
					for _, e := range []*Endpoint{a, b} {
						want := EndpointStats{Segmentation: mode.mode == OffloadFull, Coalescing: mode.mode == OffloadFull}
						if got := e.Stats(); got != want {
							t.Errorf("%+v, want %+v", got, want)
						}
					}
				})
			}
		}
	}
}

// A socket without checksums refuses segmentation, as devices without checksum
// offload did: nothing is lost by it, and it is tried once per connection.
func TestSegmentationRefused(t *testing.T) {
	var log bytes.Buffer
	cfg := &Config{Offload: OffloadFull, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	noChecksum := func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) }
	a := kernelEndpoint(t, "udp4", "127.0.0.1:0", cfg, noChecksum)
	b := kernelEndpoint(t, "udp4", "127.0.0.1:0", nil, nil)
	const connections = 3
	for range connections {
		transfer(t, a, b, "127.0.0.1", 500_000)
	}
	if s := a.Stats(); s.SegmentationRefused != connections || s.WriteErrors != 0 {
		t.Errorf("%+v in %d connections", s, connections)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines logged:\n%s", n, &log)
	}
}

// openSocket opens a socket on loopback, which ends with the test.
func openSocket(t *testing.T, o Offload) *socket {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSocket(pc, &Config{Offload: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

// A burst crosses loopback as few runs, whole and in order, and costs no
// allocation.
func TestBurst(t *testing.T) {
	from, to := openSocket(t, OffloadFull), openSocket(t, OffloadFull)
	way := from.route(to.local, netip.Addr{})
	// The slots of a send buffer: neighbours, but for a hole.
	slots := randomBytes(100*1472, 2)
	var packets [][]byte
	for i := range 100 {
		if i != 70 {
			packets = append(packets, slots[i*1472:(i+1)*1472])
		}
	}
	packets[98] = packets[98][:100]
	var sent []byte
	for _, p := range packets {
		sent = append(sent, p...)
	}
	var in slabReader
	defer in.drop()
	var got []byte
	batch := make([]inbound, 0, plainMessages)
	runs := 0
	exchange := func() {
		if err := from.send(packets, way); err != nil {
			t.Fatal(err)
		}
		got, runs = got[:0], 0
		for len(got) < len(sent) {
			var err error
			if batch, err = to.recv(&in, batch[:0]); err != nil {
				t.Fatal(err)
			}
			for _, r := range batch {
				if r.segment != 1472 || r.from != from.local {
					t.Fatalf("a run of packets of %d bytes from %v", r.segment, r.from)
				}
				got = append(got, r.data...)
				runs++
			}
		}
		if !bytes.Equal(got, sent) {
			t.Fatal("what came differs")
		}
	}
	exchange()
	if runs != 3 {
		t.Errorf("%d runs, want 3", runs)
	}
	if !raceEnabled {
		// What connections of earlier tests allocate while they end counts as well, but not
		// each time.
		n := testing.AllocsPerRun(100, exchange)
		for try := 0; try < 20 && n != 0; try++ {
			n = min(n, testing.AllocsPerRun(100, exchange))
		}
		if n != 0 {
			t.Errorf("%v allocations per burst", n)
		}
	}
}

// sendOne sends a datagram on its own, which may be empty.
func sendOne(t *testing.T, s *socket, p []byte, to netip.AddrPort) {
	t.Helper()
	if err := control(s.kernel, func(fd int) error {
		return unix.Sendto(fd, p, 0, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	}); err != nil {
		t.Fatal(err)
	}
}

// A socket whose datagrams may come joined has space for few in a call. Those that
// came one by one are a batch nevertheless, as far as there are some.
func TestSingleDatagramsInOneBatch(t *testing.T) {
	from := openSocket(t, OffloadFull)
	const size = 1000
	sent := randomBytes(40*size, 3)
	var in slabReader
	defer in.drop()
	var got []byte
	// A busy machine may hand on some of them later.
	for try := 0; len(got) != len(sent) && try < 20; try++ {
		to := openSocket(t, OffloadFull)
		for p := range slices.Chunk(sent, size) {
			sendOne(t, from, p, to.local)
		}
		batch, err := to.recv(&in, nil)
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, r := range batch {
			got = append(got, r.data...)
		}
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("a batch of %d bytes, or others, want all %d", len(got), len(sent))
	}
}

// Without the kernel's help, packets of one peer are joined on arrival, and
// those of another end the run.
func TestJoining(t *testing.T) {
	a, b, to := openSocket(t, OffloadBatch), openSocket(t, OffloadBatch), openSocket(t, OffloadBatch)
	start := time.Now()
	probe := make([]byte, 40)
	putDataHeader(probe, 160, 1, 5)
	type run struct {
		from         *socket
		segment, len int
	}
	send := func() {
		for _, p := range []struct {
			from *socket
			size int
		}{{a, 1472}, {a, 1472}, {a, 100}, {a, 1472}, {b, 1472}, {b, 40}, {a, 40}, {a, 40}, {a, 41}, {a, 0}, {a, 41}} {
			datagram := bytes.Repeat([]byte{byte(p.size)}, p.size)
			sendOne(t, p.from, datagram, to.local)
		}
		for range 3 { // all of them the first half of a probe pair
			sendOne(t, a, probe, to.local)
		}
	}
	want := []run{{a, 1472, 3044}, {a, 1472, 1472}, {b, 1472, 1512}, {a, 40, 80}, {a, 41, 41}, {a, 1, 0}, {a, 41, 41},
		{a, 40, 40}, {a, 40, 40}, {a, 40, 40}}
	// Datagrams far apart in time are not joined, and the machine may be busy.
	var in slabReader
	defer in.drop()
	var batch []inbound
	for try := 0; len(batch) != len(want) && try < 20; try++ {
		send()
		var err error
		if batch, err = to.recv(&in, batch[:0]); err != nil {
			t.Fatal(err)
		}
	}
	if len(batch) != len(want) {
		t.Fatalf("%d runs, want %d", len(batch), len(want))
	}
	for i, r := range batch {
		if w := want[i]; r.from != w.from.local || r.segment != w.segment || len(r.data) != w.len {
			t.Errorf("run %d: %d bytes in packets of %d from %v, want %d in %d from %v", i, len(r.data), r.segment, r.from, w.len, w.segment, w.from.local)
		}
		if stamp := time.Unix(0, r.stamp); stamp.Before(start) || stamp.After(time.Now()) {
			t.Errorf("run %d: came at %v, sent after %v", i, stamp, start)
		}
		// No two datagrams come at the same nanosecond.
		if several := len(r.data) > r.segment; several != (r.spread > 0) || r.spread > maxRunTime {
			t.Errorf("run %d of %d bytes: the last came %v after the first", i, len(r.data), r.spread)
		}
		if bytes.Equal(r.data, probe) {
			continue
		}
		for j, v := range r.data {
			size := r.segment
			if j >= len(r.data)/size*size {
				size = len(r.data) % size
			}
			if v != byte(size) {
				t.Fatalf("run %d: the wrong bytes at %d", i, j)
			}
		}
	}
}

// Before the read goroutine waits for datagrams, or for slabs, it says so, and not
// while there are some.
func TestReaderSaysThatItWaits(t *testing.T) {
	from, to := openSocket(t, OffloadFull), openSocket(t, OffloadFull)
	in := newSlabReader(0)
	defer in.drop()
	waits := make(chan struct{}, 10)
	in.waits = func() { waits <- struct{}{} }
	read := make(chan error, 1)
	recv := func() {
		_, err := to.recv(in, nil)
		read <- err
	}
	go recv()
	<-waits
	sendOne(t, from, make([]byte, 100), to.local)
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	for len(waits) > 0 {
		<-waits // woken for nothing
	}
	sendOne(t, from, make([]byte, 100), to.local)
	if recv(); len(waits) > 0 || len(read) != 1 {
		t.Errorf("said %d times that it waits, with a datagram there", len(waits))
	}

	in.taken.Add(in.limit)
	go func() {
		in.await()
		read <- nil
	}()
	<-waits
	in.taken.Add(-in.limit)
	poke(in.freed)
	<-read
}

// What comes to a connected socket is from its peer, which the kernel need not say, and
// the name is the one that others have for it.
func TestPeerOfConnectedSocket(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		host := map[string]string{"udp4": "127.0.0.1:0", "udp6": "[::1]:0"}[network]
		first, err := net.ListenPacket(network, host)
		if err != nil {
			t.Logf("%s: %v", network, err)
			continue
		}
		defer first.Close()
		conn, err := net.Dial(network, first.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		to, err := newSocket(conn.(*net.UDPConn), &Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer to.close()
		open, err := newSocket(first, &Config{})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name     string
			from, to *socket
			named    bool
		}{
			{"to the connected one", open, to, false},
			{"from it", to, open, true},
		} {
			if err := tt.from.send([][]byte{make([]byte, 100)}, tt.from.route(tt.to.local, netip.Addr{})); err != nil {
				t.Fatal(err)
			}
			var in slabReader
			batch, err := tt.to.recv(&in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(batch) != 1 || len(batch[0].data) != 100 || batch[0].from != tt.from.local {
				t.Errorf("%s, %s: %+v, want 100 bytes from %v", network, tt.name, batch, tt.from.local)
			}
			if named := tt.to.batches.in.hdrs[0].Hdr.Namelen > 0; named != tt.named {
				t.Errorf("%s, %s: the kernel is asked for the name: %v", network, tt.name, named)
			}
			in.drop()
		}
	}
}
