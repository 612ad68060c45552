package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const help = `Bench measures downloads over emulated links and over loopback.

  bench wan -profiles transatlantic -n 1,8 -quick    one link, under 3 minutes (Linux, root)
  bench wan                                          everything: about 45 minutes
  bench wan -rate 100M -rtt 200ms -loss 3%           a link of your own
  bench wan -profiles transatlantic -fairness 20s    also pairs of flows sharing the link
  bench loopback -size 1GiB                          no privileges
  bench veth -size 1GiB                              between network namespaces (Linux, root)
  bench wan -profiles transatlantic -trace           also a trace of each transfer by chunkserve
  bench report DIR                                   the report again, from all rows in DIR
  bench report -trace FILE,FILE -out DIR             rate, round trips, queue and state over time

Each run appends its rows to DIR/rows-TIME.jsonl, where -out says DIR, and renews
DIR/report.html and DIR/report.md; with -trace also DIR/traces, DIR/traces.html and
DIR/traces.md. Flags of a command: bench COMMAND -h.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
`

func main() {
	// The first Ctrl-C lets everything be cleaned up, the second kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := command(ctx, args, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "bench: interrupted")
		return 130
	}
	fmt.Fprintf(stderr, "bench: error: %v\n", err)
	if _, ok := errors.AsType[*usageError](err); ok {
		fmt.Fprintln(stderr, "bench: hint: see bench -h")
		return 2
	}
	return 1
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return &usageError{"no command given"}
	}
	switch args[0] {
	case "wan":
		o, err := parseWAN(args[1:], stderr)
		if err != nil {
			return err
		}
		return benchWAN(ctx, o, stderr)
	case "loopback":
		o, err := parseLoopback(args[1:], stderr)
		if err != nil {
			return err
		}
		return benchLoopback(ctx, o, stderr)
	case "veth":
		o, err := parseVeth(args[1:], stderr)
		if err != nil {
			return err
		}
		return benchVeth(ctx, o, stderr)
	case "report":
		o, err := parseReport(args[1:], stderr)
		if err != nil {
			return err
		}
		if o.traces != nil {
			return writeTraces(o.traces, o.out, stderr)
		}
		return writeReport(o, stderr)
	case peerCommand:
		return runPeer(ctx, args[1:], stdout, stderr)
	case "help", "-h", "-help", "--help":
		_, err := io.WriteString(stdout, help)
		return err
	}
	return &usageError{fmt.Sprintf("there is no command %q", args[0])}
}
