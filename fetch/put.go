package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

// PutOptions says what to send, to where, and how. The embedded Options' URL is
// that of the file to be, Output the path of the local file; Dir, Writer, Digest,
// Restart, Overwrite and DisableCompression have no meaning.
type PutOptions struct {
	Options

	// Record is the path of a file that remembers the upload over runs, so that a
	// later one need not hash the file again, and discards what the server has if
	// the file has changed. Its directory must exist. "" remembers nothing; what
	// the server has is found all the same.
	Record string
}

// Put sends a file in parts that the server checks against its hash tree
// (docs/upload.md), and goes on where an earlier call was interrupted: what has
// arrived is for the server to say. An existing file is not replaced; if it is the
// same, that is success.
//
// Of the Result, Path is the local file and BytesSent what was sent. Every error is
// or wraps an [*Error].
func Put(ctx context.Context, o PutOptions) (*Result, error) {
	begun := time.Now()
	if err := o.resolve(); err != nil {
		return nil, err
	}
	res := &Result{Transport: o.URL.Scheme, Path: o.Output}
	err := put(ctx, &o, res)
	if err != nil && ctx.Err() != nil {
		err = interruptedBy(ctx, err)
	}
	return conclude(&o.Options, res, begun, err)
}

// interruptedBy makes an error that the end of ctx has caused one of that kind.
func interruptedBy(ctx context.Context, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return &Error{Kind: KindInterrupted, Op: "send", Err: context.Cause(ctx)}
	}
	switch e.Kind {
	case KindNetwork, KindTimeout, KindOther:
		return &Error{Kind: KindInterrupted, Op: e.Op, Err: context.Cause(ctx), Resumable: e.Resumable}
	}
	return err
}

// localFile is the file to be sent. What has been read of it is of one version as
// long as changed says no.
type localFile struct {
	*os.File
	path string
	info os.FileInfo
}

func openSource(path string) (*localFile, error) {
	f, err := os.Open(path)
	if err != nil {
		e := diskError("open the file", err)
		e.Hint = "name a file that can be read"
		return nil, e
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, diskError("open the file", err).withHint("only files can be sent; pack a directory first, with tar for example")
	}
	return &localFile{f, path, info}, nil
}

// changed reports whether the file is no longer what it was when it was opened.
func (s *localFile) changed() bool {
	info, err := s.Stat()
	return err == nil && (info.Size() != s.info.Size() || !info.ModTime().Equal(s.info.ModTime()))
}

// errSourceChanged ends an upload of a file that is being written to.
func errSourceChanged(s *localFile) *Error {
	return errorf(KindIntegrity, "read", "%q has changed while it was sent", s.path).
		withHint("the same command sends the new version, from its beginning")
}

// errOldVersionSent ends an upload that is complete, of a file that has been written
// to meanwhile.
func errOldVersionSent(s *localFile) *Error {
	return errorf(KindIntegrity, "send", "%q has changed while it was sent, and the version from before is at the server", s.path).
		withHint("the server overwrites nothing: send the new version under another name, or have the old one removed there first")
}

