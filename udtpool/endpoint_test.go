package udtpool

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/chunkget/chunkget/udt"
)

// The default dial, end to end over UDT on the loopback interface.
func TestOverUDT(t *testing.T) {
	l, err := udt.Listen("udt", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})}
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(l) })
	defer serving.Wait()
	defer srv.Close()

	p := New(Config{Connections: 4})
	u := &url.URL{Scheme: "udt", Host: l.Addr().String(), Path: "/"}
	p.Warm(t.Context(), u, 4)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 3 {
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					GotConn: func(i httptrace.GotConnInfo) {
						if _, ok := i.Conn.(*udt.Conn); !ok {
							t.Errorf("GotConn got a %T, want a *udt.Conn", i.Conn)
						}
					},
				})
				got, err := get(ctx, p, u)
				if err != nil || got != string(data) {
					t.Errorf("worker %d: %d bytes, %v", i, len(got), err)
				}
			}
		})
	}
	wg.Wait()
	s := p.Stats()
	if s.Dials != 4 || len(s.Conns) != 4 || s.Retries != 0 {
		t.Errorf("stats %+v, want four connections", s)
	}
	ports := make(map[string]bool)
	for _, c := range s.Conns {
		_, port, err := net.SplitHostPort(c.Conn.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		ports[port] = true
	}
	if len(ports) != 1 {
		t.Errorf("connections from %d UDP ports, want one for all", len(ports))
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
