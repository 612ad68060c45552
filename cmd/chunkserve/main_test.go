package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/chunkget/chunkget/udt"
)

// A lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A testServer is chunkserve running in this process.
type testServer struct {
	ready  string // the line on stdout
	host   string // host:port of both transports
	stderr *lockedBuffer
	stop   func() (code int)
}

var readyLineRE = regexp.MustCompile(`^chunkget udts?://([^/]+)/(\S*)\n$`)

// start runs chunkserve on loopback with args after its own flags, until the
// test ends or stop is called.
func start(t *testing.T, args ...string) *testServer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	s := &testServer{stderr: new(lockedBuffer)}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"--listen", "127.0.0.1:0", "--state", t.TempDir()}, args...), w, s.stderr)
		w.Close()
	}()
	s.stop = sync.OnceValue(func() int {
		cancel()
		return <-code
	})
	t.Cleanup(func() { s.stop() })
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	m := readyLineRE.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("no ready line but %q (%v); stderr: %s", line, err, s.stderr)
	}
	s.ready, s.host = line, m[1]
	go func() {
		if rest, _ := io.ReadAll(out); len(rest) > 0 {
			t.Errorf("more on stdout: %q", rest)
		}
	}()
	return s
}

// folder returns a new folder with the given files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// clients returns an http.Client for each transport. They accept no compression.
func clients(t *testing.T) map[string]*http.Client {
	overUDT := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		return new(udt.Dialer).DialContext(ctx, "udt", address)
	}}
	overTCP := &http.Transport{DisableCompression: true}
	t.Cleanup(overUDT.CloseIdleConnections)
	t.Cleanup(overTCP.CloseIdleConnections)
	return map[string]*http.Client{"udt": {Transport: overUDT}, "tcp": {Transport: overTCP}}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, []byte) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// One port serves the same bytes, the same ETag and the same tree on UDP and TCP.
func TestBothTransports(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 200_000)
	s := start(t, folder(t, map[string]string{"big file.iso": content}))
	if !strings.HasSuffix(s.ready, "/big%20file.iso\n") {
		t.Errorf("ready line %q without the only file", s.ready)
	}
	seen := map[string]bool{}
	for name, c := range clients(t) {
		resp, body := get(t, c, "http://"+s.host+"/big%20file.iso")
		if resp.StatusCode != 200 || string(body) != content {
			t.Errorf("%s: status %d, %d bytes", name, resp.StatusCode, len(body))
		}
		tree, wire := get(t, c, "http://"+s.host+"/big%20file.iso?digest=tree")
		if tree.Header.Get("ETag") != resp.Header.Get("ETag") {
			t.Errorf("%s: ETags %s and %s", name, resp.Header.Get("ETag"), tree.Header.Get("ETag"))
		}
		seen[resp.Header.Get("ETag")+string(wire)] = true
	}
	if len(seen) != 1 {
		t.Errorf("%d different trees or ETags", len(seen))
	}
	if code := s.stop(); code != exitOK {
		t.Errorf("exit code %d; stderr: %s", code, s.stderr)
	}
	if log := s.stderr.String(); !strings.Contains(log, "path=/big%20file.iso status=200") {
		t.Errorf("log: %s", log)
	}
}

func TestCompressFlag(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 10_000)
	for flag, want := range map[string]string{"auto": "zstd", "off": ""} {
		s := start(t, "--compress", flag, folder(t, map[string]string{"a": content}))
		for name, c := range clients(t) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.host+"/a", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", "zstd")
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || resp.Header.Get("Content-Encoding") != want || (n < int64(len(content))) != (want != "") {
				t.Errorf("--compress %s, %s: %d bytes in the coding %q, %v", flag, name, n, resp.Header.Get("Content-Encoding"), err)
			}
		}
	}
}

