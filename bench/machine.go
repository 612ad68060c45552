package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// module is the one whose commands are measured.
const module = "github.com/chunkget/chunkget"

// moduleRoot returns the folder of the sources that the current folder is in.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		return "", fmt.Errorf("find the sources of %s: run bench in their folder, with go installed: %w", module, err)
	}
	return dir, nil
}

// thisMachine describes where the bench runs, and the sources in root.
func thisMachine(ctx context.Context, root string) Machine {
	m := Machine{CPU: cpuModel(), Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: kernelRelease(), Go: runtime.Version(), Tags: buildTags}
	git := func(args ...string) (string, bool) {
		// The folder may belong to another user, which git refuses to describe.
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root, "-c", "safe.directory=" + root}, args...)...).Output()
		return strings.TrimSpace(string(out)), err == nil
	}
	if commit, ok := git("rev-parse", "HEAD"); ok {
		m.Commit = commit
		changed, ok := git("status", "--porcelain", "--untracked-files=no", "--", "*.go", "go.mod")
		m.Modified = !ok || changed != ""
	}
	return m
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range bytes.Lines(b) {
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernelRelease() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// buildTools builds the commands that are measured, as their users would, and
// finds the bench itself.
func buildTools(ctx context.Context, root, dir string) (*tools, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the bench itself: %w", err)
	}
	suffix := ""
	if runtime.GOOS == "windows" {
		suffix = ".exe"
	}
	t := &tools{self: self, chunkget: filepath.Join(dir, "chunkget"+suffix), chunkserve: filepath.Join(dir, "chunkserve"+suffix)}
	for _, name := range []string{t.chunkget, t.chunkserve} {
		command := strings.TrimSuffix(filepath.Base(name), suffix)
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", name, "./cmd/"+command)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w: %s", command, err, bytes.TrimSpace(out))
		}
	}
	return t, nil
}
