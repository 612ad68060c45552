//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browser is a running Chromium with one page, driven over the DevTools
// protocol: JSON objects with a zero byte behind each, on its descriptors 3 and 4.
// One goroutine uses it.
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	session string // of the page
	lastID  int
	events  []devToolsMessage // that nobody has waited for
}

type devToolsMessage struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
}

// startBrowser starts a browser that reaches nothing but this machine.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		t.Skip("no browser is installed (Debian package chromium-headless-shell)")
	}
	fromTest, toBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromBrowser, toTest, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.Command(path, "--remote-debugging-pipe", "--user-data-dir="+home, "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--disable-breakpad", "--disable-background-networking", "--no-proxy-server",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	cmd.ExtraFiles = []*os.File{fromTest, toTest}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log bytes.Buffer // all processes of the browser write to it, so that Wait waits for them
	cmd.Stderr, cmd.WaitDelay = &log, 10*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fromTest.Close()
	toTest.Close()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		toBrowser.Close()
		fromBrowser.Close()
		if t.Failed() {
			t.Logf("the browser says:\n%s", &log)
		}
	})
	// Only ends a test that would hang.
	if err := fromBrowser.SetReadDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, in: toBrowser, out: bufio.NewReader(fromBrowser)}
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.call("Page.enable", nil, nil)
	return b
}

// read returns the next message.
func (b *browser) read() (m devToolsMessage) {
	b.t.Helper()
	line, err := b.out.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("from the browser: %v", err)
	}
	if err := json.Unmarshal(line[:len(line)-1], &m); err != nil {
		b.t.Fatalf("from the browser: %v: %s", err, line)
	}
	return m
}

// call does what method says and decodes the result.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.lastID++
	request := map[string]any{"id": b.lastID, "method": method}
	if params != nil {
		request["params"] = params
	}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	line, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(line, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		m := b.read()
		if m.ID == 0 {
			b.events = append(b.events, m)
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v: %s", method, err, m.Result)
			}
		}
		return
	}
}

// wait returns when an event has come whose parameters contain text.
func (b *browser) wait(method, text string) {
	b.t.Helper()
	for {
		for i, m := range b.events {
			if m.Method == method && strings.Contains(string(m.Params), text) {
				b.events = b.events[i+1:]
				return
			}
		}
		b.events = append(b.events, b.read())
	}
}

// open shows the page at url.
func (b *browser) open(url string) {
	b.t.Helper()
	b.events = nil
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.wait("Page.loadEventFired", "")
}

// eval returns what a JavaScript expression, or the promise that it is, comes to
// as a string.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": "Promise.resolve(" + expression + ").then(String)", "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	s, _ := r.Result.Value.(string)
	return s
}

// choose puts files into the file field of the page.
func (b *browser) choose(files ...string) {
	b.t.Helper()
	var field struct{ Result struct{ ObjectID string } }
	b.call("Runtime.evaluate", map[string]any{"expression": "document.querySelector('input[type=file]')"}, &field)
	b.call("DOM.setFileInputFiles", map[string]any{"files": files, "objectId": field.Result.ObjectID}, nil)
}
