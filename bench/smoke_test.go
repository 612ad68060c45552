package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test binary be the peers that the bench starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == peerCommand {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// smoke runs the bench and returns its rows.
func smoke(t *testing.T, args ...string) []Row {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not in the path, and the bench builds what it measures")
	}
	dir := t.TempDir()
	files := t.TempDir()
	var log bytes.Buffer
	if code := run(t.Context(), append(args, "-files", files, "-out", dir), &log, &log); code != 0 {
		t.Fatalf("exit code %d: %s", code, log.String())
	}
	rows, err := readDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	pages := []string{"report.html", "report.md"}
	if slices.Contains(args, "-trace") {
		pages = append(pages, "traces.html")
	}
	for _, name := range pages {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() < 500 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if left, err := os.ReadDir(files); err != nil || len(left) > 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
	return rows
}

// selfContained are contenders that need no other program, and nothing of the kernel: none of
// them may be skipped.
var selfContained = []string{"chunkget-udt", "http3", "memory-udt", "memory-quic"}

// checkSmoke checks rows of transfers of 1 MiB.
func checkSmoke(t *testing.T, rows []Row, want int) {
	t.Helper()
	ran := 0
	for _, r := range rows {
		name := r.Contender
		if r.Status == statusSkipped && !slices.Contains(selfContained, name) || r.Status == statusRefused {
			t.Logf("%s: %s: %s", name, r.Status, r.Reason)
			ran++
			continue
		}
		if !r.ok() {
			t.Errorf("%s: %s: %s", name, r.Status, r.Reason)
			continue
		}
		ran++
		if r.Bytes != 1<<20 || r.Seconds <= 0 || r.Client.CPU <= 0 || r.Server.CPU <= 0 || r.Machine.Go == "" || r.Run == "" || len(r.Flags) == 0 {
			t.Errorf("%s: incomplete row %+v", name, r)
		}
		if runtime.GOOS == "linux" && (r.Client.Memory < 1<<19 || r.Server.Memory < 1<<19) {
			t.Errorf("%s: peak memory %d and %d bytes", name, r.Client.Memory, r.Server.Memory)
		}
	}
	if ran < want {
		t.Errorf("%d transfers, want %d", ran, want)
	}
}

func TestLoopback(t *testing.T) {
	rows := smoke(t, strings.Fields("loopback -trace -size 1MiB -n 2 -reps 1 -contenders chunkget-udt,http3,libudt")...)
	checkSmoke(t, rows, 5)
}

func TestMemory(t *testing.T) {
	var names []string
	for _, c := range memoryContenders() {
		names = append(names, c.name)
	}
	rows := smoke(t, "loopback", "-size", "1MiB", "-reps", "1", "-contenders", strings.Join(names, ","))
	checkSmoke(t, rows, len(names))
}

func TestVeth(t *testing.T) {
	needNamespaces(t)
	rows := smoke(t, strings.Fields("veth -size 1MiB -n 2 -reps 1 -contenders chunkget-udt,chunkget-tcp-cubic,memory-udt")...)
	checkSmoke(t, rows, 3)
}

// needNamespaces skips where network namespaces cannot be made.
func needNamespaces(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("network namespaces need Linux and root")
	}
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("network namespaces need %s", program)
		}
	}
}

func TestStoppedIsNotRepeated(t *testing.T) {
	rows := smoke(t, strings.Fields("loopback -size 1MiB -n 1,2 -reps 3 -bound 1ms -contenders chunkget-udt")...)
	if len(rows) != 2 {
		t.Errorf("%d transfers, want the first repetition of two", len(rows))
	}
	for _, r := range rows {
		if r.Status != statusTimeout || !r.NotRepeated || !strings.Contains(r.Reason, "stopped, not repeated") {
			t.Errorf("%s ×%d: %s: %s, not repeated %v", r.Contender, r.Connections, r.Status, r.Reason, r.NotRepeated)
		}
	}
}

