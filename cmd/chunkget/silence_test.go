package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/handover"
	"github.com/chunkget/chunkget/internal/simnet"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
)

// A twoWay is a server of one file over UDT, on a simulated network, and over TCP at the
// same port, in virtual time.
type twoWay struct {
	net            *simnet.Network
	client, server netip.Addr
	file           []byte
	silent         atomic.Bool  // over TCP: connections are not made
	dialled        atomic.Int64 // over TCP
	first          atomic.Int64 // Unix nanoseconds of the first request over TCP since the last outage began
	left           atomic.Int64 // Unix nanoseconds of when UDT was left
	stranger       atomic.Bool  // over TCP: nothing says that it is the same server
	elsewhere      atomic.Bool  // over TCP: what is there has UDT at another port
	asked          atomic.Int64 // requests over TCP
	confided       atomic.Int64 // of these, with a token

	rt *transports
	u  *url.URL
}

// A pacedConn takes a second for so many bytes as pacedRate says.
type pacedConn struct{ net.Conn }

const pacedRate = 250_000

func (c pacedConn) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Second / pacedRate)
	return c.Conn.Write(p)
}

// inTwoWays runs f in a bubble, with a server at a URL of the scheme. An http:// server
// offers UDT.
func inTwoWays(t *testing.T, scheme string, link simnet.LinkConfig, size int, f func(t *testing.T, w *twoWay)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Config{Seed: simnet.FixedSeed(t), Link: link, Batching: simnet.Batching{Interval: time.Millisecond}})
		w := &twoWay{net: n, client: netip.MustParseAddr("10.0.0.1"), server: netip.MustParseAddr("10.0.0.2"), file: make([]byte, size)}
		rand.NewChaCha8([32]byte{1}).Read(w.file)
		at := netip.AddrPortFrom(w.server, 9000)
		w.u = &url.URL{Scheme: scheme, Host: at.String(), Path: "/file.bin"}
		serverEnd, err := udt.NewEndpoint(n.Listen(at), &udt.Config{Linger: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		overUDT, err := serverEnd.Listen()
		if err != nil {
			t.Fatal(err)
		}
		clientEnd, err := udt.NewEndpoint(n.Listen(netip.AddrPortFrom(w.client, 0)), &udt.Config{Linger: -1})
		if err != nil {
			t.Fatal(err)
		}
		overTCP := handover.Listen(new(net.TCPAddr))
		serve := func(tcp bool) *http.Server {
			return &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if tcp {
					w.first.CompareAndSwap(0, time.Now().UnixNano())
					w.asked.Add(1)
					if r.Header.Get("Authorization") != "" {
						w.confided.Add(1)
					}
					switch {
					case w.elsewhere.Load():
						rw.Header().Set("Alt-Svc", `udt=":9001"`)
					case !w.stranger.Load():
						rw.Header().Set("Alt-Svc", `udt=":9000"`)
					}
				}
				rw.Header().Set("Etag", `"1"`)
				http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(w.file))
			})}
		}
		udtServer, tcpServer := serve(false), serve(true)
		var serving sync.WaitGroup
		serving.Go(func() { udtServer.Serve(overUDT) })
		serving.Go(func() { tcpServer.Serve(overTCP) })

		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			w.dialled.Add(1)
			for first := true; first || w.silent.Load(); first = false { // SYN again and again
				select {
				case <-time.After(2*link.Delay + 10*time.Millisecond):
				case <-ctx.Done():
					return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
				}
			}
			ours, theirs := net.Pipe()
			if err := overTCP.Hand(ctx, pacedConn{theirs}); err != nil {
				return nil, &net.OpError{Op: "dial", Err: err}
			}
			return ours, nil
		}
		dialer := udt.Dialer{Endpoint: clientEnd, EarlyData: true}
		w.rt = &transports{
			trust: new(trust), dialTimeout: 10 * time.Second, dial: dial,
			udt: udtpool.New(udtpool.Config{Connections: 9, Dial: dialer.DialContext}),
			tcp: &http.Transport{DialContext: dial, MaxConnsPerHost: 9, MaxIdleConnsPerHost: 9, DisableCompression: true},
		}
		rtt := func(*contest) time.Duration { return 2 * link.Delay }
		w.rt.route = newRoutes(transportAuto, w.rt.udt, w.rt.reach, rtt, w.rt.trust, new(pathMemory), func(f string, a ...any) {
			t.Logf("note: "+f, a...)
			if strings.Contains(f, "going on over that") {
				w.left.Store(time.Now().UnixNano())
			}
		})
		f(t, w)
		w.rt.Close()
		// Server.Close closes connections under a lock that their goroutines want too, and
		// time would stand still while one of them waits for a client that is gone.
		time.Sleep(time.Minute)
		udtServer.Close()
		tcpServer.Close()
		serving.Wait()
		time.Sleep(time.Second)
		if err := errors.Join(clientEnd.Close(), serverEnd.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
}

