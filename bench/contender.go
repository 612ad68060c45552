package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A contender is a client with the server it fetches from.
type contender struct {
	name  string
	about string // one line for the report

	// connections are the numbers of connections it is measured with; nil
	// means those that the user asked for.
	connections []int

	server serverKind
	flags  func(l Link) []string // that its server gets besides its own; nil = none
	client func(t *target) (name string, args []string)

	// tcp is the congestion control of the kernel on both ends, "" where there
	// is no TCP. Setting it needs a network namespace of one's own.
	tcp string

	// linkOnly says that the contender makes sense only over a link with a rate.
	linkOnly bool

	// memory says that there is no file: the client drops what it receives, and
	// answers for its size itself. It moves more than an emulated link carries.
	memory bool

	// programs must be installed.
	programs []string

	// missing says why the contender cannot run, "" if it can. nil means that
	// it can.
	missing func() string
}

// target is what one client is to fetch, and where it may write.
type target struct {
	tools       *tools
	address     string // host:port of the server
	connections int
	size        int64
	out         string // the file to write
}

func (t *target) url(scheme string) string { return scheme + "://" + t.address + "/" + contentName }

// contentName is the name of the file on the server and of the result.
const contentName = "file.bin"

// tools are the programs that the bench has made itself.
type tools struct {
	chunkget, chunkserve string
	self                 string // the bench, which is also peer of some contenders
}

// contenders is the table of all that can be measured, in the order of the
// report.
func contenders() []contender {
	list := []contender{{
		name:   "chunkget-auto",
		about:  "chunkget from chunkserve over UDT or the system's TCP, whichever it finds better",
		server: serveChunkserve,
		client: chunkgetClient("auto"),
	}, {
		name:   "chunkget-udt",
		about:  "chunkget from chunkserve over UDT, congestion control bbr",
		server: serveChunkserve,
		client: chunkgetClient("udt"),
	}, {
		name:   "chunkget-udt-native",
		about:  "chunkget from chunkserve over UDT, congestion control udt (native DAIMD)",
		server: serveChunkserve,
		flags:  func(Link) []string { return []string{"--congestion", "udt"} },
		client: chunkgetClient("udt"),
	}, {
		name:   "chunkget-udt-ledbat",
		about:  "chunkget from chunkserve over UDT, congestion control ledbat (background)",
		server: serveChunkserve,
		flags:  func(Link) []string { return []string{"--congestion", "ledbat"} },
		client: chunkgetClient("udt"),
	}, {
		name:     "chunkget-udt-fixed",
		about:    "chunkget from chunkserve over UDT, congestion control fixed, told 0.95 of the link's rate",
		server:   serveChunkserve,
		flags:    fixedFlags,
		client:   chunkgetClient("udt"),
		linkOnly: true,
	}}
	for _, cc := range []string{"cubic", "bbr"} {
		list = append(list, contender{
			name:   "chunkget-tcp-" + cc,
			about:  "chunkget from chunkserve over TCP " + cc,
			server: serveChunkserve,
			client: chunkgetClient("tcp"),
			tcp:    cc,
		})
	}
	list = append(list, contender{
		name:        "http3",
		about:       "HTTP/3 by quic-go on both ends, one range and one QUIC connection each",
		connections: []int{1, 8},
		server:      serveHTTP3,
		client:      peerClient("fetch-http3"),
	}, contender{
		name:        "libudt",
		about:       "the C++ UDT library on both ends, HTTP by net/http, one range and one connection each",
		connections: []int{1, 8},
		server:      serveLibudt,
		client:      peerClient("fetch-libudt"),
		missing:     libudtMissing,
	}, contender{
		name:        "chunkserve-libudt",
		about:       "a client of the C++ UDT library from chunkserve, HTTP by net/http, one range and one connection each",
		connections: []int{1, 8},
		server:      serveChunkserve,
		client:      peerClient("fetch-libudt"),
		missing:     libudtMissing,
	})
	for _, cc := range []string{"cubic", "bbr"} {
		list = append(list, contender{
			name:        "curl-" + cc,
			about:       "curl from nginx over TCP " + cc,
			connections: []int{1},
			server:      serveNginx,
			client:      curlClient,
			tcp:         cc,
			programs:    []string{"curl", "nginx"},
		}, contender{
			name:        "aria2-" + cc,
			about:       "aria2c from nginx over TCP " + cc + ", -x and -s as connections",
			connections: []int{8, 16},
			server:      serveNginx,
			client:      aria2Client,
			tcp:         cc,
			programs:    []string{"aria2c", "nginx"},
		}, contender{
			name:        "rclone-" + cc,
			about:       "rclone from nginx over TCP " + cc + ", --multi-thread-streams as connections",
			connections: []int{8},
			server:      serveNginx,
			client:      rcloneClient,
			tcp:         cc,
			programs:    []string{"rclone", "nginx"},
		})
	}
	return append(list, memoryContenders()...)
}

