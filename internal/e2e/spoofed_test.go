//go:build linux

package e2e

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chunkget/chunkget/internal/netns"
)

const (
	// spoofedPackets are sent, each from an address of its own, spoofedBurst of them at a
	// time: as many as a socket's buffer holds.
	spoofedPackets = 200_000
	spoofedBurst   = 500

	// spoofedMemory is by how much the server may grow meanwhile, in MiB. State of a kilobyte
	// for each address would be more.
	spoofedMemory = 128
)

// dialFrom makes the dial of an http.Transport whose connections leave from the host.
func dialFrom(h *netns.Host) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, network, address string) (c net.Conn, err error) {
		err = h.Do(func() error {
			c, err = net.Dial(network, address)
			return err
		})
		return c, err
	}
}

// datagrams returns how many UDP datagrams have reached the host, and how many of them
// the programs have not got for lack of room.
func datagrams(t *testing.T, h *netns.Host) (reached, dropped int) {
	t.Helper()
	var b []byte
	if err := h.Do(func() (err error) {
		b, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if fields[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			n, _ := strconv.Atoi(fields[i])
			switch name {
			case "InDatagrams":
				reached += n
			case "RcvbufErrors":
				reached, dropped = reached+n, n
			}
		}
	}
	return reached, dropped
}

// spoofedRequest makes p an IPv4 packet with a UDT handshake for dst, from any address but
// those of the test. Every second has a cookie, which nobody has made.
func spoofedRequest(p []byte, rng *rand.Rand, n int, dst [4]byte, port uint16) []byte {
	src := [4]byte{byte(1 + rng.IntN(126)), byte(rng.Uint32()), byte(rng.Uint32()), byte(1 + rng.IntN(254))}
	request, cookie := int32(1), uint32(0)
	if n%2 == 1 {
		request, cookie = -1, rng.Uint32()
	}
	body := handshakePacket(request, rng.Uint32()>>1, rng.Uint32()>>2|1, cookie, n%4 < 2)
	p = append(p[:0], 0x45, 0)
	p = binary.BigEndian.AppendUint16(p, uint16(28+len(body)))
	p = append(p, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0) // the kernel fills in the checksum
	p = append(append(p, src[:]...), dst[:]...)
	p = binary.BigEndian.AppendUint16(p, uint16(1024+rng.IntN(60_000)))
	p = binary.BigEndian.AppendUint16(p, port)
	p = binary.BigEndian.AppendUint16(p, uint16(8+len(body)))
	p = append(p, 0, 0) // none
	return append(p, body...)
}

// TestSpoofedHandshakes: requests from addresses that never answer, as fast as the server
// takes them, leave nothing at it and do not keep others from downloading.
func TestSpoofedHandshakes(t *testing.T) {
	if raceEnabled {
		t.Skip("the programs are built without the race detector: it would see nothing")
	}
	attacker, victim := netns.Pair(t, 1500, false)
	// The way back to all addresses is the one that they seem to come on, so that no filter
	// of the kernel minds. There the answers end.
	victim.IP("route add default via 192.0.2.1")

	dir := t.TempDir()
	original := randomFile(t, dir, "normal", 24<<20)
	s := &server{t: t, dir: dir, launch: victim.Start, args: []string{"--state", t.TempDir(), "--status", "127.0.0.1:9001",
		"--log-level", "debug", "--memory", "128MiB"}}
	s.start("192.0.2.2:9000")
	t.Cleanup(s.kill)
	download := func() {
		out := t.TempDir()
		cmd := exec.CommandContext(t.Context(), program(t, "chunkget"), "--quiet", "-n", "4", "--transport", "udt", "-d", out, "udt://192.0.2.2:9000/normal")
		var said strings.Builder
		cmd.Stderr = &said
		if err := attacker.Start(cmd); err != nil {
			t.Error(err)
			return
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("a download: %v\n%s", err, &said)
			return
		}
		sameContent(t, original, filepath.Join(out, "normal"))
	}
	download()
	before := s.peakMemory()

	var raw int
	if err := attacker.Do(func() (err error) {
		raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(raw)
	flooded := make(chan error, 1)
	first, _ := datagrams(t, victim)
	go func() {
		burst := first
		rng := rand.New(rand.NewPCG(*hostileSeed, 5))
		to := &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 2}}
		var p []byte
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := range spoofedPackets {
			p = spoofedRequest(p, rng, n, to.Addr, 9000)
			if err := unix.Sendto(raw, p, 0, to); err != nil {
				flooded <- err
				return
			}
			if (n+1)%spoofedBurst > 0 {
				continue
			}
			was := burst
			for range 100 { // in which all has arrived that will
				if burst, _ = datagrams(t, victim); burst-was >= spoofedBurst {
					break
				}
				<-tick.C
			}
		}
		flooded <- nil
	}()
	downloads := 1
	for ended := false; !ended; downloads++ {
		select {
		case err := <-flooded:
			if err != nil {
				t.Fatal(err)
			}
			ended = true // once more, when all is over
		default:
		}
		download()
	}
	reached, dropped := datagrams(t, victim)
	if reached -= first; reached < spoofedPackets/2 || dropped > reached/2 {
		t.Errorf("%d datagrams have reached the server, which has missed %d", reached, dropped)
	}
	if grown := s.peakMemory() - before; grown > spoofedMemory {
		t.Errorf("the server has grown by %d MiB", grown)
	}
	web := &http.Client{Transport: &http.Transport{DialContext: dialFrom(victim), DisableKeepAlives: true}}
	readStatus := func() (status victimStatus) {
		resp, err := web.Get("http://127.0.0.1:9001/")
		if err != nil {
			t.Fatalf("the server is not well: %v", err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
			t.Fatal(err)
		}
		return status
	}
	for tick := time.Tick(20 * time.Millisecond); readStatus().Connections > 0; <-tick { // of the last download
		if t.Context().Err() != nil {
			t.Fatal("connections are left at the server")
		}
	}
	if status := readStatus(); status != (victimStatus{}) {
		t.Errorf("at the server: %+v", status)
	}
	after := s.peakMemory()
	s.kill() // so that the log does not change any more
	logged := strings.Count(s.log.String(), "\n")
	if logged > 100*downloads {
		t.Errorf("%d lines were logged, the last of them:\n%s", logged, s.log.String()[max(0, s.log.Len()-2000):])
	}
	t.Logf("%d datagrams, of which %d were missed, %d downloads beside them, %d MiB before and %d at most, %d lines of log",
		reached, dropped, downloads, before, after, logged)
}