// get downloads the file.
func (w *twoWay) get(t *testing.T) *fetch.Result {
	t.Helper()
	var out bytes.Buffer
	res, err := fetch.Get(t.Context(), fetch.Options{
		URL: w.u, Transport: w.rt, Connections: 8, Ramp: true, Writer: &out, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), w.file) {
		t.Error("the file is another one")
	}
	return res
}

// TestSilence: where UDP gets through no more in the middle of a download, it goes on
// over TCP in less than 10 s. Where it does, nothing moves, however bad the path is.
func TestSilence(t *testing.T) {
	const most = 10 * time.Second
	short := simnet.LinkConfig{Delay: 10 * time.Millisecond, Rate: 20e6, Queue: 1 << 18}
	satellite := simnet.LinkConfig{Delay: 300 * time.Millisecond, Rate: 20e6, Queue: 1 << 20, Loss: 0.03}
	gone := simnet.LinkConfig{Loss: 1}
	for _, tt := range []struct {
		name   string
		scheme string
		link   simnet.LinkConfig
		outage func(w *twoWay, since time.Duration) bool // of UDP
		size   int                                       // MiB, 24 if it is 0
		moves  bool
	}{
		{"blocked", "udt", short, func(w *twoWay, since time.Duration) bool { return since > 3*time.Second }, 0, true},
		{"blocked in a contest", "udt", short, func(w *twoWay, since time.Duration) bool { return since > 3*time.Second }, leastCompared >> 20, true},
		{"blocked after an upgrade", "http", short, func(w *twoWay, since time.Duration) bool { return since > 3*time.Second }, 0, true},
		{"blocked over a satellite", "udt", satellite, func(w *twoWay, since time.Duration) bool { return since > 9*time.Second }, 0, true},
		{"outages of a satellite", "udt", satellite, func(w *twoWay, since time.Duration) bool {
			return since > 5*time.Second && since%(7*time.Second) < 2*time.Second
		}, 0, false},
		{"no network for some time", "udt", short, func(w *twoWay, since time.Duration) bool {
			out := since > 3*time.Second && since < 12*time.Second
			w.silent.Store(out)
			return out
		}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inTwoWays(t, tt.scheme, tt.link, cmp.Or(tt.size, 24)<<20, func(t *testing.T, w *twoWay) {
				ctx, cancel := context.WithCancel(t.Context())
				var weather sync.WaitGroup
				begun := time.Now()
				var cutAt atomic.Int64
				weather.Go(func() {
					out := false
					for step := time.NewTicker(50 * time.Millisecond); ; {
						select {
						case now := <-step.C:
							if is := tt.outage(w, now.Sub(begun)); is != out {
								if out = is; out {
									cutAt.Store(now.UnixNano())
									w.first.Store(0)
									w.net.SetLinks(w.client, w.server, gone)
								} else {
									w.net.SetLinks(w.client, w.server, tt.link)
								}
							}
						case <-ctx.Done():
							step.Stop()
							return
						}
					}
				})
				res := w.get(t)
				cancel()
				weather.Wait()
				t.Logf("%v, %d retries, %d connections over TCP", time.Since(begun), res.Retries, w.dialled.Load())
				scheme, why := w.rt.route.carried(w.u)
				t.Logf("over %s: %s", scheme, why)
				if moved := w.left.Load() != 0; moved != tt.moves {
					t.Fatalf("moved to TCP: %v, want %v", moved, tt.moves)
				}
				if l := w.rt.route.course(w.u).lesson; l.noUDP != tt.moves || l.slowUDT {
					t.Errorf("learnt %+v", l)
				}
				if took := time.Duration(max(w.first.Load(), w.left.Load()) - cutAt.Load()); tt.moves {
					t.Logf("moved after %v", took)
					if took > most {
						t.Errorf("it took %v to move to TCP, want less than %v", took, most)
					}
				}
			})
		})
	}
}
