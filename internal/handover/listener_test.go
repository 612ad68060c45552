package handover

import (
	"context"
	"errors"
	"net"
	"testing"
)

func TestListener(t *testing.T) {
	l := Listen(&net.UnixAddr{Net: "unix", Name: "test"})
	if got := l.Addr().String(); got != "test" {
		t.Errorf("it says that it is at %q", got)
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	handed := make(chan error)
	go func() { handed <- l.Hand(t.Context(), far) }()
	if c, err := l.Accept(); c != far || err != nil {
		t.Errorf("accepted %v, %v", c, err)
	}
	if err := <-handed; err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Hand(ended, far); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody accepts: %v", err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := l.Hand(t.Context(), far); !errors.Is(err, net.ErrClosed) {
		t.Errorf("handed to a closed listener: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepted by a closed listener: %v", err)
	}
}
