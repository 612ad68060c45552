package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
)

// TestHeaderBombsOverTCP: of a header without end no more is read than its bound and
// one buffer. Package udtpool has the same test of its own.
func TestHeaderBombsOverTCP(t *testing.T) {
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			rt := newTransports(1, time.Second, udtpool.DefaultHeaderBytes, new(trust), udt.Ask{}, new(pathMemory), newUI(io.Discard, io.Discard), slog.New(slog.DiscardHandler), new(observation))
			defer rt.Close()
			near, far := net.Pipe()
			rt.tcp.DialContext = func(context.Context, string, string) (net.Conn, error) { return near, nil }
			var server sync.WaitGroup
			written := 0
			server.Go(func() {
				defer far.Close()
				if _, err := far.Read(make([]byte, 1<<16)); err != nil {
					return
				}
				n, err := io.WriteString(far, bomb[0])
				for written = n; err == nil; written += n {
					n, err = io.WriteString(far, bomb[1])
				}
			})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://h.test/file", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := rt.tcp.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "response headers exceeded") {
				t.Errorf("err = %v", err)
			}
			server.Wait()
			if most := int(rt.tcp.MaxResponseHeaderBytes) + max(rt.tcp.ReadBufferSize, 64<<10); written > most {
				t.Errorf("%d bytes were read, %d at most are wanted", written, most)
			}
		})
	}
}
