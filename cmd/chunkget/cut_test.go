package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/chunkget/chunkget/internal/lossyrelay"
	"github.com/chunkget/chunkget/internal/simnet"
	"github.com/chunkget/chunkget/internal/units"
	"github.com/chunkget/chunkget/udt"
)

// startCut starts a chunkserve over UDT and TCP at the same port. After so many bytes
// as arg says nothing gets through to and from its UDP port any more.
func startCut(dir, arg string) (_ *server, err error) {
	size, err := units.ParseSize(arg)
	if err != nil {
		return nil, err
	}
	h, stop, err := chunkserveHandler(nil, dir, "")
	if err != nil {
		return nil, err
	}
	var closers []func() error
	shut := func() (err error) {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
		stop()
		return err
	}
	// Who hears nothing more is not waited for in the end.
	patience := &udt.Config{Linger: 100 * time.Millisecond}
	overUDT, err := (&udt.ListenConfig{Config: patience}).Listen(context.Background(), "udt", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, shut())
	}
	closers = append(closers, overUDT.Close)
	left := int64(size) // the relay calls both filters under one lock
	link := simnet.LinkConfig{Filter: func(p simnet.Packet) simnet.Verdict {
		left -= int64(len(p.Data))
		return simnet.Verdict{Drop: left < 0}
	}}
	var relay *lossyrelay.Relay
	var overTCP net.Listener
	for try := 1; ; try++ {
		relay, err = lossyrelay.Listen("udp4", overUDT.Addr().String(), lossyrelay.Config{ToServer: link, ToClient: link})
		if err != nil {
			return nil, errors.Join(err, shut())
		}
		if overTCP, err = net.Listen("tcp4", relay.Addr().String()); err == nil {
			break
		}
		if err = errors.Join(err, relay.Close()); try == portTries {
			return nil, errors.Join(err, shut())
		}
	}
	closers = append(closers, relay.Close)
	srv := &http.Server{Handler: h}
	var serving sync.WaitGroup
	for _, l := range []net.Listener{overUDT, overTCP} {
		serving.Go(func() { srv.Serve(l) })
	}
	return &server{url: "udt://" + relay.Addr().String(), hold: -1, close: func() {
		srv.Close()
		serving.Wait()
		shut()
	}}, nil
}