func TestWAN(t *testing.T) {
	needNamespaces(t)
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("emulated links need TUN devices: %v", err)
	}
	rows := smoke(t, strings.Fields("wan -rate 50M -rtt 20ms -size 1MiB -n 2 -reps 1 -contenders chunkget-udt,chunkget-tcp-cubic,curl-cubic,aria2-cubic -fairness 1s")...)
	pairs := make(map[string]bool)
	rows = slices.DeleteFunc(rows, func(r Row) bool {
		if r.Scenario != scenarioFairness {
			return false
		}
		pairs[r.Contender] = true
		// A second of four intervals; a second flow that begins at a third of it, as the
		// second interval does, has three.
		samples := 4
		if strings.Contains(r.Contender, "then") {
			samples = 3
		}
		if r.Status == statusFailed || r.ok() && (len(r.Shares) != 2 || len(r.Shares[0].Rates) != 4 || len(r.Shares[1].Rates) != samples) {
			t.Errorf("%s: %s: %s, %+v", r.Contender, r.Status, r.Reason, r.Shares)
		}
		for _, s := range r.Shares {
			sum := 0.0
			for _, rate := range s.Rates {
				sum += rate
			}
			if mean := sum / float64(len(s.Rates)); mean > 1.1*50e6 {
				t.Errorf("%s: %s had %.0f Mbit/s over a link of 50", r.Contender, s.Contender, mean/1e6)
			}
		}
		if r.ok() && r.Shares[1].Start != 0.25*float64(4-samples) {
			t.Errorf("%s: %+v", r.Contender, r.Shares)
		}
		return true
	})
	if len(pairs) != len(sharing) {
		t.Errorf("%d pairs shared the link, want %d", len(pairs), len(sharing))
	}
	checkSmoke(t, rows, 4)
	for _, r := range rows {
		if !r.ok() {
			continue
		}
		// 1 MiB are 721 packets at least.
		if r.ToClient == nil || r.ToClient.Packets < 721 || r.ToServer == nil || r.ToServer.Packets < 10 || r.share() <= 0 || r.share() > 1 {
			t.Errorf("%s: the link counted %+v and %+v, share %v", r.Contender, r.ToClient, r.ToServer, r.share())
		}
		// The link saw each packet that was sent again beside those of the file, however
		// many a machine that stands still now and then has lost in its queue.
		if r.Retransmitted == nil {
			t.Errorf("%s does not say what it sent again", r.Contender)
		} else if *r.Retransmitted > r.ToClient.Packets-721 {
			t.Errorf("%s: retransmitted %d of %d packets, and the file has 721", r.Contender, *r.Retransmitted, r.ToClient.Packets)
		}
	}
}

// A client whose file is wrong must not have a figure, whatever it says of
// itself.
func TestWrongResultFails(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell to be a bad client")
	}
	r, err := newRunner(t.TempDir(), &tools{self: os.Args[0]}, 1<<16, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(r.content, contentName))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, script, want string }{
		{"right", `cp "$1" "$2"`, ""},
		{"short", `head -c 65535 "$1" > "$2"`, "65535 bytes instead of 65536"},
		{"other content", `head -c 65536 /dev/zero > "$2"`, "differs"},
		{"nothing", `true`, "left no file"},
		{"complaint", `cp "$1" "$2"; echo "out of coffee" >&2; exit 3`, "exit status 3: out of coffee"},
	} {
		c := contender{name: "test", server: serveHTTP3, client: func(to *target) (string, []string) {
			return "sh", []string{"-c", tt.script, "sh", filepath.Join(r.content, contentName), to.out}
		}}
		row, err := r.transfer(t.Context(), loopbackSite(), &c, 1)
		if err != nil {
			t.Fatal(err)
		}
		if tt.want == "" && !row.ok() || tt.want != "" && (row.Status != statusFailed || !strings.Contains(row.Reason, tt.want)) {
			t.Errorf("%s: %s: %q, want a reason with %q", tt.name, row.Status, row.Reason, tt.want)
		}
	}
	if len(content) != 1<<16 {
		t.Errorf("%d bytes of content", len(content))
	}

	// A client that a busy machine has not started before the bound is over was stopped.
	r.bound = 1
	c := contender{name: "test", server: serveHTTP3, client: func(to *target) (string, []string) { return "true", nil }}
	row, err := r.transfer(t.Context(), loopbackSite(), &c, 1)
	if err != nil || row.Status != statusTimeout {
		t.Errorf("too late to begin: %s: %q, %v", row.Status, row.Reason, err)
	}
}
