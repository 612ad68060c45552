package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// curl uploads whole files and forms, also without a length, and a browser would
// find the form.
func TestCurlUploads(t *testing.T) {
	curl := tool(t, "curl", "curl")
	dir, content := peerFile(t, 3<<20)
	into := t.TempDir()
	s := start(t, "--upload", into)
	if !strings.Contains(s.stderr.String(), "anybody who reaches this server may upload") {
		t.Errorf("no warning; stderr: %s", s.stderr)
	}
	url := "http://" + s.host + "/"
	file := filepath.Join(dir, "big.iso")
	up := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), curl, append([]string{"-sS", "--fail-with-body", "--noproxy", "*", "-w", "\n%{http_code}"}, args...)...)
		msg, err := cmd.CombinedOutput()
		return string(msg), err
	}
	for _, tt := range []struct {
		name, code string
		args       []string
	}{
		{"one", "201", []string{"-T", file, url + "one"}},
		{"big.iso", "201", []string{"-T", file, url}}, // curl appends the name
		{"two", "201", []string{"-T", file, "-H", "Transfer-Encoding: chunked", url + "two"}},
		{"three", "201", []string{"-F", "file=@" + file + ";filename=three", url}},
	} {
		msg, err := up(tt.args...)
		if err != nil || !strings.HasSuffix(msg, tt.code) {
			t.Errorf("%q: %v: %s", tt.args, err, msg)
			continue
		}
		fileHas(t, filepath.Join(into, tt.name), content)
	}
	for _, args := range [][]string{{"-T", file, url + "one"}, {"-F", "file=@" + file + ";filename=three", url}} {
		if msg, err := up(args...); err == nil || !strings.HasSuffix(msg, "409") || !strings.Contains(msg, "nothing is overwritten") {
			t.Errorf("%q again: %v: %s", args, err, msg)
		}
	}
	if _, page := get(t, clients(t)["tcp"], url); !strings.Contains(string(page), `<input type="file" name="file"`) {
		t.Errorf("no form in %s", page)
	}
}

// Tokens for uploads are not those for downloads, and what is for one path is not
// for another. The same holds over UDT and TCP.
func TestUploadTokens(t *testing.T) {
	files := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(files, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	readers, writers := write("readers", "reader\n"), write("writers", "writer /in\n")
	for _, tt := range []struct {
		flags               []string
		method, path, token string
		status              int
	}{
		{flags: []string{"--upload-token-file", writers}, method: "PUT", path: "/in/a", token: "writer", status: 201},
		{flags: []string{"--upload-token-file", writers}, method: "PUT", path: "/a", token: "writer", status: 403},
		{flags: []string{"--upload-token-file", writers}, method: "PUT", path: "/in/a", status: 401},
		{flags: []string{"--upload-token-file", writers}, method: "GET", path: "/in/", status: 200},
		{flags: []string{"--upload-token-file", writers}, method: "GET", path: "/in/a?upload=1", status: 401},
		{flags: []string{"--upload-token-file", writers, "--token-file", readers}, method: "PUT", path: "/in/a", token: "reader", status: 401},
		{flags: []string{"--upload-token-file", writers, "--token-file", readers}, method: "GET", path: "/in/", token: "reader", status: 200},
		{flags: []string{"--upload-token-file", writers, "--token-file", readers}, method: "GET", path: "/in/", token: "writer", status: 401},
		{flags: []string{"--token-file", readers}, method: "PUT", path: "/in/a", token: "reader", status: 201},
		{flags: []string{"--token-file", readers}, method: "PUT", path: "/in/a", status: 401},
	} {
		for name, c := range clients(t) {
			dir := folder(t, map[string]string{"in/x": ""})
			s := start(t, append(append([]string{"--upload"}, tt.flags...), dir)...)
			var content io.Reader
			if tt.method == "PUT" {
				content = strings.NewReader("data")
			}
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+s.host+tt.path, content)
			if err != nil {
				t.Fatal(err)
			}
			if tt.token != "" {
				req.Header.Set("Authorization", "Bearer "+tt.token)
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != tt.status {
				t.Errorf("%s, %q: %s %s with %q: status %d, want %d", name, tt.flags, tt.method, tt.path, tt.token, resp.StatusCode, tt.status)
			}
			if strings.Contains(s.stderr.String(), "anybody") || strings.Contains(string(body), "<form") {
				t.Errorf("%s, %q: %s\n%s", name, tt.flags, body, s.stderr)
			}
			s.stop()
		}
	}
}

func TestUploadUsage(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--upload-token-file", "x", dir}, "without --upload"},
		{[]string{"--upload", "--upload-token-file", filepath.Join(dir, "none"), dir}, "--upload-token-file"},
		{[]string{"--upload", "--upload-quota", "0", dir}, "--upload-quota is too little"},
		{[]string{"--upload", "--upload-max-size", "0", dir}, "--upload-max-size is too little"},
		{[]string{"--upload", "--upload-expire", "1m", dir}, "less than an hour"},
	} {
		var stdout, stderr strings.Builder
		code := run(t.Context(), append([]string{"--listen", "127.0.0.1:0", "--state", t.TempDir()}, tt.args...), &stdout, &stderr)
		if code != exitUsage || stdout.Len() > 0 || !strings.Contains(stderr.String(), tt.want) || !strings.Contains(stderr.String(), "hint: ") {
			t.Errorf("%q: exit code %d, stderr %q", tt.args, code, &stderr)
		}
	}
}
