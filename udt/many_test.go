package udt_test

import (
	"flag"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chunkget/chunkget/udt"
)

// alone says that nothing else keeps the processors busy, as the tests of other
// packages do: -args -alone. How they are shared can be judged then.
var alone = flag.Bool("alone", false, "hold TestManyConnections to even shares between hosts")

// A thousand connections are open to one server, and a hundred of them
// download: from ten hosts, as far as the server can tell. None fails, all of them
// get about the same, and what they need stays small.
func TestManyConnections(t *testing.T) {
	const (
		hosts, perHost = 10, 100
		busyPerHost    = 10
		memory         = 3 << 29 // bytes, both ends
	)
	// What all downloads have together before it counts, and at the end, in bytes.
	warm, total := int64(1<<30), int64(4<<30)
	if udt.RaceEnabled {
		warm, total = 64<<20, 256<<20
	}
	ln, err := udt.Listen("udt", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var server, clients sync.WaitGroup
	server.Go(func() {
		chunk := make([]byte, 1<<16)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			server.Go(func() {
				defer c.Close()
				if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
					return // it was only open
				}
				for {
					if _, err := c.Write(chunk); err != nil {
						return
					}
				}
			})
		}
	})
	var endpoints []*udt.Endpoint
	var conns []net.Conn
	for range hosts {
		e, err := udt.ListenEndpoint("udt", "127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		endpoints = append(endpoints, e)
		for range perHost {
			c, err := e.DialContext(t.Context(), "udt", ln.Addr().String())
			if err != nil {
				t.Fatalf("connection %d: %v", len(conns), err)
			}
			conns = append(conns, c)
		}
	}
	var got [hosts * busyPerHost]int64 // each written by one goroutine
	var sum atomic.Int64
	for i := range got {
		c := conns[i/busyPerHost*perHost+i%busyPerHost]
		clients.Go(func() {
			if _, err := c.Write([]byte{1}); err != nil {
				t.Error(err)
				return
			}
			b := make([]byte, 1<<16)
			for sum.Load() < total {
				n, err := c.Read(b)
				if err != nil {
					t.Errorf("download %d: %v", i, err)
					return
				}
				if sum.Add(int64(n)) > warm {
					got[i] += int64(n)
				}
			}
		})
	}
	clients.Wait()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)

	for h := range hosts {
		own := got[h*busyPerHost : (h+1)*busyPerHost]
		sum := int64(0)
		for _, n := range own {
			sum += n
		}
		t.Logf("host %d: %d MiB, Jain index %.3f", h, sum>>20, jain(own))
		if jain(own) < 0.9 {
			t.Errorf("host %d: the downloads got %d", h, own)
		}
	}
	t.Logf("Jain index over all hosts %.3f, %d MiB of memory", jain(got[:]), m.Sys>>20)
	if jain(got[:]) < 0.9 && *alone {
		t.Errorf("over all hosts the Jain index is %.3f", jain(got[:]))
	}
	if m.Sys > memory && !udt.RaceEnabled { // whose own memory counts as well
		t.Errorf("%d MiB of memory", m.Sys>>20)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	for _, e := range endpoints {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	server.Wait()
}

// jain returns the index of fairness: 1 if all are equal, 1/n if one has all.
func jain(shares []int64) float64 {
	sum, squares := 0.0, 0.0
	for _, n := range shares {
		sum += float64(n)
		squares += float64(n) * float64(n)
	}
	return sum * sum / (float64(len(shares)) * squares)
}
