//go:build linux

package e2e

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// A forgingRelay is the way between a client and a server. Beside what they send, the
// client gets forged packets: from the address of the server such as do not have the
// check value of the connection, and all kinds from another one.
type forgingRelay struct {
	sock, stranger *net.UDPConn
	server         *net.UDPAddr
	forged         atomic.Int64
}

// forgedEach is how many forged packets go with each that the server sends.
const forgedEach = 2

func startForgingRelay(t *testing.T, server string) *forgingRelay {
	t.Helper()
	r := new(forgingRelay)
	var err error
	if r.server, err = net.ResolveUDPAddr("udp", server); err != nil {
		t.Fatal(err)
	}
	for _, sock := range []**net.UDPConn{&r.sock, &r.stranger} {
		if *sock, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	var running sync.WaitGroup
	running.Go(r.run)
	t.Cleanup(func() {
		r.sock.Close()
		running.Wait()
		r.stranger.Close()
	})
	return r
}

// run carries packets until the socket is closed. Errors of writing are about earlier
// packets, by ICMP.
func (r *forgingRelay) run() {
	f := forger{Rand: rand.New(rand.NewPCG(*hostileSeed, 4))}
	var client *net.UDPAddr
	b := make([]byte, 1<<16)
	for {
		n, from, err := r.sock.ReadFromUDP(b)
		if err != nil {
			return
		}
		if from.Port != r.server.Port {
			client = from
			r.sock.WriteToUDP(b[:n], r.server)
			continue
		}
		r.sock.WriteToUDP(b[:n], client)
		if n < 16 {
			continue
		}
		packet := append([]byte(nil), b[:n]...)
		if len(f.corpus) < 500 {
			f.corpus = append(f.corpus, packet)
		} else {
			f.corpus[f.IntN(len(f.corpus))] = packet
		}
		id := binary.BigEndian.Uint32(b[12:])
		for range forgedEach {
			p := f.forge(id)
			r.stranger.WriteToUDP(p, client)
			if len(p) >= 16 {
				sign(p)
				p[8+f.IntN(4)] ^= byte(1 + f.IntN(255))
			}
			r.sock.WriteToUDP(p, client)
			r.forged.Add(2)
		}
	}
}

// TestForgedPacketsToClient: whoever can send packets to a client that downloads, even
// from the address of its server, neither ends the download nor changes the file nor
// makes the client hold more.
func TestForgedPacketsToClient(t *testing.T) {
	if raceEnabled {
		t.Skip("the programs are built without the race detector: it would see nothing")
	}
	dir, out := t.TempDir(), t.TempDir()
	original := randomFile(t, dir, "normal", 24<<20)
	s := serveDir(t, dir)
	r := startForgingRelay(t, s.addr)
	c := get(t, out, "-n", "4", "--transport", "udt", "udt://"+r.sock.LocalAddr().String()+"/normal")
	if d := c.done(); !d.Verified || d.PiecesBad != 0 {
		t.Errorf("done event: %+v", d)
	}
	sameContent(t, original, filepath.Join(out, "normal"))
	if r.forged.Load() < 1000 {
		t.Errorf("%d packets were forged", r.forged.Load())
	}
	const memory = 200 // MiB
	peak := c.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
	if peak > memory {
		t.Errorf("chunkget needed %d MiB", peak)
	}
	t.Logf("%d forged packets, %d MiB at most", r.forged.Load(), peak)
}
