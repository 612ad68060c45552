package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/chunkget/chunkget/bench/wan"
)

// benchVeth measures between two network namespaces at the speed of the machine.
func benchVeth(ctx context.Context, o *options, log io.Writer) (err error) {
	s, err := newSession(ctx, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	cable, err := wan.OpenCable(ctx, wan.Devices{MTU: o.mtu, Frames: o.frames, Join: o.join}, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cable.Close()) }()
	return s.only(ctx, vethSite(cable, o.vethName()))
}

func vethSite(cable *wan.Cable, name string) *site {
	client, server := cable.Client(), cable.Server()
	return &site{
		place:    place{ownTCP: true},
		scenario: scenarioVeth,
		profile:  name,
		client:   end{addr: client.Addr.String(), command: client.Command},
		server:   end{addr: server.Addr.String(), port: "9000", command: server.Command},
		setTCP:   setTCP(client, server),
	}
}
