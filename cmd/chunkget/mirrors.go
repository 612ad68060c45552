package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/metalink"
	"github.com/spf13/pflag"
)

// maxMirrors is how many addresses of one file are used, besides its first.
const maxMirrors = 16

// mirrors is what the command line says about further addresses of a file.
type mirrors struct {
	given []string // --mirror
	none  bool     // --no-mirrors

	described []described // files of Metalinks
}

func (m *mirrors) addFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&m.given, "mirror", nil, "fetch the file from this `URL`, too, over whatever it is of: udt, udts, http, https; may be repeated. Bytes of several servers are put together only where hashes or a digest show that they belong together")
	f.BoolVar(&m.none, "no-mirrors", false, "use none of the addresses that a server (Link: rel=duplicate) or a Metalink names besides the first")
}

// wanted is what is known of a file besides its first address.
type wanted struct {
	name    string // that a Metalink gives it, "" without
	mirrors []*url.URL
	digest  fetch.Digest
	pieces  *fetch.PieceHashes // nil = none
	unused  string             // which hashes of a Metalink are not used, and why; "" = none
}

// described is a file of a Metalink.
type described struct {
	url *url.URL
	wanted
}

// readMetalinks reads the Metalinks among the arguments, and that of --metalink. It
// returns the other arguments.
func (o *options) readMetalinks(ctx context.Context, u *ui, args []string) (rest []string, err error) {
	for _, a := range args {
		if strings.Contains(a, "://") || !strings.EqualFold(filepath.Ext(a), ".meta4") {
			rest = append(rest, a)
			continue
		}
		d, err := o.openDocument(ctx, u, a)
		if err == nil {
			err = o.describe(d)
		}
		if err != nil {
			return nil, err
		}
	}
	err = o.readDocument(ctx, u)
	if err == nil && o.document != nil && len(rest)+len(o.listed) == 0 {
		err = o.describe(o.document)
	}
	return rest, err
}

// describe adds the files of a Metalink to what is fetched.
func (o *options) describe(d *document) error {
	for i := range d.files {
		f := &d.files[i]
		urls := d.addresses(f)
		if len(urls) == 0 {
			return &usageError{fmt.Sprintf("%s names no address of %s that can be fetched", quote(d.name), quote(f.Name)),
				schemesHint() + "; what a document that came encrypted names has to be encrypted, too"}
		}
		w := wanted{name: f.Name, pieces: piecesOf(f), unused: unusedOf(d, f)}
		// Without a digest the pieces, or the server's tree, have to do.
		var err error
		if w.digest, err = fetch.MetalinkDigest(f); err != nil && (f.Hash("sha-256") != nil || f.Hash("sha-512") != nil) {
			return &usageError{fmt.Sprintf("%s: %v", quote(d.name), err), ""}
		}
		if !o.mirrors.none {
			w.mirrors = urls[1:]
		}
		o.mirrors.described = append(o.mirrors.described, described{urls[0], w})
	}
	return nil
}

// unusedOf is unused as a sentence.
func unusedOf(d *document, f *metalink.File) string {
	text := unused(f)
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%s has for %s %s", quote(d.name), quote(f.Name), text)
}

// noteUnused tells of hashes that are not used.
func (o *options) noteUnused(u *ui) {
	for _, w := range o.wanted {
		if w.unused != "" {
			u.note("%s", w.unused)
		}
	}
}

// addresses returns where a file can be fetched from, the preferred address first.
func (d *document) addresses(f *metalink.File) (urls []*url.URL) {
	for _, s := range f.URLs {
		u, err := parseURL(s)
		if err != nil || u.User != nil || d.from != nil && encrypted(d.from) && !encrypted(u) {
			continue
		}
		if len(urls) <= maxMirrors && !slices.ContainsFunc(urls, func(v *url.URL) bool { return *v == *u }) {
			urls = append(urls, u)
		}
	}
	return urls
}

func encrypted(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == "udts" }

// plan completes what is known of each file. given are the URLs of the command line
// and its lists.
func (o *options) plan(given []*url.URL) error {
	o.wanted = make([]wanted, len(given))
	o.urls = slices.Clone(given)
	if err := o.planFirst(); err != nil {
		return err
	}
	for _, d := range o.mirrors.described {
		o.urls, o.wanted = append(o.urls, d.url), append(o.wanted, d.wanted)
	}
	if len(o.mirrors.given) == 0 {
		return nil
	}
	if len(o.urls) != 1 {
		return &usageError{fmt.Sprintf("--mirror is for one file, but there are %d", len(o.urls)), "name the files of several mirrors in a Metalink"}
	}
	if len(o.mirrors.given) > maxMirrors {
		return &usageError{fmt.Sprintf("%d mirrors are too many: at most %d are used", len(o.mirrors.given), maxMirrors), ""}
	}
	var urls []*url.URL
	for _, s := range o.mirrors.given {
		u, err := parseURL(s)
		if err != nil {
			return err
		}
		urls = append(urls, u)
	}
	o.security.mirrors = urls
	o.wanted[0].mirrors = append(urls, o.wanted[0].mirrors...)
	return nil
}

// planFirst takes what the flags say about the only URL that was given.
func (o *options) planFirst() error {
	if len(o.urls) == 0 {
		return nil
	}
	f, err := o.expect(nameOf(o.urls[0]), (*fetch.PieceHashes).Fault)
	if err != nil {
		return err
	}
	w := &o.wanted[0]
	w.digest = o.digest
	if f == nil {
		return nil
	}
	w.pieces, w.unused = piecesOf(f), unusedOf(o.document, f)
	if !o.mirrors.none {
		w.mirrors = o.document.addresses(f)
	}
	return nil
}

// trustMirrors takes the pins of addresses that a Metalink on this machine names.
func (o *options) trustMirrors() error {
	for i := range o.wanted {
		for _, u := range append([]*url.URL{o.urls[i]}, o.wanted[i].mirrors...) {
			if err := o.security.addPin(u); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetchMirrors is what package fetch is told of further addresses of file i: no more
// than maxMirrors, --mirror before what a Metalink names.
func (o *options) fetchMirrors(i int) (out []fetch.Mirror) {
	for _, u := range o.wanted[i].mirrors {
		if len(out) < maxMirrors && u.String() != o.urls[i].String() {
			out = append(out, fetch.Mirror{URL: u, Header: o.headerFor(u)})
		}
	}
	return out
}

// headerFor returns the fields for requests to u. What the user tells the servers of
// the URLs, with --header or as a login, is not for those that a Metalink names; an
// own login is for a --mirror, and the name of the program for everybody.
func (o *options) headerFor(u *url.URL) http.Header {
	same := func(v *url.URL) bool { return origin(u) == origin(v) }
	if slices.ContainsFunc(o.given, same) || o.document != nil && o.document.from != nil && same(o.document.from) {
		return o.security.header(o.header, u)
	}
	h := make(http.Header)
	if agent := o.header.Get("User-Agent"); agent != "" {
		h.Set("User-Agent", agent)
	}
	if slices.ContainsFunc(o.security.mirrors, same) {
		return o.security.header(h, u)
	}
	return h
}

// fromMirrors is the end of the last line of a download from several addresses.
func fromMirrors(r *fetch.Result) string {
	if len(r.Mirrors) == 0 {
		return ""
	}
	var parts []string
	for _, m := range r.Mirrors {
		part := fmt.Sprintf("%s %s", quote(m.URL), formatBytes(m.Bytes))
		if m.Dropped != nil {
			part += " (dropped)"
		}
		parts = append(parts, part)
	}
	return "; from " + strings.Join(parts, ", ")
}
