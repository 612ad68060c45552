//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chunkget/chunkget/journal"
)

// binDir holds the built programs.
var binDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "chunkget-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binDir = dir
		flag.Parse()
		profile, err := profiling(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		build := exec.Command("go", append(append([]string{"build"}, profile...), "-o", dir, "../../cmd/chunkget", "../../cmd/chunkserve")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
			return 1
		}
		// Where chunkget remembers servers; go build has its cache there, too.
		os.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
		return m.Run()
	}())
}

// program returns the path of a built program.
func program(t *testing.T, name string) string {
	t.Helper()
	if err := noteSources(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binDir, name)
}

// noteSources looks at every source file, which makes them inputs of the test:
// go test caches results and does not see what a subprocess builds. It notes
// what tests look at, not what TestMain does.
var noteSources = sync.OnceValue(func() error {
	return filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		_, err = os.Stat(path)
		return err
	})
})

// skipShort leaves out what moves a lot of data.
func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("moves hundreds of megabytes")
	}
	if raceEnabled {
		t.Skip("the programs are built without the race detector: it would see nothing")
	}
}

// randomFile writes size random bytes to a new file of the given name.
func randomFile(t *testing.T, dir, name string, size int64) string {
	t.Helper()
	path := filepath.Join(dir, name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{byte(size)}), size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// sameContent fails the test unless the files are byte-identical.
func sameContent(t *testing.T, a, b string) {
	t.Helper()
	if n, size := matchingBytes(t, a, b); n != size {
		t.Errorf("%s has %d bytes of the %d of %s", filepath.Base(b), n, size, filepath.Base(a))
	}
}

// matchingBytes compares b with a in blocks of 4 KiB and returns how many
// bytes of a stand in b where they belong.
func matchingBytes(t *testing.T, a, b string) (matching, size int64) {
	t.Helper()
	fa, err := os.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer fb.Close()
	ra, rb := bufio.NewReaderSize(fa, 1<<20), bufio.NewReaderSize(fb, 1<<20)
	ba, bb := make([]byte, 4096), make([]byte, 4096)
	for {
		n, err := io.ReadFull(ra, ba)
		size += int64(n)
		k, _ := io.ReadFull(rb, bb)
		if n == k && bytes.Equal(ba[:n], bb[:n]) {
			matching += int64(n)
		}
		if err != nil {
			break
		}
	}
	if n, _ := rb.Read(bb); n > 0 {
		t.Errorf("%s is longer than %s", filepath.Base(b), filepath.Base(a))
	}
	return matching, size
}

// server is a running chunkserve.
type server struct {
	t    *testing.T
	dir  string
	addr string // host:port
	pin  string // fragment of the URL that it printed, "" without TLS
	args []string
	cmd  *exec.Cmd
	log  bytes.Buffer

	launch func(*exec.Cmd) error // starts the program, nil for here
}

// serveDir starts a chunkserve of dir on a free port, with these flags.
func serveDir(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, args: append([]string{"--state", t.TempDir()}, args...)}
	s.start("127.0.0.1:0")
	t.Cleanup(s.kill)
	return s
}

// serveBig starts a chunkserve of the file big.bin of random bytes, and returns the
// path of that, too.
func serveBig(t *testing.T, size int64) (s *server, original string) {
	t.Helper()
	dir := t.TempDir()
	original = randomFile(t, dir, "big.bin", size)
	return serveDir(t, dir), original
}

var readyLine = regexp.MustCompile(`udts?://([^/\s]+)/[^#\s]*(#pin=\S+)?`)

