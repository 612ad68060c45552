// Package simnet simulates a packet network for tests.
//
// A [Network] joins hosts, named by IP address, through links that delay,
// serialise, queue, lose, reorder, duplicate and corrupt datagrams. Its sockets
// ([Conn]) are net.PacketConns whose addresses are *net.UDPAddr, so a transport
// that runs on a UDP socket runs on simnet unchanged. There is no system call:
// inside a testing/synctest bubble all of it happens in virtual time, and a
// simulated minute costs only the packets in it. Outside a bubble the same
// network runs in real time.
//
//	n := simnet.New(simnet.Config{Seed: simnet.SeedFromTest(t)})
//	t.Cleanup(func() { n.Close() })
//	a := n.Listen(netip.MustParseAddrPort("10.0.0.1:9000"))
//	b := n.Listen(netip.MustParseAddrPort("10.0.0.2:0"))
//	n.SetLinks(a.AddrPort().Addr(), b.AddrPort().Addr(), simnet.LinkConfig{
//		Delay: 20 * time.Millisecond, Rate: 10e6, Queue: 64 << 10, Loss: 0.01,
//	})
//
// # Sizes
//
// A datagram occupies its payload plus 28 bytes (IPv4 and UDP headers) or 48
// bytes (IPv6) on a link. Rate, Queue, MTU and the byte counters measure that
// size.
//
// # Order of events on a link
//
// Filter, MTU, queue, serialisation at Rate, loss (random, then burst),
// corruption, propagation (Delay, Jitter, Reorder), duplication. A lost packet
// therefore has used its share of the rate.
//
// # Determinism
//
// Each direction of each link draws from a generator of its own, seeded with
// Config.Seed and the two addresses. The same packets sent at the same times
// meet the same fate in every run, whatever happens on other links; what is
// left to the scheduler is the order in which goroutines send at one instant.
//
// # Ownership
//
// Network.mu guards all state of the network, its links and its sockets. It is
// never held across a wait. One goroutine per network, started by New and
// awaited by Close, moves packets from the schedule to the sockets.
package simnet
