package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/quic-go/quic-go"

	"github.com/chunkget/chunkget/udt"
)

// Memory to memory: a sender that knows no file and no HTTP, and a receiver that
// says how many bytes it wants and drops them. What is left is the transport.

// A streams is a transport for that, with one stream over each connection.
type streams struct {
	// serve hands each stream to handle until ctx ends. ready is called once it
	// can be reached.
	serve func(ctx context.Context, address string, ready func(), handle func(io.ReadWriter) error) error
	dial  func(ctx context.Context, address string) (io.ReadWriteCloser, error)
}

var streamsByName = map[string]streams{
	"udt": {
		serve: func(ctx context.Context, address string, ready func(), handle func(io.ReadWriter) error) error {
			l, err := (&udt.ListenConfig{Config: wireSize()}).Listen(ctx, "udt4", address)
			if err != nil {
				return err
			}
			return serveListener(ctx, l, ready, handle)
		},
		dial: func(ctx context.Context, address string) (io.ReadWriteCloser, error) {
			return (&udt.Dialer{Config: wireSize()}).DialContext(ctx, "udt4", address)
		},
	},
	"libudt": libudtStreams(),
	"quic":   {serve: serveQUIC, dial: dialQUIC},
}

// wireSize keeps to packets of 1500 bytes also over loopback, as the others do.
func wireSize() *udt.Config { return &udt.Config{MSS: 1500} }

// turn is what one Write and one Read move.
const turn = 1 << 20

// send is the sender's side of a stream: it reads how much to send, sends it and
// waits for the other side to close.
func send(s io.ReadWriter) error {
	var size [8]byte
	if _, err := io.ReadFull(s, size[:]); err != nil {
		return fmt.Errorf("read how much to send: %w", err)
	}
	b := make([]byte, turn)
	for left := binary.BigEndian.Uint64(size[:]); left > 0; {
		n, err := s.Write(b[:min(left, turn)])
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		left -= uint64(n)
	}
	// What the other side has not read yet must not go with the connection. How
	// its end looks depends on the transport.
	_, _ = s.Read(size[:1])
	return nil
}

// receive is the receiver's side.
func receive(ctx context.Context, dial func(context.Context, string) (io.ReadWriteCloser, error), o *peerOptions) (err error) {
	s, err := dial(ctx, o.address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.Write(binary.BigEndian.AppendUint64(nil, uint64(o.size))); err != nil {
		return fmt.Errorf("say how much to send: %w", err)
	}
	b := make([]byte, turn)
	for left := o.size; left > 0; {
		n, err := s.Read(b[:min(left, turn)])
		if left -= int64(n); err != nil && left > 0 {
			return fmt.Errorf("%d bytes are missing: %w", left, err)
		}
	}
	return nil
}

// serveListener serves a stream over each connection of l, one after the other,
// as the bench asks for them.
func serveListener(ctx context.Context, l net.Listener, ready func(), handle func(io.ReadWriter) error) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	ready()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		err = handle(c)
		stop()
		c.Close()
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// quicProtocol is what both ends say in TLS.
const quicProtocol = "memory"

func serveQUIC(ctx context.Context, address string, ready func(), handle func(io.ReadWriter) error) error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	l, err := quic.ListenAddr(address, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{quicProtocol}}, quicConfig())
	if err != nil {
		return err
	}
	defer l.Close()
	ready()
	for {
		c, err := l.Accept(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		s, err := c.AcceptStream(ctx)
		if err == nil {
			err = handle(s)
		}
		c.CloseWithError(0, "")
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// quicStream closes the connection with the stream.
type quicStream struct {
	*quic.Stream
	conn *quic.Conn
}

func (s quicStream) Close() error { return s.conn.CloseWithError(0, "") }

func dialQUIC(ctx context.Context, address string) (io.ReadWriteCloser, error) {
	// The server made its certificate a moment ago and runs on this machine:
	// there is nothing to check it against.
	c, err := quic.DialAddr(ctx, address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{quicProtocol}}, quicConfig())
	if err != nil {
		return nil, err
	}
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return nil, errors.Join(err, c.CloseWithError(0, ""))
	}
	return quicStream{s, c}, nil
}

// memoryContenders are one flow each. The first name is the sender's.
func memoryContenders() (list []contender) {
	for _, c := range []struct{ from, to, about string }{
		{"udt", "udt", "one UDT connection, memory to memory, packets of 1500 bytes"},
		{"libudt", "libudt", "one connection of the C++ UDT library, memory to memory"},
		{"udt", "libudt", "one connection from UDT to the C++ library, memory to memory"},
		{"libudt", "udt", "one connection from the C++ library to UDT, memory to memory"},
		{"quic", "quic", "one stream of quic-go, memory to memory, encrypted"},
	} {
		name := "memory-" + c.from
		if c.to != c.from {
			name += "-to-" + c.to
		}
		m := contender{
			name:        name,
			about:       c.about,
			connections: []int{1},
			server:      serverKind("send-" + c.from),
			client:      peerClient("receive-" + c.to),
			memory:      true,
		}
		if c.from == "libudt" || c.to == "libudt" {
			m.missing = libudtMissing
		}
		list = append(list, m)
	}
	return list
}
