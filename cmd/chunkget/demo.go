package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/units"
	"github.com/chunkget/chunkget/serve"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
	"github.com/spf13/cobra"
)

const demoFile = "demo.bin"

func demoCommand(u *ui) *cobra.Command {
	o := new(options)
	size := units.Size(256 << 20)
	cmd := &cobra.Command{
		Use:   "demo [flags]",
		Short: "download a generated file from a server in this process, over UDT",
		Long: `demo generates a file of random data, serves it on the loopback interface, fetches
it over several UDT connections in parallel, verifies every piece, and compares
the result with the original byte for byte. It needs twice the size on disk in the
directory for temporary files ($TMPDIR) and removes it all.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Sprintf("demo takes no arguments, got %s", quote(args[0])), ""}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validateConnections(); err != nil {
				return err
			}
			u.verbose = o.verbose
			err := demo(cmd.Context(), u, o.connections, int64(size))
			if err != nil && cmd.Context().Err() != nil {
				u.line("interrupted; the files of the demo are removed")
				return reportedError{&fetch.Error{Kind: fetch.KindInterrupted, Err: err}}
			}
			return err
		},
	}
	cmd.Flags().SortFlags = false
	o.addConnections(cmd.Flags(), "all at once")
	cmd.Flags().Var(&size, "size", "size of the file, such as 256MiB")
	o.addVerbose(cmd.Flags())
	return cmd
}

// demo owns a temporary directory, a server and a client; all are gone when it
// returns.
func demo(ctx context.Context, u *ui, connections int, size int64) (err error) {
	dir, err := os.MkdirTemp("", "chunkget-demo-")
	if err != nil {
		return &fetch.Error{Kind: fetch.KindDisk, Op: "make a temporary directory", Err: err}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	source, target := filepath.Join(dir, "served"), filepath.Join(dir, "fetched")
	for _, d := range []string{source, target} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return &fetch.Error{Kind: fetch.KindDisk, Op: "make a temporary directory", Err: err}
		}
	}
	u.info("generating %s of random data", formatBytes(size))
	if err := generate(ctx, filepath.Join(source, demoFile), size); err != nil {
		return &fetch.Error{Kind: fetch.KindDisk, Op: "generate the file", Err: err,
			Hint: "choose a smaller --size, or another disk with TMPDIR=DIR"}
	}
	address, stop, err := startDemoServer(source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	log := logger(u)
	conns, err := observe(u, "")
	if err != nil {
		return err
	}
	rt := newTransports(connections, udtpool.DefaultDialTimeout, udtpool.DefaultHeaderBytes, new(trust), udt.Ask{}, new(pathMemory), u, log, conns)
	rt.route.mode = transportUDT
	defer rt.Close()
	defer func() { err = errors.Join(err, conns.close()) }()
	res, err := download(ctx, fetch.Options{
		URL:         &url.URL{Scheme: "udt", Host: address, Path: "/" + demoFile},
		Transport:   rt,
		Connections: connections,
		Dir:         target,
		Logger:      log,
	}, rt, newDisplay(newBoard(u, 1)))
	if err != nil {
		return err
	}
	if err := compare(ctx, filepath.Join(source, demoFile), filepath.Join(target, demoFile)); err != nil {
		return err
	}
	printDemoSummary(u.stdout, res)
	u.info("the files of the demo are removed")
	return nil
}

func printDemoSummary(w io.Writer, r *fetch.Result) {
	seconds := r.Elapsed.Seconds()
	fmt.Fprintf(w, "bytes        %d, identical to the original\n", r.Bytes)
	fmt.Fprintf(w, "seconds      %.2f\n", seconds)
	fmt.Fprintf(w, "rate         %s\n", formatRate(float64(r.BytesFetched)/max(seconds, 1e-9)))
	fmt.Fprintf(w, "connections  %d over UDT\n", r.Connections)
	fmt.Fprintf(w, "pieces       all verified, %d fetched again\n", r.PiecesBad)
	fmt.Fprintf(w, "root         %s\n", r.Root)
}

// startDemoServer serves dir over UDT on a free port of the loopback interface.
func startDemoServer(dir string) (address string, stop func() error, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", nil, fmt.Errorf("start the server: %w", err)
	}
	handler, err := serve.New(root, serve.Options{})
	if err != nil {
		root.Close()
		return "", nil, fmt.Errorf("start the server: %w", err)
	}
	l, err := udt.Listen("udt", "127.0.0.1:0")
	if err != nil {
		handler.Close()
		root.Close()
		return "", nil, &fetch.Error{Kind: fetch.KindNetwork, Op: "start the server", Err: err}
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(l) })
	return l.Addr().String(), func() error {
		err := srv.Close()
		serving.Wait()
		handler.Close()
		return errors.Join(err, root.Close())
	}, nil
}

// generate writes size random bytes to a new file.
func generate(ctx context.Context, name string, size int64) error {
	var seed [32]byte
	crand.Read(seed[:])
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, contextReader{ctx, io.LimitReader(rand.NewChaCha8(seed), size)}, make([]byte, 1<<20))
	return errors.Join(err, f.Close())
}

// compare reports the first difference between two files.
func compare(ctx context.Context, original, copied string) error {
	a, err := os.Open(original)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(copied)
	if err != nil {
		return err
	}
	defer b.Close()
	bufA, bufB := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); ; off += int64(len(bufA)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if n != m || !bytes.Equal(bufA[:n], bufB[:m]) {
			return &fetch.Error{Kind: fetch.KindIntegrity, Op: "compare with the original",
				Err: fmt.Errorf("the files differ between byte %d and byte %d", off, off+int64(max(n, m)))}
		}
		if errA == nil && errB == nil {
			continue
		}
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return fmt.Errorf("compare with the original: %w", err)
			}
		}
		return nil
	}
}

// contextReader ends with its context, so that a signal ends a long copy.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
