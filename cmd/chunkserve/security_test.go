package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/internal/pin"
	"github.com/chunkget/chunkget/udtpool"
)

// secureClients returns clients for https and udts that know a server by its pin.
func secureClients(t *testing.T, p pin.Pin) map[string]http.RoundTripper {
	t.Helper()
	tcp := &http.Transport{TLSClientConfig: p.Config(new(tls.Config))}
	pool := udtpool.New(udtpool.Config{Connections: 2, TLS: func(string) *tls.Config { return p.Config(new(tls.Config)) }})
	t.Cleanup(tcp.CloseIdleConnections)
	t.Cleanup(func() { pool.Close() })
	return map[string]http.RoundTripper{"https": tcp, "udts": pool}
}

// readyPin returns the pin in the line on stdout.
func readyPin(t *testing.T, s *testServer) pin.Pin {
	t.Helper()
	u, err := url.Parse(strings.TrimSpace(strings.TrimPrefix(s.ready, "chunkget ")))
	if err != nil {
		t.Fatal(err)
	}
	p, ok, err := pin.ParseFragment(u.Fragment)
	if !ok || err != nil || u.Scheme != "udts" || u.Path != "/a" {
		t.Fatalf("ready line %q: %v", s.ready, err)
	}
	return p
}

func fetchOver(t *testing.T, rt http.RoundTripper, url, auth string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return resp, string(body)
}

// --tls makes a key pair once; the port speaks TLS and plain text on both
// transports, and says so in Metalinks.
func TestTLS(t *testing.T) {
	state, dir := t.TempDir(), folder(t, map[string]string{"a": "abc"})
	s := start(t, "--tls", "--state", state, dir)
	p := readyPin(t, s)
	for scheme, rt := range secureClients(t, p) {
		if _, body := fetchOver(t, rt, scheme+"://"+s.host+"/a", ""); body != "abc" {
			t.Errorf("%s: %q", scheme, body)
		}
		if _, body := fetchOver(t, rt, scheme+"://"+s.host+"/a?digest=meta4", ""); !strings.Contains(body, ">https://"+s.host+"/a<") {
			t.Errorf("%s: %q", scheme, body)
		}
	}
	for name, c := range clients(t) {
		if _, body := get(t, c, "http://"+s.host+"/a"); string(body) != "abc" {
			t.Errorf("%s, plain: %q", name, body)
		}
	}
	s.stop()
	if again := start(t, "--tls", "--require-tls", "--state", state, dir); readyPin(t, again) != p {
		t.Errorf("the key has changed: %s", again.ready)
	} else {
		for name, c := range clients(t) {
			if resp, body := get(t, c, "http://"+again.host+"/a"); resp.StatusCode != 400 || !strings.Contains(string(body), "TLS only") {
				t.Errorf("%s, plain: %s %q", name, resp.Status, body)
			}
		}
	}
}

// TestKeyOutlivesCaches: pins that were given away stay right when caches are cleaned.
func TestKeyOutlivesCaches(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux: other systems have other folders")
	}
	state, cache, dir := t.TempDir(), t.TempDir(), folder(t, map[string]string{"a": "abc"})
	t.Setenv("XDG_STATE_HOME", state)
	t.Setenv("XDG_CACHE_HOME", cache)
	s := start(t, "--tls", "--state", "", dir)
	p := readyPin(t, s)
	s.stop()
	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	if again := start(t, "--tls", "--state", "", dir); readyPin(t, again) != p {
		t.Errorf("the key has changed: %s", again.ready)
	}
	if _, err := os.Stat(filepath.Join(state, "chunkget", "tls.pem")); err != nil {
		t.Error(err)
	}
}

func TestTokenFile(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("tok-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--tls", "--token-file", tokens, folder(t, map[string]string{"a": "abc"}))
	for scheme, rt := range secureClients(t, readyPin(t, s)) {
		if _, body := fetchOver(t, rt, scheme+"://"+s.host+"/a", "Bearer tok-1"); body != "abc" {
			t.Errorf("%s: %q", scheme, body)
		}
		if resp, _ := fetchOver(t, rt, scheme+"://"+s.host+"/a", ""); resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %s", scheme, resp.Status)
		}
	}
	s.stop()
	if log := s.stderr.String(); !strings.Contains(log, "level=WARN") || strings.Contains(log, "tok-1") {
		t.Errorf("log: %s", log)
	}
}

func TestSecurityUsage(t *testing.T) {
	dir := t.TempDir()
	exposed := filepath.Join(dir, "exposed")
	if err := os.WriteFile(exposed, []byte("tok-1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := [][]string{
		{"--tls-cert", "x", dir},
		{"--require-tls", dir},
		{"--client-ca", "x", dir},
		{"--tls-cert", filepath.Join(dir, "none"), "--tls-key", "none", dir},
		{"--tls", "--client-ca", exposed, dir},
		{"--token-file", filepath.Join(dir, "none"), dir},
	}
	if runtime.GOOS != "windows" {
		cases = append(cases, []string{"--token-file", exposed, dir}, []string{"--tls-cert", exposed, "--tls-key", exposed, dir})
	}
	for _, args := range cases {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"--listen", "127.0.0.1:0", "--state", dir}, args...), &stdout, &stderr)
		lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
		if code != exitUsage || len(lines) != 2 || !strings.HasPrefix(lines[0], "chunkserve: error: ") || !strings.HasPrefix(lines[1], "chunkserve: hint: ") ||
			strings.Contains(stderr.String(), "tok-1") {
			t.Errorf("%q: exit code %d, %s", args, code, &stderr)
		}
		if args[0] == "--token-file" && args[1] == exposed && runtime.GOOS != "windows" && !strings.Contains(stderr.String(), "chmod 600") {
			t.Errorf("%q: %s", args, &stderr)
		}
	}
}
