package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/chunkget/chunkget/internal/connstats"
	"github.com/chunkget/chunkget/serve"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"
)

// shutdownTimeout is how long downloads may go on after the first signal.
const shutdownTimeout = 5 * time.Second

// serveFolder serves until ctx is done. It owns the folder, the handler and all
// listeners; they are closed, and everything that used them has ended, when it
// returns.
func serveFolder(ctx context.Context, u *ui, o *options) (err error) {
	log := slog.New(slog.NewTextHandler(u.stderr, &slog.HandlerOptions{Level: o.level}))
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return &usageError{fmt.Sprintf("folder %q: %v", o.dir, underlying(err)), ""}
	}
	defer func() { err = errors.Join(err, root.Close()) }()

	access, err := o.security.open(o, log, time.Now())
	if err != nil {
		return err
	}
	socks, err := openSockets(o.listen, o.udtConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, socks.close()) }()
	overUDT, overTCP := socks.overUDT, socks.overTCP
	if o.trace != "" {
		var rec *connstats.Recorder
		if rec, err = startTrace(o.trace); err != nil {
			closeAll([]net.Listener{overUDT, overTCP})
			return err
		}
		defer func() { err = errors.Join(err, rec.Close()) }()
		overUDT, overTCP = tracedListener{overUDT, rec}, tracedListener{overTCP, rec}
	}
	if log.Enabled(ctx, slog.LevelDebug) {
		overUDT = connLogger{overUDT, log}
	}
	listeners := []net.Listener{overUDT, overTCP}
	// The servers close their listeners; this is for the ways out before that.
	defer closeAll(listeners)
	var forStatus net.Listener
	if o.status != "" {
		if forStatus, err = listenStatus(o.status); err != nil {
			return err
		}
		defer closeAll([]net.Listener{forStatus})
	}

	handler, err := newHandler(root, o, access, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, handler.Close()) }()
	o.upload.warn(access, &o.security, log)
	server := serve.NewServer(announceUDT(access.guard(handler), overUDT.Addr()), serve.ServerOptions{ShutdownTimeout: shutdownTimeout, Limits: o.limits.limits(), Logger: log})
	for i, l := range listeners {
		listeners[i] = access.wrap(server.Guard(l))
	}

	running, runCtx := errgroup.WithContext(ctx)
	running.Go(func() error { return server.Serve(runCtx, listeners...) })
	ready := time.Now()
	if forStatus != nil {
		h := statusHandler(statusOf(server, handler, listenNames(listeners...), ready))
		running.Go(func() error {
			own := serve.NewServer(h, serve.ServerOptions{ShutdownTimeout: time.Second, Logger: log})
			return own.Serve(runCtx, own.Guard(forStatus))
		})
		log.Info("status", "url", "http://"+forStatus.Addr().String()+"/")
	}
	log.Info("serving", "folder", o.dir, "listen", listenNames(listeners...))
	if _, err := fmt.Fprintln(u.stdout, readyLine(root, overUDT, o.dotFiles, access)); err != nil {
		log.Warn("ready line could not be printed", "err", err)
	}
	notify(log, daemon.SdNotifyReady)
	running.Go(func() error {
		<-runCtx.Done()
		notify(log, daemon.SdNotifyStopping)
		if ctx.Err() != nil {
			log.Info("stopping", "connections", server.OpenConns(), "wait_at_most", shutdownTimeout)
		}
		return nil
	})
	return running.Wait()
}

// newHandler returns what answers requests for the folder root.
func newHandler(root *os.Root, o *options, access *access, log *slog.Logger) (*serve.Handler, error) {
	h, err := serve.New(root, serve.Options{
		DotFiles: o.dotFiles,

		DisableCompression: o.compress == "off",

		CacheFile: cacheFile(o.state, log),
		HashJobs:  o.limits.hashJobs,
		MaxRanges: o.limits.ranges,
		Upload:    o.upload.options(access.mayUpload() == nil), // a form cannot send a token
		Logger:    log,
	})
	if err != nil && o.upload.on {
		return nil, &hintedError{err, "--upload needs a folder that this user can write to"}
	}
	return h, err
}

// statusOf returns what tells how a server is doing that has been ready since then.
func statusOf(server *serve.Server, handler *serve.Handler, names []string, since time.Time) func(time.Time) status {
	return func(now time.Time) status {
		return status{
			Version: versionText(), Listen: names, UptimeSeconds: now.Sub(since).Seconds(),
			Connections: server.OpenConns(), Stats: handler.Stats(), LimitStats: server.LimitStats(),
		}
	}
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// cacheFile returns the name of the file for computed hashes, in a folder that
// it makes if need be, or "" if that cannot be had.
func cacheFile(state string, log *slog.Logger) string {
	dir, err := stateDir(state, os.UserCacheDir)
	if err != nil {
		log.Warn("hashes are not kept over restarts; --state names a folder for them", "err", err)
		return ""
	}
	return filepath.Join(dir, "hashes.db")
}

// stateDir returns the folder for what is kept over restarts: state, or one below what
// base says. It makes it if need be.
func stateDir(state string, base func() (string, error)) (string, error) {
	dir := state
	if dir == "" {
		user, err := base()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(user, "chunkget")
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// userStateDir returns the user's folder for what must outlive the cleaning of caches:
// XDG_STATE_HOME, or its default where there are such folders.
func userStateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	switch runtime.GOOS {
	case "windows", "darwin", "ios", "plan9":
		return os.UserConfigDir()
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state"), nil
}
