package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/udt"
)

// getAll fetches the URLs one after the other. A failure does not keep the
// others from being fetched; an interruption does.
func getAll(ctx context.Context, u *ui, o *options, args []string) (first error) {
	log := logger(u)
	conns, err := observe(u, o.trace)
	if err != nil {
		if u.json {
			(&eventWriter{w: u.stdout}).end(err)
		}
		return err
	}
	paths, err := recallPaths(pathsFile(), time.Now())
	if err != nil {
		u.note("%v", err)
	}
	rt := newTransports(o.connections, o.timeout, o.sending.ask(), paths, u, log, conns)
	defer rt.Close()
	defer toggleOnSignal(u, o.sending, rt.udt)()
	var told sync.Once
	defer func() {
		if err := conns.close(); first == nil {
			first = err
		}
	}()
	for _, target := range o.urls {
		o.sending.noteOverTCP(u, target.Scheme, &told)
		res, err := getOne(ctx, u, o, target, rt, log)
		if err == nil {
			if address := udtAddress(target); address != "" && res.BytesFetched >= leastRemembered && o.sending == (sending{share: defaultShare}) {
				rate := float64(res.BytesFetched) * 8 / max(res.Elapsed.Seconds(), 1e-3)
				if err := paths.remember(address, udt.Path{Rate: rate, MinRTT: rt.minRTT(address)}, time.Now()); err != nil {
					u.detail("note: %v", err)
				}
			}
			continue
		}
		report(u, err, args)
		if ctx.Err() != nil {
			return reportedError{err}
		}
		if first == nil {
			first = reportedError{err}
		}
	}
	return first
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

// getOne fetches one URL and shows how it goes. It reports no error.
func getOne(ctx context.Context, u *ui, o *options, target *url.URL, rt *transports, log *slog.Logger) (*fetch.Result, error) {
	return download(ctx, u, fetch.Options{
		URL:         target,
		Transport:   rt,
		Connections: o.connections,
		Dir:         o.dir,
		Output:      o.output,
		SHA256:      o.sha256,
		Restart:     o.restart,
		Overwrite:   o.overwrite,
		Retry:       fetch.RetryPolicy{Tries: o.tries},
		Logger:      log,
	}, rt)
}

// udtAddress is the host:port of a URL over UDT, "" for others.
func udtAddress(u *url.URL) string {
	if u.Scheme != "udt" {
		return ""
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "9000"))
}

// download runs one download with its display or its events.
func download(ctx context.Context, u *ui, fo fetch.Options, rt *transports) (*fetch.Result, error) {
	var show observer = newDisplay(u)
	if u.json {
		show = &eventWriter{w: u.stdout, url: fo.URL.Redacted(), connections: fo.Connections}
	}
	fo.Observe = show.observe
	if fo.URL.Scheme == "udt" {
		rt.udt.Warm(ctx, fo.URL, fo.Connections)
	}
	res, err := fetch.Get(ctx, fo)
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

// report tells the user about a failed download and how to go on.
func report(u *ui, err error, args []string) {
	fe, _ := errors.AsType[*fetch.Error](err)
	again := "chunkget " + shellQuote(redact(args))
	switch {
	case fe != nil && fe.Kind == fetch.KindInterrupted && fe.Resumable:
		u.line("interrupted; what was received is kept")
		u.line("hint: to go on, run: %s", again)
	case fe != nil && fe.Kind == fetch.KindInterrupted:
		u.line("interrupted before anything was received")
		u.line("hint: to start again, run: %s", again)
	default:
		u.fail(err)
		if fe != nil && fe.Resumable && fe.Kind != fetch.KindRemoteChanged {
			u.line("hint: what was received is kept; to go on, run: %s", again)
		}
	}
}

// redact hides passwords in URL arguments.
func redact(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = a
		if u, err := url.Parse(a); err == nil && u.User != nil {
			out[i] = u.Redacted()
		}
	}
	return out
}

// summary is the last line of a download.
func summary(r *fetch.Result) string {
	rate := 0.0
	if s := r.Elapsed.Seconds(); s > 0 {
		rate = float64(r.BytesFetched) / s
	}
	text := fmt.Sprintf("saved %s: %s in %s (%s)", quote(r.Path), formatBytes(r.Bytes), formatDuration(r.Elapsed), formatRate(rate))
	if r.Connections > 0 {
		text += ", " + plural(r.Connections, "connection")
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
	case r.SHA256 != nil:
		text += fmt.Sprintf(", verified, sha256 %x", r.SHA256)
	default:
		text += ", not verified: the server offers no hash tree"
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
