package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type serverKind string

const (
	serveChunkserve serverKind = "chunkserve"
	serveNginx      serverKind = "nginx"
	serveHTTP3      serverKind = "serve-http3"
	serveLibudt     serverKind = "serve-libudt"
)

// Times that a server may take.
const (
	startTime = time.Minute            // until it is ready
	graceTime = 200 * time.Millisecond // from the signal that stops it until the second one, where a client was killed
	doneTime  = 10 * time.Second       // likewise, where all clients have come to their ends
	stopTime  = 3 * time.Second        // from the second signal until its exit; then it is killed
)

// A server is a running server process. Its owner calls stop, once, which waits
// for the goroutine that waits for the process.
type server struct {
	address string // host:port that clients connect to
	cmd     *exec.Cmd
	exited  chan struct{} // closed after the process has been waited for
	stdout  *firstLine
	log     *tail    // of stderr; to be read after exited
	conns   *connLog // of chunkserve, nil for others; to be read after exited
}

// portTries is how many free ports are tried: before the server has opened it, a port may
// become that of another program's connection.
const portTries = 5

// startServer starts a server of this kind for the folder content, with these
// flags besides its own, and returns when it is ready. State is a folder that
// servers of one run share.
func startServer(ctx context.Context, kind serverKind, flags []string, at end, t *tools, content, state string) (*server, error) {
	if at.port != "" {
		return startServerAt(ctx, kind, flags, at, t, content, state)
	}
	for try := 1; ; try++ {
		port, err := freePort(at.addr)
		if err != nil {
			return nil, err
		}
		free := at
		free.port = port
		s, err := startServerAt(ctx, kind, flags, free, t, content, state)
		if !errors.Is(err, errEnded) || try == portTries {
			return s, err
		}
	}
}

func startServerAt(ctx context.Context, kind serverKind, flags []string, at end, t *tools, content, state string) (_ *server, err error) {
	address := net.JoinHostPort(at.addr, at.port)
	var name, ready string
	var args []string
	switch kind {
	case serveChunkserve:
		name = t.chunkserve
		args = append(slices.Clone(flags), "--listen", address, "--state", filepath.Join(state, "hashes"), "--log-level", "debug", content)
	case serveNginx:
		if name, err = findProgram("nginx"); err != nil {
			return nil, err
		}
		prefix := filepath.Join(state, "nginx")
		ready = filepath.Join(prefix, "nginx.pid")
		if err := writeNginxConfig(prefix, address, content); err != nil {
			return nil, err
		}
		args = []string{"-p", prefix, "-c", filepath.Join(prefix, "nginx.conf"), "-e", "stderr"}
	default:
		name = t.self
		args = []string{peerCommand, string(kind), "-address", address, "-dir", content}
	}
	s := &server{address: address, exited: make(chan struct{}), stdout: newFirstLine(), log: new(tail)}
	s.cmd = at.command(ctx, name, args...)
	s.cmd.Env = environment()
	s.cmd.Stderr = s.log
	if kind == serveChunkserve {
		s.conns = &connLog{rest: s.log}
		s.cmd.Stderr = s.conns
	}
	s.cmd.WaitDelay = stopTime
	s.cmd.Stdout = s.stdout
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	go func() {
		_ = s.cmd.Wait() // a signal is how it is meant to end
		close(s.exited)
	}()
	if err := s.awaitReady(ctx, ready); err != nil {
		_, _ = s.stop(graceTime)
		return nil, fmt.Errorf("start %s: %w%s", kind, err, s.log.suffix())
	}
	return s, nil
}

var errEnded = errors.New("it ended before it was ready")

// awaitReady waits for the file, or if there is none, for the first line of
// output.
func (s *server) awaitReady(ctx context.Context, file string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	line := s.stdout.complete
	if file != "" {
		line = nil
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		// nginx creates the file when it listens, and writes into it next.
		if info, err := os.Stat(file); file != "" && err == nil && info.Size() > 0 {
			return nil
		}
		select {
		case <-line:
			return nil
		case <-tick.C:
		case <-s.exited:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("it did not become ready: %w", ctx.Err())
		}
	}
}

// farewell is what a server says of itself: those of the bench's own print it as
// a line at their end, chunkserve in the log of its UDT connections.
type farewell struct {
	Retransmitted *int64 `json:"retransmitted,omitempty"` // packets
}

