//go:build libudt

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/chunkget/chunkget/internal/libudt"
)

const buildTags = "libudt"

func libudtMissing() string { return "" }

// libudtConfig gives the library buffers that no link here fills, as the
// namespaces give TCP.
func libudtConfig() *libudt.Config {
	return &libudt.Config{
		SendBuffer: 64 << 20, ReceiveBuffer: 64 << 20, FlowWindow: 48000,
		UDPSendBuffer: 4 << 20, UDPReceiveBuffer: 4 << 20,
		Linger: time.Second,
	}
}

func serveOverLibudt(ctx context.Context, o *peerOptions, ready func()) (farewell, error) {
	l, err := libudt.Listen(o.address, libudtConfig())
	if err != nil {
		return farewell{}, err
	}
	w := &sentAgain{packets: make(map[*libudt.Conn]int)}
	s := &http.Server{
		Handler: contentHandler(o.dir),
		ConnState: func(c net.Conn, state http.ConnState) {
			if u, ok := c.(*libudt.Conn); ok && state == http.StateNew {
				w.add(u)
			}
		},
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	ready()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return farewell{}, fmt.Errorf("serve over libudt: %w", err)
		case <-tick.C:
			w.look()
			continue
		case <-ctx.Done():
		}
		break
	}
	w.look()
	err = s.Close()
	if e := <-done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return farewell{Retransmitted: new(w.sum())}, err
}

// sentAgain keeps what each connection said last about packets sent again. A
// closed connection says nothing, so they have to be asked all the time.
type sentAgain struct {
	mu      sync.Mutex
	packets map[*libudt.Conn]int // guarded by mu
}

func (w *sentAgain) add(c *libudt.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packets[c] = 0
}

func (w *sentAgain) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.packets {
		if m, err := c.PerfMon(false); err == nil {
			w.packets[c] = m.PktRetransTotal
		}
	}
}

func (w *sentAgain) sum() (sum int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.packets {
		sum += int64(n)
	}
	return sum
}

func libudtStreams() streams {
	return streams{
		serve: func(ctx context.Context, address string, ready func(), handle func(io.ReadWriter) error) error {
			l, err := libudt.Listen(address, libudtConfig())
			if err != nil {
				return err
			}
			return serveListener(ctx, l, ready, handle)
		},
		dial: func(_ context.Context, address string) (io.ReadWriteCloser, error) {
			return libudt.Dial(address, libudtConfig())
		},
	}
}

func fetchOverLibudt(ctx context.Context, o *peerOptions) error {
	var transports []http.RoundTripper
	for range o.connections {
		transports = append(transports, &http.Transport{
			DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
				return libudt.Dial(address, libudtConfig())
			},
			DisableCompression: true,
			ReadBufferSize:     256 << 10,
		})
	}
	return fetchRanges(ctx, "http://"+o.address+"/"+contentName, o, transports)
}
