package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/chunkget/chunkget/internal/scripts"
	"github.com/chunkget/chunkget/internal/units"
	"github.com/chunkget/chunkget/journal"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"chunkget": main})
}

// TestScripts runs the scripts of testdata/script. They call chunkget as a
// process of its own, against servers in this process, with these commands:
//
//	mkfile NAME SIZE            write SIZE pseudo-random bytes
//	same FILE FILE              compare bytes
//	server VAR KIND DIR [ARG]   start a server (see servers), set $VAR to its URL,
//	                            $VAR_PIN to # and its pin, $VAR_ADDR to its host:port
//	mkpair FILE                 write a client's certificate and key
//	mode OCTAL FILE             set the mode of a file
//	exits CODE COMMAND...       run and check the exit code
//	signal SIGNAL [PART [unrecorded]]
//	                            send SIGNAL to the command in the background as soon as
//	                            the last server holds data back, PART has all that
//	                            it does not, and, unless unrecorded, the journal of
//	                            PART some of that
//	code CODE                   check the exit code of that command, after wait
//	opengate                    let the last server send everything
//	noranges                    let the last server send whole files only
//	flip FILE OFFSET            change the byte at OFFSET
//	append FILE TEXT            add TEXT to the end of FILE
//	metalink URL FILE           save the Metalink that the server has of URL
//	event NAME FIELD[OP VALUE]  check a --json event on stdout: = != > >=
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Values[scriptKey{}] = new(script)
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, ".no-config"))
			// No proxy may stand between the test and its servers.
			for _, v := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
				e.Setenv(v, "")
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"mkfile":   scriptMkfile,
			"same":     scriptSame,
			"server":   scriptServer,
			"exits":    scripts.Exits,
			"signal":   scriptSignal,
			"code":     scriptCode,
			"opengate": scriptOpenGate,
			"noranges": scriptNoRanges,
			"event":    scriptEvent,
			"mkpair":   scriptMkpair,
			"mode":     scripts.Mode,
			"metalink": scriptMetalink,
			"flip":     scriptFlip,
			"append":   scriptAppend,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func scriptMkfile(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 2, "mkfile NAME SIZE")
	size, err := units.ParseSize(args[1])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", args[0])))), int64(size))
	ts.Check(errors.Join(err, f.Close()))
}

func scriptSame(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 2, "same FILE FILE")
	a, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	if !bytes.Equal(a, b) {
		ts.Fatalf("%s (%d bytes) and %s (%d bytes) differ", args[0], len(a), args[1], len(b))
	}
}

func scriptServer(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 3, "server VAR KIND DIR [ARG]")
	arg := ""
	if len(args) > 3 {
		arg = args[3]
	}
	s, err := startServer(args[1], ts.MkAbs(args[2]), arg)
	ts.Check(err)
	ts.Defer(s.close)
	ts.Value(scriptKey{}).(*script).server = s
	ts.Setenv(args[0], s.url)
	ts.Setenv(args[0]+"_PIN", "#"+s.pin)
	_, address, _ := strings.Cut(s.url, "://")
	ts.Setenv(args[0]+"_ADDR", address)
}

// script is what the commands of one script share.
type script struct {
	server    *server   // the last one started
	signalled *exec.Cmd // the last one
}

type scriptKey struct{}

func scriptMetalink(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 2, "metalink URL FILE")
	resp, err := http.Get(args[0] + "?digest=meta4")
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), body, 0o666))
}

func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 2, "flip FILE OFFSET")
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o666))
}

func scriptAppend(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 2, "append FILE TEXT")
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(b, args[1]...), 0o666))
}

var signals = map[string]os.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}

// heldTimeout only ends a test that would hang otherwise.
const heldTimeout = 5 * time.Minute

func scriptSignal(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 1, "signal SIGNAL [PART [unrecorded]]")
	sc := ts.Value(scriptKey{}).(*script)
	signal, ok := signals[args[0]]
	background := ts.BackgroundCmds()
	if !ok || sc.server == nil || len(background) != 1 {
		ts.Fatalf("signal needs a known signal, a server and one command in the background")
	}
	sc.signalled = background[0]
	timeout := time.After(heldTimeout)
	select {
	case <-sc.server.held:
	case <-timeout:
		ts.Fatalf("the server has not sent enough to hold anything back")
	}
	// What another process writes is seen by looking only.
	for len(args) > 1 && (written(ts, ts.MkAbs(args[1])) < sc.server.hold || len(args) == 2 && !recorded(ts.MkAbs(args[1]+".journal"))) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-timeout:
			ts.Fatalf("what the server has sent does not come to %s", args[1])
		}
	}
	ts.Check(sc.signalled.Process.Signal(signal))
}

// written returns how many bytes of a partial file of random data are there, in
// whole blocks of 4 KiB.
func written(ts *testscript.TestScript, part string) (n int64) {
	data, err := os.ReadFile(part)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		ts.Fatalf("%v", err)
	}
	hole := make([]byte, 4<<10)
	for block := range slices.Chunk(data, len(hole)) {
		if !bytes.Equal(block, hole[:len(block)]) {
			n += int64(len(block))
		}
	}
	return n
}

// recorded reports whether a journal says of anything that it is on disk.
func recorded(path string) bool {
	s, err := journal.ReadFile(path)
	return err == nil && s.Count() > 0
}

func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 1, "code CODE")
	cmd := ts.Value(scriptKey{}).(*script).signalled
	if cmd == nil || cmd.ProcessState == nil {
		ts.Fatalf("no command has been signalled and waited for")
	}
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

func scriptOpenGate(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value(scriptKey{}).(*script).server.openGate()
}

func scriptNoRanges(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value(scriptKey{}).(*script).server.noRanges.Store(true)
}

func scriptEvent(ts *testscript.TestScript, neg bool, args []string) {
	scripts.Need(ts, neg, args, 1, "event NAME FIELD[OP VALUE]...")
	var found map[string]any
	lines := bufio.NewScanner(strings.NewReader(ts.ReadFile("stdout")))
	for lines.Scan() {
		var e map[string]any
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			ts.Fatalf("stdout line %q is no JSON object: %v", lines.Text(), err)
		}
		if e["event"] == args[0] {
			found = e
		}
	}
	if found == nil {
		ts.Fatalf("no event %q on stdout", args[0])
	}
	for _, cond := range args[1:] {
		if err := checkField(found, cond); err != nil {
			ts.Fatalf("event %q: %v in %v", args[0], err, found)
		}
	}
}

// checkField checks one condition of the command event.
func checkField(e map[string]any, cond string) error {
	for _, op := range []string{"!=", ">=", "=", ">"} {
		name, want, ok := strings.Cut(cond, op)
		if !ok {
			continue
		}
		v, ok := e[name]
		if !ok {
			return fmt.Errorf("no field %s", name)
		}
		got := fmt.Sprint(v)
		f, isNumber := v.(float64)
		if isNumber {
			got = strconv.FormatFloat(f, 'f', -1, 64)
		}
		holds := false
		switch op {
		case "=":
			holds = got == want
		case "!=":
			holds = got != want
		default:
			w, err := strconv.ParseFloat(want, 64)
			if err != nil || !isNumber {
				return fmt.Errorf("%s compares no numbers", cond)
			}
			holds = f > w || op == ">=" && f == w
		}
		if !holds {
			return fmt.Errorf("%s does not hold", cond)
		}
		return nil
	}
	if _, ok := e[cond]; !ok {
		return fmt.Errorf("no field %s", cond)
	}
	return nil
}