// hashSource returns the hash tree of the file.
func hashSource(ctx context.Context, src *localFile, l merkle.Layout) ([]merkle.Hash, merkle.Hash, error) {
	hashes := make([]merkle.Hash, l.Pieces())
	workers, ctx := errgroup.WithContext(ctx)
	const most = 4
	for w := range min(most, len(hashes)) {
		workers.Go(func() error {
			buf := make([]byte, l.PieceSize)
			for i := w; i < len(hashes); i += most {
				if ctx.Err() != nil {
					return &Error{Kind: KindInterrupted, Op: "hash the file", Err: context.Cause(ctx)}
				}
				off, n := l.Piece(i)
				if _, err := src.ReadAt(buf[:n], off); err == io.EOF {
					return errSourceChanged(src)
				} else if err != nil {
					return diskError("read the file", err)
				}
				hashes[i] = l.HashPiece(i, buf[:n])
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, merkle.Hash{}, err
	}
	if src.changed() {
		return nil, merkle.Hash{}, errSourceChanged(src)
	}
	return hashes, l.Root(hashes), nil
}

func put(ctx context.Context, o *PutOptions, res *Result) error {
	src, err := openSource(o.Output)
	if err != nil {
		return err
	}
	defer src.Close()
	res.Bytes = src.info.Size()
	l, err := merkle.NewLayout(res.Bytes, merkle.DefaultPieceSize(res.Bytes))
	if err != nil {
		return &Error{Kind: KindUsage, Op: "plan", Err: err}
	}
	p := &putting{o: o, src: src, layout: l, retry: o.Retry.resolved(), res: res, client: newPutClient(&o.Options)}
	p.record = readPutRecord(o.Record)
	if err := p.discardChanged(ctx); err != nil {
		return err
	}
	for round := 1; ; round++ {
		have, err := p.find(ctx)
		if err != nil {
			return err
		}
		if have == nil { // complete
			break
		}
		if round == 1 {
			res.BytesResumed = have.Bytes()
			p.emit(Event{Kind: EventStart, URL: RedactURL(o.URL), Path: src.path, Total: res.Bytes, Done: have.Bytes(), Resumed: have.Bytes(), ETA: -1})
		}
		done, err := p.send(ctx, *have)
		if err != nil {
			p.markResumable(err)
			return err
		}
		if done {
			break
		}
		// The server has lost the upload or some of it, or has all of it and was
		// stopped before it said so. The tree makes it look again.
		p.upload = nil
		if round == putRounds {
			return errorf(KindOther, "send", "the server has lost what it had received %d times", round)
		}
	}
	res.BytesSent = p.sent.Load()
	// The record is of an upload that is no more, whatever has become of the file.
	err = removePutRecord(o.Record)
	if src.changed() {
		return errOldVersionSent(src)
	}
	if p.hashed {
		res.Root, res.Verified = p.root, true
	} else if p.record != nil {
		res.Root, res.Verified = p.record.root, true
	}
	return err
}

// putting is one call of Put. While a sender is at work its fields do not change but
// for sent, and res, which the sender guards.
type putting struct {
	o      *PutOptions
	src    *localFile
	layout merkle.Layout
	retry  RetryPolicy
	client *client
	res    *Result
	record *putRecord // of an earlier run with the same file, or of this one; nil if there is none

	hashed bool // hashes and root are known
	hashes []merkle.Hash
	root   merkle.Hash

	upload *url.URL // at the server; nil until it is found
	begun  bool     // EventStart has been told
	sent   counter  // bytes of the file handed to the transport
}

// newPutClient returns a client that follows no redirect: a body would go along
// with it, and some turn into GET.
func newPutClient(o *Options) *client {
	c := newClient(o)
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

func (p *putting) emit(e Event) {
	if p.o.Observe == nil {
		return
	}
	switch {
	case e.Kind == EventStart:
		if p.begun {
			return
		}
		p.begun = true
	case !p.begun:
		e.Total, e.ETA = -1, -1
	}
	p.o.Observe(e)
}

func (p *putting) note(code Code, format string, args ...any) {
	p.emit(Event{Kind: EventNote, Total: p.layout.Size, ETA: -1, Code: code, Reason: fmt.Sprintf(format, args...)})
}

// retrying makes a request until it succeeds or the policy gives up.
func (p *putting) retrying(ctx context.Context, op string, request func(ctx context.Context, alive func()) error) error {
	return p.retry.retrying(ctx, func(e Event) {
		p.res.Retries++
		p.emit(e)
	}, op, request)
}

// discardChanged asks the server to forget what an earlier run has sent of another
// version of the file.
func (p *putting) discardChanged(ctx context.Context) error {
	r := p.record
	if r == nil {
		return nil
	}
	upload, err := p.client.url.Parse(r.Upload)
	if err != nil || r.URL != RedactURL(p.o.URL) || !sameOrigin(upload, p.client.url) {
		p.record = nil // of something else
		return nil
	}
	if r.Size == p.src.info.Size() && r.ModTime.Equal(p.src.info.ModTime()) {
		p.upload = upload
		return nil
	}
	p.record = nil
	p.note(CodeStartOver, "the file has changed since an earlier run; what was sent of it is discarded")
	err = p.retrying(ctx, "discard the earlier upload", func(ctx context.Context, _ func()) error {
		resp, err := p.client.do(ctx, http.MethodDelete, upload, nil, nil)
		if err != nil {
			return err
		}
		resp.Body.Close()
		return nil
	})
	if ctx.Err() != nil {
		return err
	}
	if err != nil { // the server removes it some time
		p.o.Logger.Debug("earlier upload is left", "err", err)
	}
	return removePutRecord(p.o.Record)
}

// find returns what the server has of the file, after telling it what is to come
// if need be. It returns nil if the file is complete.
func (p *putting) find(ctx context.Context) (*segment.Set, error) {
	if p.upload != nil {
		have, complete, err := p.state(ctx)
		if err == nil && complete {
			return nil, nil
		}
		if err == nil {
			return have, nil
		}
		if !isGone(err) {
			return nil, err
		}
		p.upload = nil
	}
	if !p.hashed {
		if p.layout.Size >= noteHashing {
			p.note("", "the file is read first, to compute its hash tree")
		}
		var err error
		if p.hashes, p.root, err = hashSource(ctx, p.src, p.layout); err != nil {
			return nil, err
		}
		p.hashed = true
	}
	return p.create(ctx)
}

// putRounds is how often an upload is begun before it is given up.
const putRounds = 5

// noteHashing is the size of files whose hashing takes so long that somebody may
// wonder, in bytes.
const noteHashing = 4 << 30

// isGone reports whether the server does not know an upload.
func isGone(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.StatusCode == http.StatusNotFound || e.StatusCode == http.StatusGone)
}

// markResumable says that the server keeps what it has.
func (p *putting) markResumable(err error) {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind != KindUsage && e.Kind != KindIntegrity {
		e.Resumable = true
	}
}
