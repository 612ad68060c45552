//go:build libudt

package udt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/libudt"
	"github.com/chunkget/chunkget/internal/lossyrelay"
	"github.com/chunkget/chunkget/internal/simnet"
	"github.com/chunkget/chunkget/udt"
)

// TestInteropConnectClose is case 1: no data, and both sides see the end.
func TestInteropConnectClose(t *testing.T) {
	eachRole(t, func(t *testing.T, goServer bool) {
		t.Run("go closes", func(t *testing.T) {
			g, cpp := interop{goServer: goServer}.start(t).connect()
			if err := g.Close(); err != nil {
				t.Error(err)
			}
			expectEOF(t, cpp)
		})
		t.Run("c++ closes", func(t *testing.T) {
			g, cpp := interop{goServer: goServer}.start(t).connect()
			if err := cpp.Close(); err != nil {
				t.Error(err)
			}
			expectEOF(t, g)
		})
	})
}

func expectEOF(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d bytes, error %v, want the end", n, err)
	}
}

// TestInteropWrongISN is case 2: the C++ client insists on its own initial
// sequence number in the answer. That the true answer has it is what every
// other test shows.
func TestInteropWrongISN(t *testing.T) {
	m := interop{goServer: true, goFault: func(p wirePacket) (v simnet.Verdict) {
		if p.request() == -1 {
			p.set(hsISN, p.word(hsISN)^1)
		}
		return v
	}}.start(t)
	_, err := m.dialCpp()
	if e, ok := errors.AsType[*libudt.Error](err); !ok || e.Code != libudt.CodeSecurity {
		t.Errorf("dial with a wrong sequence number in the answer: %v", err)
	}
}

// TestInteropHandshakeLoss is cases 3, 4 and 9: each packet of the handshake
// is lost once and twice, and duplicated.
func TestInteropHandshakeLoss(t *testing.T) {
	for _, tt := range []struct {
		name     string
		fromDial bool // sent by the side that dials
		match    func(wirePacket) bool
	}{
		{"first request", true, isRequest(1)},
		{"cookie", false, isRequest(1)},
		{"second request", true, isRequest(-1)},
		{"answer", false, isRequest(-1)},
	} {
		for how, f := range map[string]func() fault{
			"lost once":  func() fault { return drop(0, 1, tt.match) },
			"lost twice": func() fault { return drop(0, 2, tt.match) },
			"three times": func() fault {
				return func(p wirePacket) (v simnet.Verdict) {
					if tt.match(p) {
						v.Duplicates = 2
					}
					return v
				}
			},
		} {
			t.Run(tt.name+" "+how, func(t *testing.T) {
				eachRole(t, func(t *testing.T, goServer bool) {
					x := interop{goServer: goServer}
					if tt.fromDial == goServer {
						x.cppFault = f()
					} else {
						x.goFault = f()
					}
					m := x.start(t)
					g, cpp := m.connect()
					// A repeated answer of the C++ side claims a window of 25600
					// packets, beyond its buffer.
					send(t, g, cpp, randomData(300<<10))
					send(t, cpp, g, randomData(300<<10))
					if ids := m.tap.of(!goServer).finalIDs; len(ids) != 1 {
						t.Errorf("the answers named the ids %v, want one", ids)
					}
					// No second connection came of the repetitions.
					if goServer {
						m.goL.Close()
						if c, err := m.goL.Accept(); !errors.Is(err, net.ErrClosed) {
							t.Errorf("second accept: %v, %v", c, err)
						}
					}
				})
			})
		}
	}
}

// TestInteropStaleCookie is case 5: a C++ listener forgets its cookies at the
// end of each of its minutes and then ignores the second request. Our side has
// to ask for a new cookie. That our listener accepts the cookie of the minute
// before is tested in virtual time.
func TestInteropStaleCookie(t *testing.T) {
	// Every cookie is stale, in all copies of the request, until another is asked for.
	stale, again := 0, false
	m := interop{goFault: func(p wirePacket) (v simnet.Verdict) {
		switch p.request() {
		case 1:
			again = again || stale > 0
		case -1:
			if !again {
				stale++
				p.set(hsCookie, p.word(hsCookie)^0x55)
			}
		}
		return v
	}}.start(t)
	g, cpp := m.connect()
	roundTrip(t, g, cpp)
	if asked := m.tap.handshakes(true); stale < 3 || slices.Index(asked[2:], 1) < 0 {
		t.Errorf("handshakes sent %v with %d stale cookies, want a second request for a cookie", asked, stale)
	}
}

