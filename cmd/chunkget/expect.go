package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/metalink"
	"github.com/spf13/pflag"
)

// addExpected adds what says what the file has to be.
func (o *options) addExpected(f *pflag.FlagSet) {
	f.StringVar(&o.checksum, "checksum", "", "require this digest of the whole file, as `sha256:HEX` or sha512:HEX; or server: the one that the server announces (Repr-Digest), which has to announce one")
	f.StringVar(&o.metalink, "metalink", "", "require what the Metalink 4 document at `FILE` or URL says about the file: size, digest, piece hashes")
}

// checksumServer is the value of --checksum that stands for what the server announces.
const checksumServer = "server"

// document is a Metalink that has been read.
type document struct {
	name  string   // as the user has named it
	from  *url.URL // where it is from, nil for a file on this machine
	files []metalink.File
}

// expect reads what the file of that name has to be, which readDocument has read if
// it is a Metalink. It returns what that says, nil without one. by tells why the command
// does not check a file by hashes of its pieces, nil if it does: then there has to be a
// digest of the whole file.
func (o *options) expect(name string, by func(*fetch.PieceHashes) error) (*metalink.File, error) {
	var err error
	switch {
	case o.checksum != "" && o.metalink != "":
		return nil, &usageError{"--checksum and --metalink exclude each other", ""}
	case o.checksum == checksumServer:
		o.serverDigest = true
	case o.checksum != "":
		if o.digest, err = fetch.ParseDigest(o.checksum); err != nil {
			return nil, &usageError{fmt.Sprintf("--checksum: %v", err), "a checksum looks like sha256:0123456789abcdef... with 64 digits; server is the one that the server announces"}
		}
	case o.document != nil:
		f, ok := metalink.Find(o.document.files, name)
		if !ok {
			return nil, &usageError{fmt.Sprintf("--metalink %s names %d files, none of them %s", quote(o.document.name), len(o.document.files), quote(name)), ""}
		}
		if o.digest, err = fetch.MetalinkDigest(f); err != nil {
			err = o.withoutDigest(fetch.MetalinkPieces(f), by, err)
		}
		return f, err
	}
	return nil, nil
}

// withoutDigest returns nil if the hashes of pieces p are enough where there is no digest
// of the whole file, because of err.
func (o *options) withoutDigest(p *fetch.PieceHashes, by func(*fetch.PieceHashes) error, err error) error {
	if len(p.Sums) == 0 {
		return &usageError{fmt.Sprintf("--metalink %s: %v", quote(o.document.name), err),
			"what else it may have, such as SHA-1 or MD5, can be forged and proves nothing; give --checksum sha256:HEX from elsewhere"}
	}
	if why := by(p); why != nil {
		return &usageError{fmt.Sprintf("--metalink %s: %v, but %v", quote(o.document.name), err, why),
			"give --checksum sha256:HEX from elsewhere; or do without, and hold the file against the Metalink afterwards: chunkget verify FILE --metalink " + shellQuote([]string{o.document.name})}
	}
	return nil
}

// nameOf returns the name of the file at u.
func nameOf(u *url.URL) string { return path.Base(u.Path) }

// readDocument reads the Metalink of --metalink, if there is one.
func (o *options) readDocument(ctx context.Context, u *ui) (err error) {
	if o.metalink != "" {
		o.document, err = o.openDocument(ctx, u, o.metalink)
	}
	return err
}

// openDocument reads a Metalink from a file, or from a URL with what the command
// line says about requests.
func (o *options) openDocument(ctx context.Context, u *ui, name string) (*document, error) {
	d := &document{name: name}
	var r io.Reader
	if strings.Contains(name, "://") {
		var err error
		if d.from, err = parseURL(name); err != nil {
			return nil, err
		}
		d.name = fetch.RedactURL(d.from)
		body, err := o.download(ctx, u, d.from, metalink.MaxSize)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(body)
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, &fetch.Error{Kind: fetch.KindDisk, Op: "read the Metalink", Err: err}
		}
		defer f.Close()
		r = f
	}
	var err error
	if d.files, err = metalink.Parse(r); err != nil {
		return nil, &usageError{fmt.Sprintf("--metalink %s: %v", quote(d.name), err), "a Metalink 4 document begins with <metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">"}
	}
	return d, nil
}

// download returns what is at target, at most so many bytes, over connections of its
// own.
func (o *options) download(ctx context.Context, u *ui, target *url.URL, most int) (_ []byte, err error) {
	own := *o
	own.trace, own.sending = "", sending{share: defaultShare}
	if err := own.validateRequests(); err != nil {
		return nil, err
	}
	if err := own.security.validate([]*url.URL{target}, own.header); err != nil {
		return nil, err
	}
	n, err := openNetwork(u, &own, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	into := &boundedBuffer{most: most}
	_, err = fetch.Get(ctx, fetch.Options{
		URL: target, Transport: n.rt, Connections: 1, Writer: into, GivenOnly: true,
		Header:       own.security.header(own.header, target),
		Retry:        own.retry(),
		MaxRedirects: o.answers.maxRedirects(),
		Logger:       n.log, Secrets: o.secrets(), DisableCompression: true,
	})
	if err != nil && ctx.Err() != nil {
		return nil, interrupted(err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the Metalink: %w", err)
	}
	return into.Bytes(), nil
}

// boundedBuffer is a buffer that takes so many bytes and no more.
type boundedBuffer struct {
	bytes.Buffer
	most int
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, fmt.Errorf("more than %d bytes", b.most)
	}
	return b.Buffer.Write(p)
}

// piecesOf returns what is known of the pieces of f that a download is checked by, at
// least its size.
func piecesOf(f *metalink.File) *fetch.PieceHashes {
	p := fetch.MetalinkPieces(f)
	if p.Fault() != nil {
		return &fetch.PieceHashes{Size: p.Size}
	}
	return p
}

// unused tells which hashes of f a download does not use, because they can be forged or
// it cannot be checked by them, and what is checked instead; "" if there are none, or
// better ones in their place.
func unused(f *metalink.File) string {
	var whole, pieces []string
	for _, h := range f.Hashes {
		whole = append(whole, h.Type)
	}
	for _, p := range f.Pieces {
		pieces = append(pieces, p.Type)
	}
	_, err := fetch.MetalinkDigest(f)
	p := fetch.MetalinkPieces(f)
	fault := p.Fault()
	switch {
	case fault != nil && err == nil:
		return fmt.Sprintf("%v: they are not used; the file is checked as a whole in the end", fault)
	case fault != nil:
		return fmt.Sprintf("%v: they are not used; checked are the size, and the server's hash tree if it has one", fault)
	case len(p.Sums) > 0 || err == nil && len(pieces) == 0 || len(whole)+len(pieces) == 0:
		return ""
	case err == nil:
		return fmt.Sprintf("hashes of pieces by %s, which can be forged and are not used; the file is checked as a whole in the end", strings.Join(pieces, ", "))
	}
	return fmt.Sprintf("no hash but by %s, which can be forged and is not used; checked are the size, and the server's hash tree if it has one",
		strings.Join(slices.Compact(slices.Sorted(slices.Values(append(whole, pieces...)))), ", "))
}
