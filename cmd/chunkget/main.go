// Command chunkget downloads files over several connections in parallel, checks
// every piece against a hash tree, and goes on after an interruption where it
// was. Its output, events and exit codes are stable: see chunkget --help.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/chunkget/chunkget/internal/buildinfo"
)

func versionText() string { return buildinfo.Version("chunkget") }

func main() {
	// The first signal ends the context; then the default handling is back, so
	// that a second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	u := newUI(stdout, stderr)
	cmd := rootCommand(u, args)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if _, reported := err.(reportedError); !reported {
		u.fail("", err)
	}
	return exitCode(err)
}
