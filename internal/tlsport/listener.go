package tlsport

import (
	"log/slog"
	"net"
)

// Options are the settings of a listener.
type Options struct {
	// Source has the certificates. nil serves plain text only.
	Source *Source

	// Require refuses connections that begin with plain text: with a short HTTP
	// answer, before anything of a request is looked at.
	Require bool

	// Logger gets failed handshakes, at level debug: any port scan makes some.
	Logger *slog.Logger
}

// Wrap returns a listener whose connections speak TLS or plain text, as the
// client chooses.
func Wrap(l net.Listener, o Options) net.Listener {
	if o.Source == nil {
		return l
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &listener{l, o}
}

type listener struct {
	net.Listener
	opts Options
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, opts: &l.opts, decided: make(chan struct{})}, nil
}
