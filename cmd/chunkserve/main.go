// Command chunkserve serves a folder to chunkget, curl, aria2 and browsers: HTTP
// over UDT and over TCP, with digests and hash trees. Its resources, output and
// exit codes are stable: see chunkserve --help.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/chunkget/chunkget/internal/buildinfo"
)

// Exit codes.
const (
	exitOK     = 0 // stopped by a signal, gracefully
	exitOther  = 1
	exitUsage  = 2
	exitKilled = 130 // stopped at once by a second signal
)

func versionText() string { return buildinfo.Version("chunkserve") }

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// It ends with the process. Leaving the second signal to its default action
	// would not do: a shell starts background jobs with SIGINT ignored.
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitKilled)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code. It serves until ctx
// is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	u := &ui{stdout: stdout, stderr: stderr}
	cmd := rootCommand(u)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	u.fail(err)
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitOther
}
