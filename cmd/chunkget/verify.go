package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/merkle"
	"github.com/spf13/cobra"
)

// verifyEvent is what verify finds, with --json. An error event follows when ok
// is false.
type verifyEvent struct {
	Event    string      `json:"event"`
	URL      string      `json:"url,omitempty"`
	Path     string      `json:"path"`
	OK       bool        `json:"ok"`
	Against  []string    `json:"against"` // tree, root, pieces, sha-256, sha-512
	Bytes    int64       `json:"bytes"`
	Expected *int64      `json:"bytes_expected"` // null when not known
	BytesBad int64       `json:"bytes_bad"`
	Bad      []byteRange `json:"bad"` // as far as that can be told
	Root     string      `json:"root,omitempty"`
	SHA256   string      `json:"sha256,omitempty"`
	SHA512   string      `json:"sha512,omitempty"`
}

// byteRange is a range of bytes, both ends included.
type byteRange struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

func verifyCommand(u *ui) *cobra.Command {
	o := &options{jobs: 1}
	var root string
	cmd := &cobra.Command{
		Use:   "verify [flags] FILE [URL]",
		Short: "tell whether a file is right, and which of its bytes are not",
		Long: `verify reads FILE and holds it against the hash tree of the file at URL, a digest, the
root of a hash tree, or a Metalink 4 document: all that are given. It changes nothing.
Where a tree or piece hashes tell which bytes are wrong, stdout lists them, one range
a line; a chunkserve can tell blocks of 16 KiB apart.

  chunkget verify big.iso udt://host:9000/big.iso
  chunkget verify big.iso --checksum sha256:0123...
  chunkget verify big.iso --metalink big.iso.meta4

The exit code is 0 if FILE is right, 8 if not. 'chunkget repair' fetches what is wrong.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return &usageError{fmt.Sprintf("verify takes FILE and perhaps a URL, not %d arguments", len(args)), "see: chunkget verify --help"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			u.quiet, u.verbose, u.json = o.quiet, o.verbose, o.json
			var target *url.URL
			err := o.validateRequests()
			if err == nil && len(args) > 1 {
				target, err = o.parseTarget(args[1])
			}
			co := fetch.CheckOptions{Options: fetch.Options{Output: args[0], URL: target}}
			if err == nil {
				err = o.readDocument(cmd.Context(), u)
			}
			if err == nil {
				err = expectations(o, root, &co)
			}
			if err == nil {
				err = verify(cmd.Context(), u, o, co)
			}
			if err != nil && u.json {
				w := u.events()
				if target != nil {
					w.url = fetch.RedactURL(target)
				}
				w.end(err)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.addExpected(f)
	f.StringVar(&root, "root", "", "require this root of the hash tree (the pieces root of BitTorrent v2), in `HEX`")
	o.addRequests(f)
	o.connections = 1
	return cmd
}

// expectations reads what the file has to be into co.
func expectations(o *options, root string, co *fetch.CheckOptions) error {
	f, err := o.expect(filepath.Base(co.Output), func(*fetch.PieceHashes) error { return nil })
	if err != nil {
		return err
	}
	co.Digest, co.ServerDigest = o.digest, o.serverDigest
	if co.ServerDigest && co.URL == nil {
		return &usageError{"--checksum server needs the URL of the file", ""}
	}
	if f != nil {
		co.Pieces = fetch.MetalinkPieces(f)
	}
	if root != "" {
		var h merkle.Hash
		b, err := hex.DecodeString(root)
		if err != nil || copy(h[:], b) != len(h) || len(b) != len(h) {
			return &usageError{fmt.Sprintf("--root %s does not have 64 hexadecimal digits", quote(root)), ""}
		}
		co.Root = &h
	}
	if co.URL == nil && co.Digest.IsZero() && co.Root == nil && f == nil {
		return &usageError{"there is nothing to hold " + quote(co.Output) + " against", "give a URL, --checksum, --root or --metalink"}
	}
	return nil
}

func verify(ctx context.Context, u *ui, o *options, co fetch.CheckOptions) (err error) {
	n := silentNetwork()
	if co.URL != nil {
		if n, err = openNetwork(u, o, 1); err != nil {
			return err
		}
	}
	defer func() {
		if cerr := n.close(); err == nil {
			err = cerr
		}
	}()
	co.Logger, co.Secrets = n.log, o.secrets()
	if co.URL != nil {
		co.Header = o.security.header(o.header, co.URL)
	}
	co.Retry, co.MaxRedirects = o.retry(), o.answers.maxRedirects()
	if n.rt != nil {
		co.Transport = n.rt
	}
	events := u.events()
	if co.URL != nil {
		events.url = fetch.RedactURL(co.URL)
	}
	bar := &hashing{board: newBoard(u, 1)}
	co.Observe = func(e fetch.Event) {
		switch {
		case u.json:
			events.observe(e)
		case e.Kind == fetch.EventHash:
			bar.observe(e)
		default:
			u.detail("%s", e.Reason)
		}
	}
	rep, err := fetch.Check(ctx, co)
	bar.stop()
	if n.rt != nil {
		err = n.rt.trust.explain(co.URL, err)
	}
	if err != nil && ctx.Err() != nil {
		return interrupted(err)
	}
	if len(rep.Against) > 0 {
		showReport(u, co.URL, rep, err == nil)
	}
	return err
}

// showReport tells what was found, apart from the error that it means.
func showReport(u *ui, target *url.URL, r *fetch.Report, ok bool) {
	if !u.json {
		for _, b := range r.Bad {
			fmt.Fprintf(u.stdout, "bad bytes %d-%d\n", b.Start, b.End-1)
		}
		if ok {
			text := fmt.Sprintf("%s is right: %s, held against %s", quote(r.Path), formatBytes(r.Size), strings.Join(r.Against, ", "))
			if r.Root != nil {
				text += ", root " + r.Root.String()
			}
			if !r.Digest.IsZero() {
				text += ", " + r.Digest.String()
			}
			u.info("%s", text)
		} else if n := r.BadBytes(); n > 0 {
			u.info("%s", badText(n, len(r.Bad)))
		}
		return
	}
	e := verifyEvent{Event: "verify", Path: r.Path, OK: ok, Against: r.Against, Bytes: r.Size, BytesBad: r.BadBytes(), Bad: []byteRange{}}
	if target != nil {
		e.URL = fetch.RedactURL(target)
	}
	if r.Want >= 0 {
		e.Expected = &r.Want
	}
	for _, b := range r.Bad {
		e.Bad = append(e.Bad, byteRange{b.Start, b.End - 1})
	}
	if r.Root != nil {
		e.Root = r.Root.String()
	}
	e.SHA256, e.SHA512 = sums(r.Digest)
	u.events().write(e)
}

// badText tells of bytes in ranges that are not as they should be.
func badText(bytes int64, ranges int) string {
	are := "are"
	if ranges == 1 {
		are = "is"
	}
	return fmt.Sprintf("%s in %s %s wrong, missing, or too many", formatBytes(bytes), plural(ranges, "range"), are)
}

// sums returns a digest as the fields of its algorithm.
func sums(d fetch.Digest) (sha256, sha512 string) {
	switch d.Algorithm {
	case "sha-256":
		return hex.EncodeToString(d.Sum), ""
	case "sha-512":
		return "", hex.EncodeToString(d.Sum)
	}
	return "", ""
}