func TestReadyLineFile(t *testing.T) {
	for _, tt := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{}, "/\n"},
		{map[string]string{"a": ""}, "/a\n"},
		{map[string]string{"a": "", ".b": ""}, "/a\n"},
		{map[string]string{"a": "", "b": ""}, "/\n"},
		{map[string]string{"a": "", "dir/b": ""}, "/\n"},
		{map[string]string{"dir/b": ""}, "/\n"},
		{map[string]string{"$(id)&`ls`;'\"": ""}, "/%24%28id%29%26%60ls%60%3B%27%22\n"},
	} {
		s := start(t, folder(t, tt.files))
		if !strings.HasSuffix(s.ready, s.host+tt.want) {
			t.Errorf("%v: %q", tt.files, s.ready)
		}
		s.stop()
	}
	s := start(t, "--dotfiles", folder(t, map[string]string{".b": ""}))
	if !strings.HasSuffix(s.ready, "/.b\n") {
		t.Errorf("with --dotfiles: %q", s.ready)
	}
}

func TestUsage(t *testing.T) {
	dir := folder(t, map[string]string{"file": ""})
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{}, "no folder given"}, // nil stands for the arguments of the test binary
		{[]string{dir, dir}, "one folder expected"},
		{[]string{filepath.Join(dir, "none\x1b[31m")}, "there is no folder"},
		{[]string{filepath.Join(dir, "file")}, "is not a folder"},
		{[]string{"--listen", "9000", dir}, "is no address"},
		{[]string{"--listen", ":http9", dir}, "is no port"},
		{[]string{"--listen", ":65536", dir}, "is no port"},
		{[]string{"--status", "x", dir}, "is no address"},
		{[]string{"--log-level", "loud", dir}, "is not known"},
		{[]string{"--compress", "brotli", dir}, "is not known"},
		{[]string{"--congestion", "vegas", dir}, "there are bbr, ledbat, fixed, udt"},
		{[]string{"--congestion", "fixed", dir}, "needs a rate"},
		{[]string{"--rate", "200M", dir}, "takes no rate"},
		{[]string{"--memory", "1MiB", dir}, "too little"},
		{[]string{"--memory", "much", dir}, "no size such as"},
		{[]string{"--congestion", "fixed", "--rate", "200", dir}, "no rate such as"},
		{[]string{"--max-conns", "-1", dir}, "--max-conns is too little"},
		{[]string{"--request-rate", "NaN", dir}, "--request-rate is too little"},
		{[]string{"--max-header", "12B", dir}, "--max-header is too little"},
		{[]string{"--min-rate", "0", dir}, "no rate such as"},
		{[]string{"--max-ranges", "0", dir}, "--max-ranges is too little"},
		{[]string{"--unknown\x1b[31m", dir}, "unknown flag"},
		{[]string{"--unknown\x9b31m", dir}, `--unknown\x9b31m`}, // CSI in eight bits
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), tt.args, &stdout, &stderr)
		if code != exitUsage || stdout.Len() > 0 {
			t.Errorf("%q: exit code %d, stdout %q", tt.args, code, &stdout)
		}
		lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
		if len(lines) != 2 || !strings.HasPrefix(lines[0], "chunkserve: error: ") || !strings.HasPrefix(lines[1], "chunkserve: hint: ") ||
			!strings.Contains(lines[0], tt.want) || strings.Contains(stderr.String(), "\x1b") {
			t.Errorf("%q: stderr %q", tt.args, &stderr)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for arg, want := range map[string]string{"--help": "chunkserve ./data", "--version": "chunkserve "} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{arg}, &stdout, &stderr); code != exitOK || stderr.Len() > 0 || !strings.Contains(stdout.String(), want) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", arg, code, &stdout, &stderr)
		}
	}
}

// A port that is taken, on either transport, fails with its name and a hint.
func TestPortTaken(t *testing.T) {
	dir := t.TempDir()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp := onlyUDP(t)
	for _, tt := range []struct{ flag, address, want string }{
		{"--listen", tcp.Addr().String(), "TCP"}, {"--listen", udp.LocalAddr().String(), "UDT"}, {"--status", tcp.Addr().String(), "--status"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"--listen", "127.0.0.1:0", "--state", dir, tt.flag, tt.address, dir}, &stdout, &stderr)
		if code != exitOther || stdout.Len() > 0 || !strings.Contains(stderr.String(), tt.want+" ") && !strings.Contains(stderr.String(), tt.want+")") ||
			!strings.Contains(stderr.String(), tt.address) || !strings.Contains(stderr.String(), "hint: ") {
			t.Errorf("%s: exit code %d, stderr %s", tt.want, code, &stderr)
		}
	}
}

