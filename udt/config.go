package udt

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config holds the parameters of an endpoint. The zero value of each field
// asks for the documented default. A Config is not modified and must not be
// changed while an endpoint uses it.
type Config struct {
	// MSS is the largest packet in bytes, IP and UDP headers included, 76 to
	// 65535. Both peers use the smaller of theirs. The default is 1500, and
	// 1480 over IPv6 because UDT counts an IPv4 header there too. From there
	// peers of this package go up to what the path takes, at most 9000, if both
	// leave MSS to the default. A size that is given is fixed: nothing larger is
	// sent, probed or accepted.
	MSS int

	// RecvBuffer and SendBuffer bound what one connection may hold per
	// direction, in bytes of payload at the full packet size. The default of
	// 256 MiB is twice the bandwidth-delay product of 10 Gbit/s and 100 ms;
	// peers without feedback, such as the C++ library, see 48 MiB of it, because
	// they allocate tables of that size. What a connection really gets
	// follows what it needs, from 4 MB on, and what Memory allows. Memory is
	// allocated only while data is in flight or unread.
	RecvBuffer int
	SendBuffer int

	// Memory bounds what all connections together may buffer, over all
	// endpoints that it is given to. The default is DefaultMemory, which all
	// other endpoints of the process share.
	Memory *Memory

	// UDPRecvBuffer and UDPSendBuffer are the sizes in bytes to ask the kernel
	// for. The defaults are 8 MiB and 4 MiB; the kernel may grant less. On Linux a
	// send buffer without a size here begins with a packet, and is doubled each time
	// it is full, up to the default.
	UDPRecvBuffer int
	UDPSendBuffer int

	// Offload limits what is left to the kernel, for a path, driver or kernel
	// that gets it wrong. The default is everything, unless the environment
	// variable CHUNKGET_UDP_OFFLOAD says otherwise.
	Offload Offload

	// Backlog is the number of connections that may wait for Accept; further
	// ones are rejected. The default is 256.
	Backlog int

	// MaxAccepted and MaxAcceptedPerAddr bound the connections that a listener has
	// made of clients' requests and that are not over, in total and from one IP
	// address, where an IPv6 /64 counts as one; further requests are rejected. The
	// defaults are 4096 and no bound per address.
	MaxAccepted        int
	MaxAcceptedPerAddr int

	// Linger is how long Close waits for unsent or unacknowledged data while
	// the peer acknowledges nothing. The default is 10 s; a negative value
	// does not wait and drops the data.
	Linger time.Duration

	// PeerTimeout is how long a peer may be silent before the connection is
	// given up. The default is 30 s.
	PeerTimeout time.Duration

	// KeepAlive is the time without sending after which a keepalive is sent,
	// at least 1 s. The default is 3 s. Anything shorter would keep a C++ peer
	// from repairing its losses.
	KeepAlive time.Duration

	// Congestion makes the controller of a connection. The default is
	// NewBBR, also towards peers that give no feedback, such as the C++ library.
	Congestion func() Congestion

	// Ask is what peers that the endpoint dials are asked for, as by Endpoint.Ask.
	Ask Ask
	// OnAnswer, if not nil, is called once for each request and peer with what
	// became of it. It must not block.
	OnAnswer func(peer netip.AddrPort, s AskStatus)
	// Allow says what peers may ask this endpoint for.
	Allow AskPolicy

	// PlainUDT leaves out what this package adds to UDT 4 in packets of its own:
	// feedback, asking for a controller, and packets larger than the handshake
	// says. It is for comparisons and bug reports.
	PlainUDT bool

	// Logger receives what an operator may want to know about the endpoint.
	// The default discards it.
	Logger *slog.Logger
}

func (c *Config) get() Config {
	if c == nil {
		return Config{}
	}
	return *c
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// mss returns the packet size to offer over IPv4 or IPv6.
func (c *Config) mss(ipv6 bool) int {
	switch {
	case c.MSS != 0:
		return min(max(c.MSS, minMSS), maxMSS)
	case ipv6:
		return 1480
	}
	return 1500
}

// largestPacket returns the size that packets may have in the end, headers
// included.
func (c *Config) largestPacket() int {
	if c.MSS == 0 && !c.PlainUDT {
		return maxMTU
	}
	return c.mss(false)
}

// windowPackets turns a buffer size into packets.
func windowPackets(bytes, mss int) int {
	return min(max(bytes/(mss-mssOverhead), minWindow), maxWindow)
}

// recvWindow is the receive window that the handshake announces, and
// maxRecvWindow what peers with feedback may get later.
func (c *Config) recvWindow(mss int) int {
	return windowPackets(orDefault(c.RecvBuffer, 48<<20), mss)
}
func (c *Config) maxRecvWindow(mss int) int {
	return windowPackets(orDefault(c.RecvBuffer, 256<<20), mss)
}
func (c *Config) sendWindow(mss int) int {
	return windowPackets(orDefault(c.SendBuffer, 256<<20), mss)
}

func (c *Config) memory() *Memory {
	if c.Memory == nil {
		return DefaultMemory()
	}
	return c.Memory
}

func (c *Config) udpRecvBuffer() int     { return orDefault(c.UDPRecvBuffer, 8<<20) }
func (c *Config) udpSendBuffer() int     { return orDefault(c.UDPSendBuffer, 4<<20) }
func (c *Config) backlog() int           { return orDefault(c.Backlog, 256) }
func (c *Config) maxAccepted() int       { return orDefault(c.MaxAccepted, 4096) }
func (c *Config) linger() time.Duration  { return orDefault(c.Linger, 10*time.Second) }
func (c *Config) timeout() time.Duration { return orDefault(c.PeerTimeout, 30*time.Second) }
func (c *Config) keepAlive() time.Duration {
	return max(orDefault(c.KeepAlive, 3*time.Second), time.Second)
}

func (c *Config) congestion() Congestion {
	if c.Congestion == nil {
		return NewBBR()
	}
	return c.Congestion()
}

func (c *Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}
