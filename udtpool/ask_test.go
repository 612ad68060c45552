package udtpool

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/chunkget/chunkget/udt"
)

// What is asked for before the first dial and after it reaches the endpoint.
func TestAsk(t *testing.T) {
	p := New(Config{Ask: udt.Ask{Controller: "ledbat"}})
	defer p.Close()
	if err := p.Ask(udt.Ask{Controller: "bbr"}); err != nil {
		t.Fatal(err)
	}
	if p.endpoint.config.Ask.Controller != "bbr" {
		t.Errorf("the endpoint will ask for %+v", p.endpoint.config.Ask)
	}
	if _, err := p.endpoint.open(); err != nil {
		t.Fatal(err)
	}
	if err := p.Ask(udt.Ask{Controller: "cubic"}); err == nil {
		t.Error("cubic was asked for")
	}
	if err := p.Ask(udt.Ask{}); err != nil {
		t.Fatal(err)
	}

	own := New(Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }})
	defer own.Close()
	if err := own.Ask(udt.Ask{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("with a dial function of its own: %v", err)
	}
}
