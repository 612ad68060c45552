package wan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	namespaceDir = "/run/netns" // of iproute2

	// namespacePrefix begins the name of every namespace of this package:
	//
	//	chunkget-wan-PID-START-N-client
	//
	// PID and START, the time when the process started in clock ticks since the
	// machine did, name the process that owns it; N counts its labs.
	namespacePrefix = "chunkget-wan-"
)

// labNumber is the N of the latest lab of this process.
var labNumber atomic.Int64

// namespace is a network namespace mounted under namespaceDir.
type namespace struct{ name string }

func (n namespace) path() string { return filepath.Join(namespaceDir, n.name) }

// newNamespace makes a namespace for the given end of lab number lab.
func newNamespace(ctx context.Context, lab int64, end string) (namespace, error) {
	start, err := processStart(os.Getpid())
	if err != nil {
		return namespace{}, fmt.Errorf("name a network namespace: %w", err)
	}
	n := namespace{fmt.Sprintf("%s%d-%d-%d-%s", namespacePrefix, os.Getpid(), start, lab, end)}
	return n, ip(ctx, "netns", "add", n.name)
}

// remove kills what runs in the namespace and deletes it. One that does not
// exist is removed. Another process may remove a left-over namespace at the same
// time; who comes second finds it gone, which is no failure.
func (n namespace) remove(ctx context.Context) error {
	if n.gone() {
		return nil
	}
	killed := n.killAll(ctx)
	if errors.Is(killed, fs.ErrNotExist) {
		killed = nil
	}
	deleted := ip(ctx, "netns", "delete", n.name)
	if deleted != nil && n.gone() {
		deleted = nil
	}
	return errors.Join(killed, deleted)
}

func (n namespace) gone() bool {
	_, err := os.Lstat(n.path())
	return errors.Is(err, fs.ErrNotExist)
}

// do calls f on a thread that is in the namespace. Sockets and devices that f
// opens belong to the namespace for good; goroutines that it starts do not run
// in it.
func (n namespace) do(f func() error) error {
	done := make(chan error)
	go func() { done <- n.doOnThread(f) }()
	return <-done
}

func (n namespace) doOnThread(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", n.name, err)
	}
	defer home.Close()
	// The thread goes back into use only when it is back home; the runtime ends
	// a thread whose goroutine ends locked to it. Going home is the rule, because
	// the children of a thread that ends get their parent-death signal.
	defer func() {
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	there, err := os.Open(n.path())
	if err != nil {
		return fmt.Errorf("enter network namespace %s: %w", n.name, err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", n.name, err)
	}
	return f()
}

// killAll kills the processes in the namespace and waits until they are gone.
func (n namespace) killAll(ctx context.Context) error {
	var home, there unix.Stat_t
	if err := unix.Stat(n.path(), &there); err != nil {
		return fmt.Errorf("network namespace %s: %w", n.name, err)
	}
	// A namespace whose mounting failed halfway is an empty file, and one that
	// was mounted from this process's own must not cost it its life.
	if err := unix.Stat("/proc/self/ns/net", &home); err != nil || there.Dev != home.Dev || there.Ino == home.Ino {
		return err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		processes, err := os.ReadDir("/proc")
		if err != nil {
			return fmt.Errorf("look for processes in network namespace %s: %w", n.name, err)
		}
		alive := 0
		for _, p := range processes {
			pid, err := strconv.Atoi(p.Name())
			if err != nil {
				continue
			}
			// A zombie has no namespace any more: stat fails for it.
			var s unix.Stat_t
			if unix.Stat(filepath.Join("/proc", p.Name(), "ns/net"), &s) != nil || s.Dev != there.Dev || s.Ino != there.Ino {
				continue
			}
			alive++
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return fmt.Errorf("kill process %d in network namespace %s: %w", pid, n.name, err)
			}
		}
		if alive == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes in network namespace %s do not end: %w", alive, n.name, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// Cleanup removes what processes that are gone have left behind: their
// namespaces and the programs that still run in them. [Open] calls it.
func Cleanup(ctx context.Context) error {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for left-over network namespaces: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if pid, start, ok := parseNamespace(e.Name()); ok && !running(pid, start) {
			errs = append(errs, namespace{e.Name()}.remove(ctx))
		}
	}
	return errors.Join(errs...)
}

// parseNamespace returns the owner in the name of a namespace; not ok means that
// it is none of this package.
func parseNamespace(name string) (pid int, start uint64, ok bool) {
	rest, ok := strings.CutPrefix(name, namespacePrefix)
	fields := strings.Split(rest, "-")
	if !ok || len(fields) != 4 {
		return 0, 0, false
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid <= 0 {
		return 0, 0, false
	}
	start, err = strconv.ParseUint(fields[1], 10, 64)
	return pid, start, err == nil
}

// running reports whether the process of that number is the one that started
// then. A zombie is not running.
func running(pid int, start uint64) bool {
	s, err := processStart(pid)
	return err == nil && s == start
}

var errZombie = errors.New("the process has ended")

// processStart returns when a process started, in clock ticks since the start
// of the machine.
func processStart(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("start time of process %d: %w", pid, err)
	}
	// proc_pid_stat(5): the second field is the name in parentheses and may
	// contain anything, the third is the state, the 22nd the start time.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("start time of process %d: malformed %q", pid, stat)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, fmt.Errorf("start time of process %d: %w", pid, errZombie)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("start time of process %d: %w", pid, err)
	}
	return start, nil
}

// ip runs the program of iproute2.
func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err == nil {
		return nil
	}
	return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
}

// command prepares a program to run in the namespace. nsenter becomes that
// program, so its process is the program's. It dies with this process.
func (n namespace) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.path(), "--", name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}
