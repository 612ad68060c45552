package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/internal/trace"
)

// The trace has each connection until its end, with what its controller knows.
func TestTrace(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 500_000)
	name := filepath.Join(t.TempDir(), "trace")
	s := start(t, "--trace", name, "--log-level", "debug", folder(t, map[string]string{"a.bin": content}))
	for _, c := range clients(t) {
		if _, body := get(t, c, "http://"+s.host+"/a.bin"); string(body) != content {
			t.Fatalf("got %d bytes", len(body))
		}
		c.CloseIdleConnections()
	}
	if code := s.stop(); code != exitOK {
		t.Fatalf("exit code %d: %s", code, s.stderr)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, samples, err := trace.Read(f)
	if err != nil || h.Role != trace.Sender || !strings.HasPrefix(h.Program, "chunkserve ") {
		t.Fatalf("%+v, %v", h, err)
	}
	last := make(map[string]trace.Sample)
	for _, s := range samples {
		last[s.Transport] = s
	}
	for transport, controller := range map[string]string{"udt": "bbr", "tcp": ""} {
		s := last[transport]
		// A UDT connection goes on for a moment to tell its peer of the end.
		if transport == "tcp" && !s.Ended || s.Bytes < int64(len(content)) {
			t.Errorf("%s: the last sample is %+v", transport, s)
		}
		if transport == "tcp" && runtime.GOOS != "linux" {
			continue
		}
		if s.RTT == nil || s.MinRTT == nil || s.Queue == nil || s.Loss == nil || s.Window == nil || s.InFlight == nil ||
			s.State == "" || controller != "" && s.Controller != controller {
			t.Errorf("%s: the last sample is %+v", transport, s)
		}
	}
	if !strings.Contains(s.stderr.String(), closedMessage) {
		t.Error("the end of the UDT connection is not in the log")
	}
}

func TestTraceNotWritable(t *testing.T) {
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"--listen", "127.0.0.1:0", "--trace", filepath.Join(dir, "none", "trace"), dir}, &stdout, &stderr)
	if code != exitOther || stdout.Len() > 0 || !strings.Contains(stderr.String(), "error: create the trace: ") || !strings.Contains(stderr.String(), "hint: ") {
		t.Errorf("exit code %d, stderr %s", code, &stderr)
	}
}