// onlyUDP takes a UDP port whose number nobody uses over TCP.
func onlyUDP(t *testing.T) net.PacketConn {
	for {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { udp.Close() })
		if tcp, err := net.Listen("tcp", udp.LocalAddr().String()); err == nil {
			tcp.Close()
			return udp
		}
	}
}

func TestStatus(t *testing.T) {
	s := start(t, "--status", ":0", folder(t, map[string]string{"a": "abc"}))
	m := regexp.MustCompile(`url=(http://127\.0\.0\.1:\d+/)`).FindStringSubmatch(s.stderr.String())
	if m == nil {
		t.Fatalf("no status address on loopback; stderr: %s", s.stderr)
	}
	c := clients(t)
	get(t, c["udt"], "http://"+s.host+"/a")
	resp, body := get(t, c["tcp"], m[1])
	var st status
	if err := json.Unmarshal(body, &st); err != nil || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v in %s", err, body)
	}
	if st.Requests != 1 || st.BytesSent != 3 || st.Connections != 1 || st.UptimeSeconds <= 0 || len(st.Listen) != 2 || !st.CachedOnDisk {
		t.Errorf("status %s", body)
	}
	if resp, _ := get(t, c["tcp"], m[1]+"a"); resp.StatusCode != 404 {
		t.Errorf("the status address serves files: %d", resp.StatusCode)
	}
}

// Without a place for its cache the server works, and says so.
func TestNoState(t *testing.T) {
	dir := folder(t, map[string]string{"a": "abc"})
	s := start(t, "--state", filepath.Join(dir, "a"), dir)
	if _, body := get(t, clients(t)["tcp"], "http://"+s.host+"/a"); string(body) != "abc" {
		t.Errorf("body %q", body)
	}
	if !strings.Contains(s.stderr.String(), "--state") {
		t.Errorf("stderr: %s", s.stderr)
	}
}

func TestReachable(t *testing.T) {
	for in, want := range map[string]string{"127.0.0.1": "127.0.0.1", "192.0.2.7": "192.0.2.7", "2001:db8::7": "2001:db8::7", "::ffff:192.0.2.7": "192.0.2.7"} {
		if got := reachable(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("%s: %v", in, got)
		}
	}
	for _, in := range []string{"0.0.0.0", "::"} {
		if got := reachable(netip.MustParseAddr(in)); !got.IsValid() || got.IsUnspecified() || got.IsMulticast() || in == "0.0.0.0" && !got.Is4() {
			t.Errorf("%s: %v", in, got)
		}
	}
}

// The first signal stops the server in order; a second one does at once, although a
// download that nobody reads is under way.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no way to send an interrupt here")
	}
	dir := folder(t, map[string]string{"a": strings.Repeat("x", 64<<20)})
	launch := func() (*exec.Cmd, string, *bufio.Reader) {
		t.Helper()
		cmd := exec.Command(os.Args[0], "--listen", "127.0.0.1:0", "--state", t.TempDir(), dir)
		cmd.Env = append(os.Environ(), "CHUNKSERVE_TEST_MAIN=1")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		line, err := bufio.NewReader(stdout).ReadString('\n')
		m := readyLineRE.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("no ready line but %q (%v)", line, err)
		}
		return cmd, m[1], bufio.NewReader(stderr)
	}
	logged := func(r *bufio.Reader, want string) {
		t.Helper()
		for {
			line, err := r.ReadString('\n')
			if strings.Contains(line, want) {
				return
			}
			if err != nil {
				t.Fatalf("%s was not logged: %v", want, err)
			}
		}
	}

	cmd, _, log := launch()
	cmd.Process.Signal(os.Interrupt)
	logged(log, "msg=stopping")
	io.Copy(io.Discard, log)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after one signal: %v", err)
	}

	cmd, host, log := launch()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: test\r\n\r\n")
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(os.Interrupt)
	logged(log, "msg=stopping")
	cmd.Process.Signal(os.Interrupt)
	io.Copy(io.Discard, log)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != exitKilled {
		t.Errorf("after two signals: %v", err)
	}
}