func (s *server) start(listen string) {
	s.t.Helper()
	for try := 0; !s.tryStart(listen); try++ {
		if try == 600 {
			s.t.Fatalf("%s stays in use", listen)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// tryStart starts the server and reports whether it could: a port that was free, or the
// server's own before it was killed, may just be that of another program's connection.
func (s *server) tryStart(listen string) bool {
	s.t.Helper()
	logged := s.log.Len()
	s.cmd = exec.Command(program(s.t, "chunkserve"), append([]string{"--listen", listen, s.dir}, s.args...)...)
	s.cmd.Stderr = &s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	launch := (*exec.Cmd).Start
	if s.launch != nil {
		launch = s.launch
	}
	if err := launch(s.cmd); err != nil {
		s.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	m := readyLine.FindStringSubmatch(line)
	if err != nil || m == nil {
		s.kill()
		if strings.Contains(s.log.String()[logged:], "another program uses this port") {
			return false
		}
		s.t.Fatalf("chunkserve printed %q, %v; log:\n%s", line, err, &s.log)
	}
	s.addr, s.pin = m[1], m[2]
	return true
}

// kill ends the server with SIGKILL.
func (s *server) kill() {
	if s.cmd.ProcessState == nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

// restart starts the server again at the same address after a kill.
func (s *server) restart() {
	s.t.Helper()
	s.start(s.addr)
}

func (s *server) url(scheme, name string) string { return scheme + "://" + s.addr + "/" + name }

// peakMemory is the largest resident size of the server so far, in MiB.
func (s *server) peakMemory() int64 { return residentPeak(s.cmd.Process.Pid) }

// residentPeak is the largest resident size of a process so far, in MiB.
func residentPeak(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	var kb int64
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			break
		}
	}
	return kb >> 10
}

// event is a line of chunkget --json, with the fields that the tests look at.
type event struct {
	Event        string  `json:"event"`
	Bytes        int64   `json:"bytes"`
	BytesFetched int64   `json:"bytes_fetched"`
	BytesWire    int64   `json:"bytes_wire"`
	BytesResumed int64   `json:"bytes_resumed"`
	BytesSent    int64   `json:"bytes_sent"`
	BytesHedged  int64   `json:"bytes_hedged"`
	Total        int64   `json:"total"`
	PiecesBad    int     `json:"pieces_bad"`
	Seconds      float64 `json:"seconds"`
	Connections  int     `json:"connections"`
	Transport    string  `json:"transport"`
	Root         string  `json:"root"`
	Verified     bool    `json:"verified"`
	Decision     string  `json:"decision"`
	Reason       string  `json:"reason"`
	Retries      int     `json:"retries"`

	TransportReason string `json:"transport_reason"`

	Mirrors []struct {
		URL   string `json:"url"`
		Bytes int64  `json:"bytes"`
	} `json:"mirrors"`
}

// client is a running chunkget --json.
type client struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer
	events chan event // closed when the program's output ends
	seen   []event    // those received by wait
	reader sync.WaitGroup
}

// get starts chunkget --json with the given arguments, in dir.
func get(t *testing.T, dir string, args ...string) *client {
	t.Helper()
	return chunkget(t, append([]string{"--json", "-d", dir}, args...)...)
}

// chunkget starts chunkget, which prints events.
func chunkget(t *testing.T, args ...string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute) // only ends a test that would hang
	t.Cleanup(cancel)
	c := &client{t: t, events: make(chan event, 1024)}
	c.cmd = exec.CommandContext(ctx, program(t, "chunkget"), args...)
	c.cmd.Stderr = &c.stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.reader.Go(func() {
		defer close(c.events)
		d := json.NewDecoder(out)
		for {
			var e event
			if err := d.Decode(&e); err != nil {
				return // a killed program may leave half a line
			}
			c.events <- e
		}
	})
	return c
}

// until waits for an event that ok accepts, and reports whether it came.
func (c *client) until(ok func(event) bool) bool {
	for e := range c.events {
		c.seen = append(c.seen, e)
		if ok(e) {
			return true
		}
	}
	return false
}

// while waits as long as a condition holds, which is seen by looking only, and reports
// whether the program still runs.
func (c *client) while(holds func() bool) bool {
	for tick := time.Tick(10 * time.Millisecond); holds(); {
		select {
		case e, ok := <-c.events:
			if !ok {
				return false
			}
			c.seen = append(c.seen, e)
		case <-tick:
		}
	}
	return true
}

// untilRecorded waits until the journals that match pattern say of so many pieces that
// they are on disk.
func (c *client) untilRecorded(pattern string, pieces int) {
	c.t.Helper()
	if !c.while(func() bool { return recordedPieces(c.t, pattern) < pieces }) {
		c.t.Fatalf("chunkget ended with code %d, and %d pieces are recorded\n%s", c.wait(), recordedPieces(c.t, pattern), &c.stderr)
	}
}

// recordedPieces returns how many pieces the journals that match pattern say are on
// disk. While it is being written a journal may be none.
func recordedPieces(t *testing.T, pattern string) (pieces int) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if s, err := journal.ReadFile(path); err == nil {
			pieces += s.Count()
		}
	}
	return pieces
}

// wait waits for the program's end and returns its exit code.
func (c *client) wait() int {
	c.until(func(event) bool { return false })
	c.reader.Wait()
	c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

// done waits for success and returns the done event.
func (c *client) done() event {
	c.t.Helper()
	code := c.wait()
	last, ok := c.last("done")
	if code != 0 || !ok {
		c.t.Fatalf("chunkget ended with code %d and %+v\n%s", code, c.seen[max(0, len(c.seen)-3):], &c.stderr)
	}
	return last
}

// last returns the latest event of a kind that was seen.
func (c *client) last(kind string) (event, bool) {
	for i := len(c.seen) - 1; i >= 0; i-- {
		if c.seen[i].Event == kind {
			return c.seen[i], true
		}
	}
	return event{}, false
}

// kill ends the program with SIGKILL.
func (c *client) kill() {
	c.cmd.Process.Kill()
	c.wait()
}

// peakMemory is the largest resident size that the ended program had, in MiB.
func (c *client) peakMemory() int64 {
	return int64(c.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) >> 10
}

// mustNotExist fails the test if there is such a file.
func mustNotExist(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); err == nil {
		t.Errorf("%s exists", filepath.Base(path))
	}
}

// freePort returns a TCP address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
