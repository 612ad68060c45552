//go:build linux

package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startWebServer serves dir by another web server and returns its address. args
// precede the name of the file with its configuration, which is config with dir,
// a folder for what the server writes, its host and port in the places of {dir},
// {state}, {host} and {port}.
func startWebServer(t *testing.T, program, debianPackage, config, dir string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program) // where Debian has it, and not every PATH
	}
	if err != nil {
		t.Skipf("%s is not installed (Debian package %s)", program, debianPackage)
	}
	state := t.TempDir()
	// Started by root, it may serve as another user.
	for d := dir; d != filepath.Dir(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			break // not ours
		}
	}
	for range 5 {
		addr := freePort(t)
		if listening(t, path, config, dir, state, addr, args) {
			return addr
		}
		t.Logf("%s has ended; perhaps another program has taken %s", program, addr)
	}
	t.Fatalf("%s does not listen", program)
	return ""
}

// listening starts the web server and reports whether it listens at addr, or has ended.
func listening(t *testing.T, path, config, dir, state, addr string, args []string) bool {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(state, "config")
	text := strings.NewReplacer("{dir}", dir, "{state}", state, "{host}", host, "{port}", port).Replace(config)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append(args[:len(args):len(args)], file)...)
	cmd.Dir, cmd.Stderr = state, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); <-ended })
	for tick := time.Tick(50 * time.Millisecond); ; { // it does not say when it listens
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return true
		}
		select {
		case <-tick:
		case <-ended:
			return false
		}
	}
}
