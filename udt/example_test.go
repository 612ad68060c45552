package udt_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/chunkget/chunkget/udt"
)

// net/http runs over UDT as over TCP.
func Example_http() {
	l, err := udt.Listen("udt4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "hello over UDT")
	})}
	served := make(chan error)
	go func() { served <- server.Serve(l) }()

	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return new(udt.Dialer).DialContext(ctx, "udt", addr)
		},
	}}
	resp, err := client.Get("http://" + l.Addr().String() + "/")
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	server.Close()
	<-served
	fmt.Print(string(body))
	// Output: hello over UDT
}

// One UDP socket carries any number of connections, in and out.
func ExampleEndpoint() {
	e, err := udt.ListenEndpoint("udt4", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	l, err := e.Listen()
	if err != nil {
		log.Fatal(err)
	}
	c, err := e.DialContext(context.Background(), "udt", e.Addr().String()) // itself, here
	if err != nil {
		log.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(c, "one socket")
	b := make([]byte, 10)
	if _, err := io.ReadFull(s, b); err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(b))
	// Output: one socket
}
