package main

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// notified is the socket of a service manager that a test plays.
func notified(t *testing.T) *net.UnixConn {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify-") // short, as the address of a socket must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(time.Minute))
	return c
}

func expectState(t *testing.T, c *net.UnixConn, want string) {
	t.Helper()
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Errorf("the service manager was told %q, %v, want %q", b[:n], err, want)
	}
}

// activated returns a command that runs chunkserve with sockets as systemd would.
func activated(t *testing.T, notify *net.UnixConn, dir string, sockets ...*os.File) *exec.Cmd {
	t.Helper()
	// The shell becomes chunkserve, so its id is that of the process.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], "--state", t.TempDir(), dir)
	cmd.Env = append(os.Environ(), "CHUNKSERVE_TEST_MAIN=1", "LISTEN_FDS="+string(rune('0'+len(sockets))),
		"NOTIFY_SOCKET="+notify.LocalAddr().String())
	cmd.ExtraFiles = sockets
	return cmd
}

// duplicate returns the file of a socket, which the child inherits.
func duplicate(t *testing.T, c interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// The sockets of a socket unit serve both transports, and the service manager
// hears when it is ready and when it stops.
func TestSocketActivation(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 100_000)
	dir := folder(t, map[string]string{"a": content})
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{"tcp": tcp.Addr().String(), "udt": udp.LocalAddr().String()}
	notify := notified(t)
	cmd := activated(t, notify, dir, duplicate(t, udp), duplicate(t, tcp))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr lockedBuffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	// Only the child is there to accept.
	if err := errors.Join(tcp.Close(), udp.Close()); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); !strings.HasPrefix(line, "chunkget udt://"+at["udt"]+"/a") {
		t.Errorf("ready line %q, %v; stderr: %s", line, err, &stderr)
	}
	expectState(t, notify, "READY=1")
	for name, c := range clients(t) {
		resp, body := get(t, c, "http://"+at[name]+"/a")
		if resp.StatusCode != 200 || string(body) != content {
			t.Errorf("%s: status %d, %d bytes", name, resp.StatusCode, len(body))
		}
		c.CloseIdleConnections()
	}
	cmd.Process.Signal(syscall.SIGTERM)
	expectState(t, notify, "STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v; stderr: %s", err, &stderr)
	}
}

// Sockets that do not fit are refused with a hint.
func TestWrongSockets(t *testing.T) {
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	notify := notified(t)
	for want, sockets := range map[string][]*os.File{
		"is missing":  {duplicate(t, tcp)},
		"is one more": {duplicate(t, tcp), duplicate(t, tcp)},
		"none of TCP": {duplicate(t, tcp), duplicate(t, notify)},
	} {
		out, err := activated(t, notify, t.TempDir(), sockets...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), "chunkserve: hint: chunkserve.socket needs") {
			t.Errorf("%s: %v, %s", want, err, out)
		}
	}
}

// systemd understands the units, and finds little that they leave open.
func TestUnits(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "systemd")
	dir := t.TempDir()
	for _, name := range []string{"chunkserve.service", "chunkserve.socket"} {
		unit, err := os.ReadFile(filepath.Join("../../packaging/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		// verify insists on a program that is there.
		text := regexp.MustCompile(`(?m)^ExecStart=\S+`).ReplaceAllString(string(unit), "ExecStart="+os.Args[0])
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	service := filepath.Join(dir, "chunkserve.service")
	for _, args := range [][]string{
		{"verify", "--man=no", service, filepath.Join(dir, "chunkserve.socket")},
		{"security", "--no-pager", "--offline=yes", "--threshold=20", service}, // tenths of 0 to 10
	} {
		out, err := exec.Command(analyze, args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}