// TestInteropReject is case 6: another version, another type of socket, a full
// backlog.
func TestInteropReject(t *testing.T) {
	rewrite := func(word int, v uint32) fault {
		return func(p wirePacket) simnet.Verdict {
			if p.is(wireHandshake) {
				p.set(word, v)
			}
			return simnet.Verdict{}
		}
	}
	for _, tt := range []struct {
		name  string
		fault fault
	}{
		{"version 9", rewrite(hsVersion, 9)},
		{"message socket", rewrite(1, 2)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachRole(t, func(t *testing.T, goServer bool) {
				x := interop{goServer: goServer, goFault: tt.fault}
				if goServer {
					x.cppFault, x.goFault = tt.fault, nil
				}
				m := x.start(t)
				if goServer {
					if _, err := m.dialCpp(); !isRejection(err) {
						t.Errorf("dial: %v", err)
					}
				} else if _, err := m.dialGo(); !isRejection(err) {
					t.Errorf("dial: %v", err)
				}
			})
		})
	}
	t.Run("backlog", func(t *testing.T) {
		eachRole(t, func(t *testing.T, goServer bool) {
			m := interop{goServer: goServer, goCfg: &udt.Config{Backlog: 2}, cppCfg: &libudt.Config{Backlog: 2, Linger: -1}}.start(t)
			for i := range 3 {
				var err error
				if goServer {
					_, err = m.dialCpp()
				} else {
					_, err = m.dialGo()
				}
				if i < 2 {
					if err != nil {
						t.Fatal(err)
					}
					continue
				}
				if !isRejection(err) {
					t.Errorf("dial with a full backlog: %v", err)
				}
			}
			if goServer {
				// Twice, because the second request of a rejected C++ client may
				// have a twin on the way, which takes a place.
				m.acceptGo()
				m.acceptGo()
				if _, err := m.dialCpp(); err != nil {
					t.Errorf("dial after an accept: %v", err)
				}
			}
		})
	})
}

func isRejection(err error) bool {
	e, ok := errors.AsType[*libudt.Error](err)
	return ok && e.Code == libudt.CodeRejected || errors.Is(err, udt.ErrRejected)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// TestInteropNobody is case 7. An attempt of the C++ library that times out
// leaves freed memory in use, so it runs in another process.
func TestInteropNobody(t *testing.T) {
	silent, err := udt.ListenEndpoint("udt4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	t.Run("c++ dials", func(t *testing.T) {
		const variable = "UDT_TEST_DIAL"
		if address := os.Getenv(variable); address != "" {
			_, err := libudt.Dial(address, nil)
			fmt.Println("result:", err)
			os.Exit(0)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], `-test.run=^TestInteropNobody$/^c\+\+_dials$`)
		cmd.Env = append(os.Environ(), variable+"="+silent.Addr().String())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "(1001)") {
			t.Errorf("error %v, output %s", err, out)
		}
	})
	t.Run("go dials", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := (&udt.Dialer{}).DialContext(ctx, "udt4", silent.Addr().String())
		if !isTimeout(err) {
			t.Errorf("dial: %v, want a timeout", err)
		}
	})
}

// TestInteropServerSpeaksFirst is case 11: what comes within about 1 ms after
// the answer is lost on a C++ client.
func TestInteropServerSpeaksFirst(t *testing.T) {
	for _, packets := range []int{1, 3, 100} {
		t.Run(fmt.Sprint(packets), func(t *testing.T) {
			m := interop{goServer: true}.start(t)
			data := randomData(packets * 1456)
			go func() {
				c, err := m.goL.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { c.Close() })
				c.Write(data)
			}()
			start := time.Now()
			cpp, err := m.dialCpp()
			if err != nil {
				t.Fatal(err)
			}
			cpp.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.ReadFull(cpp, make([]byte, len(data))); err != nil {
				t.Fatal(err)
			}
			t.Logf("delivered %v after dialling", time.Since(start))
		})
	}
}

// TestInteropIPv6 is case 14.
func TestInteropIPv6(t *testing.T) {
	eachRole(t, func(t *testing.T, goServer bool) {
		m := interop{goServer: goServer, v6: true}.start(t)
		g, cpp := m.connect()
		// The C++ library knows its own address from our handshake only.
		if ip := cpp.LocalAddr().(*net.UDPAddr).IP; !ip.Equal(net.IPv6loopback) {
			t.Errorf("the C++ side takes its own address for %v", ip)
		}
		send(t, g, cpp, randomData(1<<20))
		send(t, cpp, g, randomData(1<<20))
		for _, fromGo := range []bool{true, false} {
			if n := m.tap.of(fromGo).largestPacket; n+48 > 1500 {
				t.Errorf("packets of %d bytes do not fit into 1500 with their headers", n)
			}
		}
	})
}

// meet is a rendezvous of a Go and a C++ peer over a relay.
type meet struct {
	*mesh
	goEnd    *udt.Endpoint
	goTo     netip.AddrPort // where our side finds the other
	cppAt    string         // the C++ side's own address
	cppTo    string         // where it finds us
	goResult chan error
	g        *udt.Conn
}