// stop ends the server and returns what it has used, and what it says at its
// end, if anything. What chunkserve says of itself counts only if the first signal
// was enough, for which it has the time grace.
func (s *server) stop(grace time.Duration) (Usage, farewell) {
	peak := memoryNow(s.cmd.Process.Pid)
	if s.cmd.Process.Signal(syscall.SIGTERM) != nil {
		_ = s.cmd.Process.Kill()
	}
	// chunkserve lets downloads of clients that were killed go on after the
	// first signal, and stops at once at the second.
	again := time.AfterFunc(grace, func() { _ = s.cmd.Process.Signal(syscall.SIGTERM) })
	kill := time.AfterFunc(grace+stopTime, func() { _ = s.cmd.Process.Kill() })
	<-s.exited
	again.Stop()
	kill.Stop()
	var f farewell
	_, rest, _ := bytes.Cut(s.stdout.text, []byte{'\n'})
	_ = json.Unmarshal(rest, &f) // most servers say nothing
	// A server that had to be stopped at once has not closed all its connections.
	if s.conns != nil && s.conns.closed > 0 && s.cmd.ProcessState.ExitCode() == 0 {
		f.Retransmitted = new(s.conns.retransmitted)
	}
	return usage(s.cmd.ProcessState, peak), f
}

// usage returns what an ended process used, where peak is the last sample of its
// memory.
func usage(p *os.ProcessState, peak int64) Usage {
	if p == nil {
		return Usage{}
	}
	if !samplesMemory {
		peak = peakMemory(p)
	}
	return Usage{CPU: (p.UserTime() + p.SystemTime()).Seconds(), Memory: peak}
}

// environment is the one of the bench without proxies, which no transfer here is
// to use.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			env = append(env, v)
		}
	}
	return env
}

// freePort returns a port of this host that is free for TCP and UDP.
func freePort(addr string) (string, error) {
	for range 20 {
		l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
		if err != nil {
			return "", fmt.Errorf("look for a free port: %w", err)
		}
		port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		pc, err := net.ListenPacket("udp", net.JoinHostPort(addr, port))
		l.Close()
		if err == nil {
			pc.Close()
			return port, nil
		}
	}
	return "", errors.New("found no port that is free for TCP and UDP")
}

// writeNginxConfig writes what nginx needs to serve one folder, with one worker
// per core as everybody runs it.
func writeNginxConfig(prefix, address, content string) error {
	if err := os.MkdirAll(prefix, 0o777); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(prefix, "nginx.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // the content is in a folder of root's
	}
	var temp strings.Builder
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "\t%s_temp_path %s/temp;\n", what, prefix)
	}
	config := fmt.Sprintf(`daemon off;
%s
worker_processes %d;
pid nginx.pid;
events { worker_connections 1024; }
http {
	access_log off;
	error_log stderr;
	sendfile on;
	tcp_nopush on;
	keepalive_timeout 75s;
%s	server {
		listen %s;
		root %q;
	}
}
`, user, runtime.NumCPU(), temp.String(), address, content)
	if err := os.WriteFile(filepath.Join(prefix, "nginx.conf"), []byte(config), 0o666); err != nil {
		return fmt.Errorf("configure nginx: %w", err)
	}
	return nil
}

// firstLine keeps what a process wrote and tells when the first line is complete.
type firstLine struct {
	complete chan struct{} // closed with the first line
	text     []byte        // to be read after the process has been waited for
}

func newFirstLine() *firstLine { return &firstLine{complete: make(chan struct{})} }

func (l *firstLine) Write(p []byte) (int, error) {
	had := bytes.IndexByte(l.text, '\n') >= 0
	if len(l.text) < 1<<16 {
		l.text = append(l.text, p...)
	}
	if !had && bytes.IndexByte(l.text, '\n') >= 0 {
		close(l.complete)
	}
	return len(p), nil
}

// tail keeps the end of what a process wrote. It is safe to read once the
// process has been waited for.
type tail struct{ b []byte }

const tailSize = 400 // bytes

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-tailSize):]
	return len(p), nil
}

// suffix returns what was written in one line, to be put behind an error.
func (t *tail) suffix() string {
	s := strings.Join(strings.Fields(string(t.b)), " ")
	if s == "" {
		return ""
	}
	return ": " + s
}
