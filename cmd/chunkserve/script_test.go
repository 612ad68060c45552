package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/chunkget/chunkget/internal/pin"
	"github.com/chunkget/chunkget/internal/scripts"
	"github.com/chunkget/chunkget/udtpool"
)

// TestMain is chunkserve itself when a test starts this binary again, and runs the
// programs of scripts.
func TestMain(m *testing.M) {
	if os.Getenv("CHUNKSERVE_TEST_MAIN") == "1" {
		main()
	}
	testscript.Main(m, map[string]func(){"chunkserve": main, "request": requestMain})
}

// TestScripts runs the scripts of testdata/script. Besides chunkserve they have the
// program
//
//	request [-d FILE] [-H FIELD]... METHOD URL
//
// which makes a request over UDT or TCP, as the scheme of the URL says, with the key
// pinned that its fragment names, and prints status, header and body; and the commands:
//
//	serve NAME ARGS...       start chunkserve on a free port of loopback. NAME is its
//	                         host:port, NAME_PIN # and its pin, NAME_READY what it printed
//	end NAME SIGNAL CODE     send it SIGNAL, check that it ends with CODE, and write its
//	                         log to NAME.log
//	exits CODE COMMAND...    run and check the exit code
//	mode OCTAL FILE          set the mode of a file
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, ".state"))
			e.Values[scriptKey{}] = &script{env: e, servers: make(map[string]*process)}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve": scriptServe,
			"end":   scriptEnd,
			"exits": scripts.Exits,
			"mode":  scripts.Mode,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// script is what the commands of one script share.
type script struct {
	env     *testscript.Env
	servers map[string]*process // by name
}

type scriptKey struct{}

// process is a chunkserve that a script has started.
type process struct {
	cmd  *exec.Cmd
	log  bytes.Buffer      // to be read after wait
	wait func() (code int) // for its end
}

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 2, "serve NAME ARGS...")
	sc := ts.Value(scriptKey{}).(*script)
	program, err := exec.LookPath("chunkserve")
	ts.Check(err)
	p := &process{cmd: exec.Command(program, append([]string{"--listen", "127.0.0.1:0"}, args[1:]...)...)}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = ts.MkAbs("."), sc.env.Vars, &p.log
	stdout, err := p.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	out := bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	p.wait = sync.OnceValue(func() int {
		io.Copy(io.Discard, out) // Wait closes the pipe
		p.cmd.Wait()
		return p.cmd.ProcessState.ExitCode()
	})
	ts.Defer(func() {
		p.cmd.Process.Kill()
		p.wait()
	})
	m := readyLineRE.FindStringSubmatch(line)
	if m == nil {
		p.cmd.Process.Kill()
		p.wait()
		ts.Fatalf("no ready line but %q (%v); stderr: %s", line, err, p.log.String())
	}
	sc.servers[args[0]] = p
	_, fragment, _ := strings.Cut(strings.TrimSpace(line), "#")
	ts.Setenv(args[0], m[1])
	ts.Setenv(args[0]+"_PIN", "#"+fragment)
	ts.Setenv(args[0]+"_READY", strings.TrimSpace(line))
}

var signals = map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill}

func scriptEnd(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 3, "end NAME SIGNAL CODE")
	p, signal := ts.Value(scriptKey{}).(*script).servers[args[0]], signals[args[1]]
	if p == nil || signal == nil {
		ts.Fatalf("end needs a server and a known signal")
	}
	ts.Check(p.cmd.Process.Signal(signal))
	code := p.wait()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".log"), p.log.Bytes(), 0o666))
	if strconv.Itoa(code) != args[2] {
		ts.Fatalf("exit code %d, want %s; stderr: %s", code, args[2], p.log.String())
	}
}

func requestMain() {
	if err := request(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "request:", err)
		os.Exit(1)
	}
}

// request makes a request and prints the answer.
func request(args []string, stdout io.Writer) error {
	header := make(http.Header)
	flags := flag.NewFlagSet("request", flag.ContinueOnError)
	file := flags.String("d", "", "send `FILE`")
	flags.Func("H", "send `FIELD`", func(s string) error {
		name, value, _ := strings.Cut(s, ": ")
		header.Add(name, value)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	u, err := url.Parse(flags.Arg(1))
	if err != nil {
		return err
	}
	p, pinned, err := pin.ParseFragment(u.Fragment)
	if err != nil {
		return err
	}
	u.Fragment = ""
	config := new(tls.Config)
	if pinned {
		config = p.Config(config)
	}
	var rt http.RoundTripper = &http.Transport{TLSClientConfig: config, DisableCompression: true}
	if strings.HasPrefix(u.Scheme, "udt") {
		pool := udtpool.New(udtpool.Config{TLS: func(string) *tls.Config { return config.Clone() }})
		defer pool.Close()
		rt = pool
	}
	var body io.Reader
	if *file != "" {
		content, err := os.ReadFile(*file)
		if err != nil {
			return err
		}
		body = bytes.NewReader(content)
	}
	req, err := http.NewRequest(flags.Arg(0), u.String(), body)
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Fprintln(stdout, "status", resp.StatusCode)
	var fields []string
	for name, values := range resp.Header {
		for _, v := range values {
			fields = append(fields, name+": "+v)
		}
	}
	slices.Sort(fields)
	fmt.Fprintf(stdout, "%s\n\n", strings.Join(fields, "\n"))
	_, err = io.Copy(stdout, resp.Body)
	return err
}
