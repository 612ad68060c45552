package lossyrelay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/chunkget/chunkget/internal/simnet"
)

// Config says how the relay treats packets. The zero value relays everything
// at once.
type Config struct {
	Seed     uint64
	ToServer simnet.LinkConfig
	ToClient simnet.LinkConfig
}

const (
	// socketBuffer is the size in bytes asked for each kernel buffer, which
	// has to hold what arrives while the relay does not run.
	socketBuffer = 4 << 20

	// relayBuffer bounds the bytes inside the relay per session and direction.
	relayBuffer = 64 << 20

	maxDatagram = 64 << 10
)

// The two hosts between which the simulated link lies.
var (
	clientHost = netip.MustParseAddr("10.0.0.1")
	serverHost = netip.MustParseAddr("10.0.0.2")
)

// Relay forwards datagrams between clients and one server.
type Relay struct {
	front   *net.UDPConn
	server  *net.UDPAddr
	network *simnet.Network
	wg      sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	sessions map[netip.AddrPort]*session
}

// session is the path of one client.
type session struct {
	client   netip.AddrPort
	upstream *net.UDPConn
	atClient *simnet.Conn // where the client's packets enter the link
	atServer *simnet.Conn // where the server's packets enter the link
}

// Listen starts a relay to the server at the given address, on a free loopback
// port of the same address family. The network is udp, udp4 or udp6.
func Listen(network, server string, cfg Config) (*Relay, error) {
	addr, err := net.ResolveUDPAddr(network, server)
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", server, err)
	}
	loopback := net.IPv4(127, 0, 0, 1)
	if addr.IP.To4() == nil {
		loopback = net.IPv6loopback
	}
	front, err := net.ListenUDP(network, &net.UDPAddr{IP: loopback})
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", server, err)
	}
	growBuffers(front)
	r := &Relay{
		front:    front,
		server:   addr,
		network:  simnet.New(simnet.Config{Seed: cfg.Seed, ReceiveBuffer: relayBuffer}),
		sessions: make(map[netip.AddrPort]*session),
	}
	r.SetLinks(cfg.ToServer, cfg.ToClient)
	r.wg.Go(r.readFront)
	return r, nil
}

// Addr returns the address that clients send to, a *net.UDPAddr.
func (r *Relay) Addr() net.Addr { return r.front.LocalAddr() }

// Upstream returns the address from which the server receives the packets of
// the given client. Peers that call each other, as in a rendezvous, need it in
// advance.
func (r *Relay) Upstream(client netip.AddrPort) (netip.AddrPort, error) {
	s, err := r.session(client)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return s.upstream.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}

// SetLinks changes the treatment of the packets sent from now on.
func (r *Relay) SetLinks(toServer, toClient simnet.LinkConfig) {
	r.network.SetLink(clientHost, serverHost, toServer)
	r.network.SetLink(serverHost, clientHost, toClient)
}

// Counters returns what has happened so far in each direction. A packet
// counts as Delivered when it reaches the socket that forwards it.
func (r *Relay) Counters() (toServer, toClient simnet.Counters) {
	return r.network.Counters(clientHost, serverHost), r.network.Counters(serverHost, clientHost)
}

// Close closes all sockets and waits for the relay's goroutines. Packets
// inside the relay are lost.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.closed = true
	err := r.front.Close()
	for _, s := range r.sessions {
		s.upstream.Close()
	}
	r.mu.Unlock()
	r.network.Close()
	r.wg.Wait()
	return err
}

// session returns the session of a client and starts it if it is new.
func (r *Relay) session(client netip.AddrPort) (*session, error) {
	client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sessions[client]; s != nil {
		return s, nil
	}
	if r.closed {
		return nil, net.ErrClosed
	}
	// Not connected: a connected socket would report the ICMP errors of a
	// server that is not there.
	upstream, err := net.ListenUDP("udp", &net.UDPAddr{IP: r.front.LocalAddr().(*net.UDPAddr).IP})
	if err != nil {
		return nil, fmt.Errorf("relay for client %s: %w", client, err)
	}
	growBuffers(upstream)
	s := &session{
		client:   client,
		upstream: upstream,
		atClient: r.network.Listen(netip.AddrPortFrom(clientHost, 0)),
		atServer: r.network.Listen(netip.AddrPortFrom(serverHost, 0)),
	}
	r.sessions[client] = s
	server := r.server.AddrPort()
	server = netip.AddrPortFrom(server.Addr().Unmap(), server.Port())
	r.wg.Go(func() { forward(s.upstream, server, s.atServer, s.atClient.AddrPort()) })
	r.wg.Go(func() { emit(s.atServer, s.upstream, server) })
	r.wg.Go(func() { emit(s.atClient, r.front, client) })
	return s, nil
}

// readFront puts what the clients send on the link.
func (r *Relay) readFront() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		s, err := r.session(from)
		if err != nil {
			continue // no socket to be had: lost, like any other packet
		}
		s.atClient.WriteToUDPAddrPort(buf[:n], s.atServer.AddrPort())
	}
}

// forward puts what comes from a real address on the link, and ignores
// strangers.
func forward(from *net.UDPConn, peer netip.AddrPort, to *simnet.Conn, far netip.AddrPort) {
	buf := make([]byte, maxDatagram)
	for {
		n, source, err := from.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err == nil && source.Port() == peer.Port() && source.Addr().Unmap() == peer.Addr():
			to.WriteToUDPAddrPort(buf[:n], far)
		}
	}
}

// emit sends what leaves the link to a real address.
func emit(from *simnet.Conn, to *net.UDPConn, peer netip.AddrPort) {
	buf := make([]byte, maxDatagram)
	for {
		n, _, err := from.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		to.WriteToUDPAddrPort(buf[:n], peer)
	}
}
