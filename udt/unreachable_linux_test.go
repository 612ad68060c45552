package udt_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/chunkget/chunkget/udt"
)

// A port that nobody listens on refuses at once, on loopback and wherever ICMP
// comes through.
func TestDialClosedPort(t *testing.T) {
	e, err := udt.ListenEndpoint("udt4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := e.Addr().String()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = udt.Dial("udt4", addr)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, want ECONNREFUSED", err)
	}
}

// A peer whose process is gone is noticed by the refusals of its host.
func TestPeerProcessGone(t *testing.T) {
	client, server := pair(t, nil)
	server.Abandon()
	if _, err := client.Write([]byte("hello?")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("read: %v, want ECONNREFUSED", err)
	}
}
