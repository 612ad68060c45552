package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// peerCommand is the subcommand by which the bench starts itself as a server or
// a client.
const peerCommand = "peer"

// peerOptions is what the command line of a peer says.
type peerOptions struct {
	address     string // host:port of the server
	dir         string // to serve
	connections int
	size        int64
	out         string
}

// A greeting is what a client says first. A process with the C++ library linked in
// has waited for 0.1 s by then, whatever it is to do: the library measures the clock
// of the processor.
type greeting struct {
	Began time.Time `json:"began"`
}

// began returns when a client began that was started at the given time, and has said
// so since.
func began(said []byte, started time.Time) (time.Time, error) {
	var g greeting
	if err := json.Unmarshal(said, &g); err != nil {
		return started, fmt.Errorf("what the client said first: %w", err)
	}
	if d := g.Began.Sub(started); d > 0 {
		return started.Add(d), nil
	}
	return started, nil
}

// runPeer runs a server until a signal, or a client until it is done.
func runPeer(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return &usageError{"no role given"}
	}
	role, o := args[0], new(peerOptions)
	f := flag.NewFlagSet("bench "+peerCommand+" "+role, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.address, "address", "", "`host:port` of the server")
	f.StringVar(&o.dir, "dir", ".", "`folder` to serve")
	f.IntVar(&o.connections, "n", 1, "`number` of connections")
	f.Int64Var(&o.size, "size", 0, "`bytes` of the file")
	f.StringVar(&o.out, "out", "", "`file` to write")
	if err := parseFlags(f, args[1:]); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	ready := func() { fmt.Fprintln(stdout, "ready") }
	if !strings.HasPrefix(role, "serve-") && !strings.HasPrefix(role, "send-") {
		if err := json.NewEncoder(stdout).Encode(greeting{Began: time.Now()}); err != nil {
			return err
		}
	}
	switch role {
	case string(serveHTTP3):
		return serveOverHTTP3(ctx, o, ready)
	case "fetch-http3":
		return fetchOverHTTP3(ctx, o)
	case string(serveLibudt):
		said, err := serveOverLibudt(ctx, o, ready)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(said)
	case "fetch-libudt":
		return fetchOverLibudt(ctx, o)
	}
	direction, name, _ := strings.Cut(role, "-")
	if s, ok := streamsByName[name]; ok {
		switch direction {
		case "send":
			return s.serve(ctx, o.address, ready, send)
		case "receive":
			return receive(ctx, s.dial, o)
		}
	}
	return &usageError{fmt.Sprintf("unknown role %q", role)}
}

// fetchRanges fetches one range of the file over each of the transports.
func fetchRanges(ctx context.Context, url string, o *peerOptions, transports []http.RoundTripper) (err error) {
	f, err := os.Create(o.out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	g, ctx := errgroup.WithContext(ctx)
	n := int64(len(transports))
	for i, t := range transports {
		from, to := o.size*int64(i)/n, o.size*int64(i+1)/n
		g.Go(func() error {
			if err := fetchRange(ctx, t, url, io.NewOffsetWriter(f, from), from, to); err != nil {
				return fmt.Errorf("bytes %d to %d: %w", from, to, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// fetchRange fetches the bytes from from up to but not including to.
func fetchRange(ctx context.Context, t http.RoundTripper, url string, w io.Writer, from, to int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	n, err := io.CopyBuffer(w, resp.Body, make([]byte, 256<<10))
	if err != nil {
		return err
	}
	if n != to-from {
		return fmt.Errorf("got %d bytes instead of %d", n, to-from)
	}
	return nil
}

// contentHandler serves the files of a folder.
func contentHandler(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.ServeFile(w, req, filepath.Join(dir, contentName))
	})
}
