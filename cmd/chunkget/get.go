package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"

	"github.com/chunkget/chunkget/fetch"
)

// getAll fetches the URLs, some at a time. A failure does not keep the others
// from being fetched; an interruption does.
func getAll(ctx context.Context, u *ui, o *options, args []string) (err error) {
	o.noteUnused(u)
	jobs := min(o.jobs, len(o.urls))
	// Each file at a time needs a place for its hash tree.
	n, err := openNetwork(u, o, jobs*(o.connections+1)-1)
	if err != nil {
		return refuse(u, err)
	}
	defer func() {
		if cerr := n.close(); err == nil {
			err = cerr
		}
	}()
	q := &queue{ui: u, opts: o, args: args, rt: n.rt, paths: n.paths, log: n.log, board: newBoard(u, len(o.urls))}
	return q.run(ctx, jobs)
}

func logger(u *ui) *slog.Logger {
	if !u.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(u, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.LevelKey {
				return slog.Attr{} // all of it is debugging output, and says so
			}
			return a
		},
	}))
}

var defaultPorts = map[string]string{"udt": "9000", "udts": "9000", "http": "80", "https": "443"}

// hostPort is where the server of a URL is reached.
func hostPort(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), defaultPorts[u.Scheme]))
}

// udtAddress is the host:port of a URL over UDT, "" for others.
func udtAddress(u *url.URL) string {
	if u.Scheme != "udt" && u.Scheme != "udts" {
		return ""
	}
	return hostPort(u)
}

// download runs one download and shows how it goes. It reports no error.
func download(ctx context.Context, fo fetch.Options, rt *transports, show observer) (*fetch.Result, error) {
	rt.warm(ctx, fo.URL, fo.FirstConnections())
	return shown(ctx, fetch.Get, fo, rt, show)
}

// fetcher is fetch.Get, fetch.Repair or fetch.Put.
type fetcher func(context.Context, fetch.Options) (*fetch.Result, error)

// shown runs a fetcher over rt and shows how it goes. It reports no error.
func shown(ctx context.Context, run fetcher, fo fetch.Options, rt *transports, show observer) (*fetch.Result, error) {
	fo.Observe = func(e fetch.Event) {
		if e.Kind == fetch.EventDone {
			e.Result.Transport, e.Reason = rt.route.carried(fo.URL)
		}
		show.observe(e)
	}
	res, err := run(ctx, fo)
	err = rt.trust.explain(fo.URL, err)
	if err != nil && ctx.Err() != nil {
		err = interrupted(err)
	}
	show.end(err)
	return res, err
}

// observer shows one download, as text or as events.
type observer interface {
	observe(fetch.Event)
	end(error)
}

// interrupted makes an error that arose while a signal was ending the download
// one of that kind, whatever part of the program noticed first. Findings about
// the data and the disk stay what they are.
func interrupted(err error) error {
	fe, ok := errors.AsType[*fetch.Error](err)
	if !ok {
		return &fetch.Error{Kind: fetch.KindInterrupted, Err: err}
	}
	switch fe.Kind {
	case fetch.KindNetwork, fetch.KindTimeout, fetch.KindOther:
		e := *fe
		e.Kind = fetch.KindInterrupted
		return &e
	}
	return err
}

// report tells the user about a failed download, with which of several it is,
// and how to go on.
func report(u *ui, which string, err error, args []string) {
	fe, _ := errors.AsType[*fetch.Error](err)
	shown := redact(args)
	again := "run: chunkget " + shellQuote(shown)
	if !slices.Equal(shown, args) {
		again = "fill in what is hidden here (" + hidden + ", " + hiddenInQuery + ") and " + again
	}
	switch {
	case fe != nil && fe.Kind == fetch.KindInterrupted && fe.Resumable:
		u.line("interrupted; what was received is kept")
		u.line("hint: to go on, %s", again)
	case fe != nil && fe.Kind == fetch.KindInterrupted:
		u.line("interrupted; nothing is kept")
		u.line("hint: to start again, %s", again)
	default:
		u.fail(which, err)
		if fe != nil && fe.Resumable && fe.Kind != fetch.KindRemoteChanged {
			u.line("hint: what was received is kept; to go on, %s", again)
		}
	}
}

// summary is the last line of a download. why says why it went over another
// transport than the URL says, or is empty.
func summary(r *fetch.Result, why string) string {
	rate := 0.0
	if s := r.Elapsed.Seconds(); s > 0 {
		rate = float64(r.BytesFetched) / s
	}
	what := fmt.Sprintf("saved %s: %s", quote(r.Path), formatBytes(r.Bytes))
	if r.Path == "-" {
		what = fmt.Sprintf("wrote %s to stdout", formatBytes(r.Bytes))
	}
	text := fmt.Sprintf("%s in %s (%s)", what, formatDuration(r.Elapsed), formatRate(rate))
	if r.Connections > 0 {
		text += ", " + plural(r.Connections, "connection")
	}
	if why != "" {
		text += fmt.Sprintf(" over %s: %s", transportText(r.Transport), why)
	}
	if r.BytesWire > 0 && r.BytesWire < r.BytesFetched {
		text += fmt.Sprintf(", compressed to %s on the wire", formatBytes(r.BytesWire))
	}
	if r.BytesResumed > 0 {
		text += fmt.Sprintf(", %s resumed", formatBytes(r.BytesResumed))
	}
	if r.PiecesBad > 0 {
		text += fmt.Sprintf(", %s fetched again", plural(r.PiecesBad, "bad piece"))
	}
	switch {
	case r.Verified:
		text += ", verified, root " + r.Root.String()
	case !r.Digest.IsZero():
		text += fmt.Sprintf(", verified, %v", r.Digest)
	case r.ByPieces:
		text += ", verified by the hashes of its pieces"
	default:
		text += ", not verified: the server offers no hash tree"
	}
	return text + fromMirrors(r)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// transportText names what a scheme travels over.
func transportText(scheme string) string {
	switch scheme {
	case "udt":
		return "UDT"
	case "udts":
		return "UDT with TLS"
	case "https":
		return "TCP with TLS"
	}
	return "TCP"
}
