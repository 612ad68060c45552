package fetch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

// Get downloads a file. Every error is or wraps an [*Error].
//
// When ctx is cancelled, Get records what it has received and returns an error
// of KindInterrupted.
func Get(ctx context.Context, o Options) (*Result, error) {
	begun := time.Now()
	if err := o.resolve(); err != nil {
		return nil, err
	}
	res := &Result{Transport: o.URL.Scheme}
	var err error
	if o.Writer != nil {
		err = getTo(ctx, &o, res, begun)
	} else {
		err = get(ctx, &o, res, begun)
	}
	return conclude(&o, res, begun, err)
}

// conclude completes a result and tells of success.
func conclude(o *Options, res *Result, begun time.Time, err error) (*Result, error) {
	res.Elapsed = time.Since(begun)
	o.veil.result(res)
	if err != nil {
		if _, ok := errors.AsType[*Error](err); !ok {
			err = &Error{Kind: KindOther, Op: "download", Err: err}
		}
		return res, o.veil.err(err)
	}
	if o.Observe != nil {
		o.Observe(Event{Kind: EventDone, Total: res.Bytes, Done: res.Bytes, Resumed: res.BytesResumed, Path: res.Path, Result: res})
	}
	return res, nil
}

// resolve checks the options and fills in defaults.
func (o *Options) resolve() error {
	bad := func(format string, args ...any) error { return errorf(KindUsage, "options", format, args...) }
	switch {
	case o.URL == nil || o.URL.Host == "":
		return bad("a URL with a host is needed")
	case o.Transport == nil:
		return bad("a transport is needed")
	case o.Connections < 0 || o.Connections > MaxConnections:
		return bad("%d connections; at most %d are possible", o.Connections, MaxConnections)
	}
	for _, m := range o.Mirrors {
		if m.URL == nil || m.URL.Host == "" {
			return bad("a mirror needs a URL with a host")
		}
	}
	if !o.Digest.IsZero() {
		if _, err := NewDigest(o.Digest.Algorithm, o.Digest.Sum); err != nil {
			return bad("%w", err)
		}
	}
	if o.ServerDigest && !o.Digest.IsZero() {
		return bad("the file is held against one digest, not against the server's as well")
	}
	if err := o.Pieces.Fault(); err != nil {
		return bad("%w", err) // whoever asks for a check gets it, or hears that it cannot be made
	}
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.openDir == nil {
		o.openDir = openDir
	}
	o.draw()
	return nil
}

// draw has all that is told from now on pass a veil.
func (o *Options) draw() {
	o.veil = new(Veil)
	o.veil.Add([]*url.URL{o.URL}, o.Header, o.Secrets...)
	for _, m := range o.Mirrors {
		o.veil.Add([]*url.URL{m.URL}, m.Header)
	}
	o.Logger = o.veil.logger(o.Logger)
	if observe := o.Observe; observe != nil {
		o.Observe = func(e Event) { observe(o.veil.event(e)) }
	}
}

func get(ctx context.Context, o *Options, res *Result, begun time.Time) (err error) {
	dirPath, name, err := place(o)
	if err != nil {
		return err
	}
	if name == "" {
		name = safeName(o.veil.Text(o.Name))
	}
	t, err := o.openTarget(dirPath, cmp.Or(name, nameFromURL(o.URL)))
	if err != nil {
		return err
	}
	defer func() { err = t.leave(err) }()
	if name != "" {
		if err := t.checkFree(o.Overwrite); err != nil {
			return err
		}
	}

	p, err := findRemote(ctx, o, newSources(o), t, res)
	if err != nil {
		return markResumable(err, t)
	}
	if err := p.remote.seekDigest(ctx, o, p.from.client); err != nil {
		p.close()
		return markResumable(err, t)
	}
	if name == "" && p.remote.name != "" && p.remote.name != t.name {
		if err := t.close(); err != nil {
			p.close()
			return diskError("close partial file", err)
		}
		t.name = p.remote.name
		t.path = filepath.Join(dirPath, t.name)
	}
	res.Path = t.path
	if err := t.prepare(o.Overwrite); err != nil {
		p.close()
		return err
	}
	if err := transferAll(ctx, o, t, p, res, begun); err != nil {
		return markResumable(err, t)
	}
	if err := p.remote.awaitDigest(ctx, o, p.from.client); err != nil {
		return markResumable(err, t)
	}
	return finish(ctx, o, t, p.remote, res)
}

// findRemote makes the first request, for bytes that an earlier run did not
// get, if there was one.
func findRemote(ctx context.Context, o *Options, sources []*source, t *target, res *Result) (*probed, error) {
	n := int64(firstBytes)
	if o.Connections == 1 {
		n = openEnd
	}
	var onDisk []int
	if t.hasJournal() {
		if err := t.open(); err != nil {
			return nil, err
		}
		if s := t.state(); s != nil {
			if l, err := merkle.NewLayout(s.Header.Size, s.Header.PieceSize); err == nil {
				if onDisk, err = t.dataPieces(l); err != nil {
					return nil, diskError("look at partial file", err)
				}
			}
		}
	}
	asked := firstRange(t.state(), onDisk, n)
	p, err := findLead(ctx, o, sources, asked, res)
	if e, ok := errors.AsType[*unsatisfiedError](err); ok && asked.Start > 0 {
		// The file has become shorter than what is missing of it.
		if !o.Restart {
			return nil, errorf(KindRemoteChanged, "resume", "the remote file has changed: its size was %d and is %d", t.state().Header.Size, e.size).
				withCode(CodeSizeChanged).withHint("restart to discard the partial data")
		}
		return findLead(ctx, o, sources, firstRange(nil, nil, n), res)
	}
	return p, err
}

