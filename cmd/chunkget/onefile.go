package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/chunkget/chunkget/fetch"
	"github.com/spf13/cobra"
)

// What the commands share that bring one file into line with one URL, or the URL
// with the file.

// takesTwo is the rule for the arguments of a command that takes just two, which are
// called what.
func takesTwo(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 2 {
			return nil
		}
		return &usageError{fmt.Sprintf("%s takes %s, not %d arguments", cmd.Name(), what, len(args)), "see: chunkget " + cmd.Name() + " --help"}
	}
}

// refuse returns the error of a command that has not begun, and tells it to who
// reads events.
func refuse(u *ui, err error) error {
	if u.json {
		u.events().end(err)
	}
	return err
}

// begin checks what is said about requests and reads the URL that they go to.
func (o *options) begin(u *ui, target string) (*url.URL, error) {
	u.quiet, u.verbose, u.json = o.quiet, o.verbose, o.json
	if err := o.validateConnections(); err != nil {
		return nil, err
	}
	if err := o.validateRequests(); err != nil {
		return nil, err
	}
	return o.parseTarget(target)
}

// transferOne runs the one transfer of a command between o.output and target, over a
// network of its own, and reports how it went. text shows it to people.
func transferOne(ctx context.Context, u *ui, o *options, target *url.URL, line []string, run func(*network) fetcher, text func(*board) observer) (err error) {
	n, err := openNetwork(u, o, o.connections)
	if err != nil {
		return refuse(u, err)
	}
	defer func() {
		if cerr := n.close(); err == nil {
			err = cerr
		}
	}()
	b := newBoard(u, 1)
	show := text(b)
	if u.json {
		show = u.eventsOf(target, o.connections)
	}
	_, err = shown(ctx, run(n), fetch.Options{
		URL:          target,
		Transport:    n.rt,
		Connections:  o.connections,
		Ramp:         o.ramp,
		Output:       o.output,
		Digest:       o.digest,
		ServerDigest: o.serverDigest,
		Header:       o.security.header(o.header, target),
		Retry:        o.retry(),
		MaxRedirects: o.answers.maxRedirects(),
		Logger:       n.log,
		Secrets:      o.secrets(),

		DisableCompression: o.compress == "off",
	}, n.rt, show)
	b.close()
	if err != nil {
		report(u, "", err, line)
		return reportedError{err}
	}
	return nil
}
