package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/chunkget/chunkget/udt"
)

// portTries is how many free TCP ports are tried for one whose UDP port is free
// as well.
const portTries = 20

// listen opens the two listeners of address: UDT on UDP and TCP, on one port.
func listen(address string, cfg *udt.Config) (overUDT, overTCP net.Listener, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	for try := 1; ; try++ {
		overTCP, err = net.Listen("tcp", address)
		if err != nil {
			return nil, nil, listenError("TCP", address, err)
		}
		chosen := net.JoinHostPort(host, strconv.Itoa(overTCP.Addr().(*net.TCPAddr).Port))
		overUDT, err = listenUDT(chosen, cfg)
		if err == nil {
			return overUDT, overTCP, nil
		}
		overTCP.Close()
		if port != "0" || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, nil, listenError("UDT", chosen, err)
		}
	}
}

// listenUDT returns no typed nil.
func listenUDT(address string, cfg *udt.Config) (net.Listener, error) {
	l, err := (&udt.ListenConfig{Config: cfg}).Listen(context.Background(), "udt", address)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// listenError says what to do about the two usual reasons.
func listenError(what, address string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program uses this port, perhaps another chunkserve; choose one with --listen :PORT"
	case errors.Is(err, syscall.EACCES):
		hint = "ports below 1024 take privileges; choose another one with --listen :PORT"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return &hintedError{fmt.Errorf("listen on %s %s: %w", what, address, err), hint}
}
