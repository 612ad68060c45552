package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/chunkget/chunkget/udt"
	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// sockets are what clients connect to: two listeners, of UDT and of TCP, and
// what has to be closed after all of their connections.
type sockets struct {
	overUDT, overTCP net.Listener
	endpoint         *udt.Endpoint // nil if it closes with overUDT and its connections
}

// openSockets takes the sockets that systemd has opened for this process (see
// systemd.socket(5)), and opens those of address if there are none.
func openSockets(address string, cfg *udt.Config) (sockets, error) {
	files := activation.Files(true)
	if len(files) == 0 {
		overUDT, overTCP, err := listen(address, cfg)
		return sockets{overUDT: overUDT, overTCP: overTCP}, err
	}
	s, err := socketsOf(files, cfg)
	if err != nil {
		return sockets{}, &hintedError{fmt.Errorf("sockets from systemd: %w", err),
			"chunkserve.socket needs one ListenStream= and one ListenDatagram=, such as 9000"}
	}
	return s, nil
}

// socketsOf makes listeners of a TCP socket that listens and a UDP socket. It
// closes all files.
func socketsOf(files []*os.File, cfg *udt.Config) (s sockets, err error) {
	var onUDP net.PacketConn
	defer func() {
		for _, f := range files {
			f.Close() // the net package has duplicates
		}
		if err == nil {
			return
		}
		if s.overTCP != nil {
			s.overTCP.Close()
		}
		if onUDP != nil {
			onUDP.Close()
		}
		s = sockets{}
	}()
	for _, f := range files {
		if l, notStream := net.FileListener(f); notStream == nil {
			if _, ok := l.(*net.TCPListener); !ok || s.overTCP != nil {
				l.Close()
				return s, fmt.Errorf("%s is one more, or none of TCP", f.Name())
			}
			s.overTCP = l
			continue
		}
		pc, err := net.FilePacketConn(f)
		if err != nil {
			return s, fmt.Errorf("%s: %w", f.Name(), err)
		}
		if _, ok := pc.(*net.UDPConn); !ok || onUDP != nil {
			pc.Close()
			return s, fmt.Errorf("%s is one more, or none of UDP", f.Name())
		}
		onUDP = pc
	}
	if s.overTCP == nil || onUDP == nil {
		return s, errors.New("one of UDP and TCP is missing")
	}
	pc := onUDP
	onUDP = nil // NewEndpoint closes it when it fails
	if s.endpoint, err = udt.NewEndpoint(pc, cfg); err != nil {
		return s, err
	}
	l, err := s.endpoint.Listen()
	if err != nil {
		return s, errors.Join(err, s.endpoint.Close())
	}
	s.overUDT = l
	return s, nil
}

// close closes what is left when the listeners and their connections are closed.
func (s *sockets) close() error {
	if s.endpoint == nil {
		return nil
	}
	return s.endpoint.Close()
}

// notify tells the service manager, if there is one, how this service is doing
// (see sd_notify(3)).
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager could not be told", "state", state, "err", err)
	}
}