// prepare opens the partial file and the journal, unless that has been done.
func (t *target) prepare(overwrite bool) error {
	if err := t.checkFree(overwrite); err != nil {
		return err
	}
	if t.opened() {
		return nil
	}
	return t.open()
}

// transferAll brings the whole file into the partial file.
func transferAll(ctx context.Context, o *Options, t *target, p *probed, res *Result, begun time.Time) error {
	r := p.remote
	err := o.checkSize(r.size)
	if err == nil {
		err = checkRangesNeeded(r, t, o.Restart)
	}
	if err != nil {
		p.close()
		return err
	}
	if r.size < 0 {
		return streamUnknown(ctx, o, p.src.client, t, p, res)
	}
	if err := p.describe(ctx, o, t.state()); err != nil {
		p.close()
		return err
	}
	l, err := o.layoutOf(r.size)
	if err != nil {
		p.close()
		return &Error{Kind: KindOther, Op: "plan", Err: err}
	}
	k, err := t.reconcile(r, l, o.identityOf(p))
	if err != nil {
		p.close()
		return err
	}
	if r.ranges && !r.combinable() && !o.Pieces.usable(r.size) && r.size > 0 {
		k.note(CodeNoValidator, "the server sends nothing that would tell parts of two versions of the file apart (no strong ETag, no hash tree, no Last-Modified a minute old); fetching it in one stream, which cannot be resumed")
		r.ranges = false
	} else if !r.ranges {
		if r.size > 0 {
			k.note(CodeNoRanges, "the server does not send parts of the file; fetching it in one stream, which cannot be resumed")
		}
	} else if r.tag() == "" && r.tree == nil && !o.Pieces.usable(r.size) && r.size > 0 {
		why := "the server sends no strong ETag"
		if r.secretTag {
			why = "the server's ETag repeats what it was told in confidence, so no journal keeps it"
		}
		k.note(CodeNotResumable, "%s; an interrupted download will have to start over", why)
	}
	if !r.ranges {
		k.trusted, k.recheck = nil, nil
	}
	if why := p.combine(o, o.known(r)); why != "" {
		k.note(CodeMirrorsUnused, "%s", why)
	}
	d := newDownload(o, p.sources, r, l, t, k, res, begun)
	for _, n := range k.notes {
		d.emit(n)
	}
	first := d.firstAttempt(p)
	if first == nil {
		p.close()
	}
	if o.Observe != nil {
		d.emit(Event{Kind: EventStart, URL: RedactURL(o.URL), Path: t.path})
	}
	res.Bytes = r.size
	err = d.loop(ctx, first)
	res.BytesResumed = d.resumed
	res.Mirrors = d.mirrorResults()
	res.Verified = err == nil && d.mode == checkTree
	res.ByPieces = err == nil && d.mode == checkPieces
	if res.Verified {
		res.Root = d.root
	}
	return err
}

// firstAttempt makes the open answer the first attempt, or returns nil if its
// bytes are not wanted.
func (d *download) firstAttempt(p *probed) *attempt {
	if p.resp == nil {
		return nil
	}
	r := segment.Range{Start: 0, End: d.layout.Size}
	if p.resp.StatusCode == http.StatusPartialContent {
		r = segment.Range{Start: p.asked.Start, End: min(p.asked.End, d.layout.Size)}
	}
	if !d.remote.ranges && r.Len() < d.layout.Size {
		return nil // what continues it would be another answer
	}
	i := slices.IndexFunc(d.slots, func(s *slot) bool { return s.src == p.src })
	if i < 0 {
		return nil
	}
	seg, ok := d.plan.HandOutRange(d.slots[i].id, r)
	if !ok {
		return nil
	}
	return &attempt{slot: d.slots[i], src: p.src, remote: p.src.remote, seg: seg.ID, asked: r, resp: p.resp, cancel: p.cancel, probe: true}
}

// checkRangesNeeded fails when partial data could be used but the server sends
// only whole files. What one stream has left, for which there is no record, could not.
func checkRangesNeeded(r *remote, t *target, restart bool) error {
	s := t.state()
	if r.ranges || restart || s == nil {
		return nil
	}
	if s.Header.ETag != r.tag() || r.size >= 0 && s.Header.Size != r.size {
		return remoteChanged(s.Header.Size, s.Header.ETag, r)
	}
	n := s.Count()
	if r.tree != nil {
		l, err := merkle.NewLayout(s.Header.Size, s.Header.PieceSize)
		if err != nil {
			return nil // no tree is of such pieces
		}
		found, err := t.dataPieces(l)
		if err != nil {
			return diskError("look at partial file", err)
		}
		n = max(n, len(found))
	}
	if n == 0 {
		return nil
	}
	return errorf(KindRangeUnsupported, "resume", "the server does not send parts of the file any more, and %d of %d pieces are on disk",
		n, s.Header.Pieces()).withHint("to discard them and fetch the whole file, add --restart")
}

// markResumable says in err whether the same call would go on from here.
func markResumable(err error, t *target) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	switch e.Kind {
	case KindRemoteChanged, KindRangeUnsupported, KindUsage:
	default:
		e.Resumable = t.resumable
	}
	return err
}
