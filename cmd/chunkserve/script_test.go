package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
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
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/chunkget/chunkget/internal/pin"
	"github.com/chunkget/chunkget/internal/scripts"
	"github.com/chunkget/chunkget/udt"
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
//	request [-w] [-d FILE] [-E FILE] [-H FIELD]... METHOD URL
//
// which makes a request over UDT or TCP, as the scheme of the URL says, with the key
// pinned that its fragment names, and prints status, header and body. -d is what it
// sends, -E the client's certificate with its key; with -w it is made again until it is
// answered 200. And the commands:
//
//	serve NAME ARGS...       start chunkserve on a free port of loopback. NAME is its
//	                         host:port, NAME_PIN # and its pin, NAME_READY what it printed
//	stall URL                begin to fetch URL, udt:// or http://, and read nothing more
//	end NAME SIGNAL... CODE  send it SIGNAL, and the next one when it has begun to stop,
//	                         check that it ends with CODE, and write its log to NAME.log
//	mkpair NAME FILE         write a certificate for 127.0.0.1 with its key, NAME_PIN is #
//	                         and its pin
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
			"serve":  scriptServe,
			"stall":  scriptStall,
			"end":    scriptEnd,
			"mkpair": scriptMkpair,
			"exits":  scripts.Exits,
			"mode":   scripts.Mode,
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
	log  lockedBuffer
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
	scripts.Need(ts, neg, args, 3, "end NAME SIGNAL... CODE")
	p, want := ts.Value(scriptKey{}).(*script).servers[args[0]], args[len(args)-1]
	if p == nil {
		ts.Fatalf("there is no server %s", args[0])
	}
	for i, name := range args[1 : len(args)-1] {
		if i > 0 {
			// What another process logs is seen by looking only.
			for tick := time.Tick(10 * time.Millisecond); !strings.Contains(p.log.String(), "msg=stopping"); <-tick {
			}
		}
		signal := signals[name]
		if signal == nil {
			ts.Fatalf("there is no signal %s", name)
		}
		ts.Check(p.cmd.Process.Signal(signal))
	}
	code := p.wait()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".log"), []byte(p.log.String()), 0o666))
	if strconv.Itoa(code) != want {
		ts.Fatalf("exit code %d, want %s; stderr: %s", code, want, p.log.String())
	}
}

func scriptStall(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 1, "stall URL")
	u, err := url.Parse(args[0])
	ts.Check(err)
	dial := net.Dial
	if u.Scheme == "udt" {
		dial = udt.Dial
	}
	c, err := dial(map[string]string{"udt": "udt", "http": "tcp"}[u.Scheme], u.Host)
	ts.Check(err)
	ts.Defer(func() { c.Close() })
	_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", u.Path)
	ts.Check(err)
	_, err = c.Read(make([]byte, 1))
	ts.Check(err)
}

func scriptMkpair(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 2, "mkpair NAME FILE")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: args[0]}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
	parsed, err := x509.ParseCertificate(cert)
	ts.Check(err)
	ts.Setenv(args[0]+"_PIN", "#"+pin.Of(parsed).Fragment())
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
	cert := flags.String("E", "", "certificate and key in `FILE`")
	wait := flags.Bool("w", false, "until it is answered 200")
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
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *cert)
		if err != nil {
			return err
		}
		// Whatever authorities the server names.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	var body []byte
	if *file != "" {
		if body, err = os.ReadFile(*file); err != nil {
			return err
		}
	}
	// A new connection for each try: it is TLS that may be another.
	var pools []*udtpool.Pool
	defer func() {
		for _, p := range pools {
			p.Close()
		}
	}()
	ask := func() (*http.Response, error) {
		var rt http.RoundTripper = &http.Transport{TLSClientConfig: config, DisableCompression: true}
		if strings.HasPrefix(u.Scheme, "udt") {
			pools = append(pools, udtpool.New(udtpool.Config{TLS: func(string) *tls.Config { return config.Clone() }}))
			rt = pools[len(pools)-1]
		}
		req, err := http.NewRequest(flags.Arg(0), u.String(), bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header = header
		return rt.RoundTrip(req)
	}
	resp, err := ask()
	for tick := time.Tick(50 * time.Millisecond); *wait && (err != nil || resp.StatusCode != http.StatusOK); <-tick {
		if err == nil {
			resp.Body.Close()
		}
		resp, err = ask()
	}
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
