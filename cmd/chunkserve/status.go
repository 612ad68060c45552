package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/chunkget/chunkget/serve"
)

// status is what the status address answers, as JSON.
type status struct {
	Version       string   `json:"version"`
	Listen        []string `json:"listen"`         // addresses served, with their networks
	UptimeSeconds float64  `json:"uptime_seconds"` // since the server is ready
	Connections   int      `json:"connections"`    // open now, over all listeners
	serve.Stats
	serve.LimitStats
}

// statusHandler answers GET / with what snapshot returns.
func statusHandler(snapshot func(now time.Time) status) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		body, err := json.MarshalIndent(snapshot(time.Now()), "", "  ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Write(append(body, '\n'))
	})
	return mux
}

// listenStatus opens the listener of the status. An address without a host is
// one of this machine alone.
func listenStatus(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, listenError("TCP (--status)", net.JoinHostPort(host, port), err)
	}
	return l, nil
}

// listenNames describes listeners for status and log.
func listenNames(listeners ...net.Listener) []string {
	names := make([]string, len(listeners))
	for i, l := range listeners {
		names[i] = fmt.Sprintf("%s %s", l.Addr().Network(), l.Addr())
	}
	return names
}