func (x interop) meet(t *testing.T) *meet {
	t.Helper()
	m := &meet{mesh: &mesh{interop: x, t: t, tap: newTap(t)}, goResult: make(chan error, 1)}
	if m.cppCfg == nil {
		m.cppCfg = &libudt.Config{Linger: -1}
	}
	var err error
	if m.goEnd, err = udt.ListenEndpoint("udt4", "127.0.0.1:0", x.goCfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.goEnd.Close() })
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.cppAt = c.LocalAddr().String()
	c.Close() // the C++ library binds it again
	fromGo, fromCpp := m.links()
	// The C++ side is the relay's client, so that ours may be the server.
	m.relay, err = lossyrelay.Listen("udp", m.goEnd.Addr().String(), lossyrelay.Config{ToServer: fromCpp, ToClient: fromGo})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.relay.Close() })
	m.cppTo = m.relay.Addr().String()
	if m.goTo, err = m.relay.Upstream(netip.MustParseAddrPort(m.cppAt)); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *meet) startGo() {
	go func() {
		ctx, cancel := context.WithTimeout(m.t.Context(), patience)
		defer cancel()
		c, err := m.goEnd.Rendezvous(ctx, m.goTo)
		m.g = c
		m.goResult <- err
	}()
}

// finish runs the C++ side, waits for ours and checks the connection.
func (m *meet) finish() (*udt.Conn, *libudt.Conn) {
	m.t.Helper()
	cpp, err := libudt.Rendezvous(m.cppAt, m.cppTo, m.cppCfg)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { cpp.Close() })
	if err := <-m.goResult; err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { m.g.Close() })
	send(m.t, m.g, cpp, randomData(300<<10))
	send(m.t, cpp, m.g, randomData(300<<10))
	return m.g, cpp
}

// TestInteropRendezvous is case 13, but for the restart of a side, during which
// a C++ peer that is connected says nothing.
func TestInteropRendezvous(t *testing.T) {
	t.Run("together", func(t *testing.T) {
		m := interop{}.meet(t)
		m.startGo()
		m.finish()
	})
	t.Run("c++ first", func(t *testing.T) {
		var once sync.Once
		calling := make(chan struct{})
		m := interop{cppFault: func(p wirePacket) (v simnet.Verdict) {
			once.Do(func() { close(calling) })
			return v
		}}.meet(t)
		go func() {
			<-calling
			m.startGo()
		}()
		m.finish()
	})
	t.Run("go first", func(t *testing.T) {
		second := make(chan struct{})
		requests := 0
		m := interop{goFault: func(p wirePacket) (v simnet.Verdict) {
			if requests++; requests == 2 {
				close(second)
			}
			return v
		}}.meet(t)
		m.startGo()
		<-second
		m.finish()
	})
	for n := range 4 {
		t.Run(fmt.Sprintf("packet %d from go lost", n), func(t *testing.T) {
			m := interop{goFault: drop(n, 1, func(wirePacket) bool { return true })}.meet(t)
			m.startGo()
			m.finish()
		})
		t.Run(fmt.Sprintf("packet %d from c++ lost", n), func(t *testing.T) {
			m := interop{cppFault: drop(n, 1, func(wirePacket) bool { return true })}.meet(t)
			m.startGo()
			m.finish()
		})
	}
	for _, mss := range []struct{ goMSS, cppMSS int }{{1500, 1400}, {1400, 1500}} {
		t.Run(fmt.Sprintf("packet sizes %d and %d", mss.goMSS, mss.cppMSS), func(t *testing.T) {
			m := interop{
				goCfg:  &udt.Config{MSS: mss.goMSS},
				cppCfg: &libudt.Config{MSS: mss.cppMSS, Linger: -1},
			}.meet(t)
			m.startGo()
			m.finish()
			for _, fromGo := range []bool{true, false} {
				if n := m.tap.of(fromGo).largestPacket; n != 1400-28 {
					t.Errorf("packets of up to %d bytes (from go: %v), want %d", n, fromGo, 1400-28)
				}
			}
		})
	}
	t.Run("stray request of a client", func(t *testing.T) {
		// Our first handshakes reach the C++ side in their order, and its own
		// first one reaches us as a client's request.
		stray := true
		m := interop{cppFault: func(p wirePacket) (v simnet.Verdict) {
			if p.is(wireHandshake) && stray {
				stray = false
				p.set(hsRequest, 1)
			}
			return v
		}}.meet(t)
		m.startGo()
		m.finish()
	})
	t.Run("next to a listener", func(t *testing.T) {
		m := interop{}.meet(t)
		l, err := m.goEnd.Listen()
		if err != nil {
			t.Fatal(err)
		}
		client, err := libudt.Dial(m.goEnd.Addr().String(), m.cppCfg)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		m.startGo()
		m.finish()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, client, server)
	})
}