// fixedFlags ask for a rate that leaves a margin below that of the link, as an
// operator would.
func fixedFlags(l Link) []string {
	return []string{"--congestion", "fixed", "--rate", strconv.FormatFloat(0.95*l.Rate, 'f', 0, 64)}
}

// serverFlags returns the flags of the contender's server.
func (c *contender) serverFlags(l Link) []string {
	if c.flags == nil {
		return nil
	}
	return c.flags(l)
}

// quickContenders are the ones of -quick: ours, and the strongest of the others
// on a long path with loss.
var quickContenders = []string{"chunkget-udt", "chunkget-tcp-cubic", "chunkget-tcp-bbr", "http3", "libudt", "curl-bbr", "aria2-bbr"}

// choose returns the contenders with these names, in the order of the table. No
// names mean all of them.
func choose(names []string) ([]contender, error) {
	all := contenders()
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, c := range all {
		known = append(known, c.name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, &usageError{fmt.Sprintf("there is no contender %q; there are: %s", name, strings.Join(known, ", "))}
		}
	}
	return slices.DeleteFunc(all, func(c contender) bool { return !slices.Contains(names, c.name) }), nil
}

// unavailable says why the contender cannot run at such a site, "" if it can.
func (c *contender) unavailable(at place) string {
	switch {
	case c.linkOnly && !at.emulated:
		return "it is told the rate of the link, and there is none"
	case c.memory && at.emulated:
		return "it has no file, and moves more than an emulated link carries"
	}
	if c.missing != nil {
		if reason := c.missing(); reason != "" {
			return reason
		}
	}
	for _, p := range c.programs {
		if _, err := findProgram(p); err != nil {
			return p + " is not installed"
		}
	}
	switch {
	case c.tcp == "":
		return ""
	case at.ownTCP && !slices.Contains(tcpControls("tcp_available_congestion_control"), c.tcp):
		return "the kernel has no TCP " + c.tcp
	case !at.ownTCP && !slices.Contains(tcpControls("tcp_congestion_control"), c.tcp):
		return "TCP " + c.tcp + " is not what this machine uses, and only a namespace of its own can change that (bench wan)"
	}
	return ""
}

// tcpControls returns the congestion controls that the kernel lists in a file.
func tcpControls(file string) []string {
	b, err := os.ReadFile("/proc/sys/net/ipv4/" + file)
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

// findProgram looks a program up, also where daemons are installed, which is not
// in everybody's path.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// chunkgetClient runs chunkget as its users do: it adds connections, up to those of t,
// while the rate rises. transport is what its flag says.
func chunkgetClient(transport string) func(t *target) (string, []string) {
	return func(t *target) (string, []string) {
		scheme := "udt"
		if transport == "tcp" {
			scheme = "http"
		}
		return t.tools.chunkget, []string{"--quiet", "--compress", "off", "--transport", transport, "--connections", strconv.Itoa(t.connections), "--output", t.out, t.url(scheme)}
	}
}

// peerClient runs a client that is part of the bench. It is told the size of the
// file, which saves it the round trip in which it would ask.
func peerClient(role string) func(t *target) (string, []string) {
	return func(t *target) (string, []string) {
		return t.tools.self, []string{peerCommand, role, "-address", t.address, "-n", strconv.Itoa(t.connections),
			"-size", strconv.FormatInt(t.size, 10), "-out", t.out}
	}
}

func curlClient(t *target) (string, []string) {
	return "curl", []string{"--disable", "--silent", "--show-error", "--fail", "--noproxy", "*", "--output", t.out, t.url("http")}
}

// aria2Client writes without a cache of its own, so that the first byte in the
// file is the first byte.
func aria2Client(t *target) (string, []string) {
	n := strconv.Itoa(t.connections)
	return "aria2c", []string{"--no-conf", "--no-proxy=*", "--quiet", "--file-allocation=none", "--disk-cache=0",
		"--max-connection-per-server=" + n, "--split=" + n, "--min-split-size=1M",
		"--dir=" + filepath.Dir(t.out), "--out=" + filepath.Base(t.out), t.url("http")}
}

func rcloneClient(t *target) (string, []string) {
	return "rclone", []string{"copyto", "--config", "", "--multi-thread-cutoff", "1M",
		"--multi-thread-streams", strconv.Itoa(t.connections),
		":http,url='http://" + t.address + "/':" + contentName, t.out}
}
