package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/chunkget/chunkget/fetch"
	"github.com/spf13/cobra"
)

func putCommand(u *ui, line []string) *cobra.Command {
	o := &options{jobs: 1, sending: sending{share: defaultShare}}
	cmd := &cobra.Command{
		Use:   "put [flags] FILE URL",
		Short: "send a file to a chunkserve that takes uploads",
		Long: `put sends FILE over several connections in parallel. The server (chunkserve --upload)
checks every piece against the file's hash tree as it arrives, and the file appears at
URL when all of it is there, right, and on disk. Nothing is ever overwritten.

  chunkget put big.iso udt://host:9000/big.iso     send it under this name
  chunkget put big.iso udt://host:9000/incoming/   send it under its own name
  chunkget put --token-file token big.iso 'udts://host:9000/#pin=sha256:...'

After an interruption of either side the same command goes on where it was: the server
keeps what has arrived for some days. If FILE has changed meanwhile, it starts over. If
the same file is there already, that is success; another one of this name is exit code 7.

` + strings.TrimSuffix(exitHelp, "\nWith several URLs the first failure in their order counts."),
		Args: takesTwo("FILE and URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := o.begin(u, args[1])
			if err == nil {
				err = nameTarget(target, args[0])
			}
			if err != nil {
				return refuse(u, err)
			}
			o.output = args[0]
			return put(cmd.Context(), u, o, target, line)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.addConnections(f, "all at once")
	o.addReaching(f)
	f.Lookup("connections").Usage = fmt.Sprintf("connections in parallel, 1 to %d", fetch.MaxConnections)
	f.Lookup("limit-rate").Usage = "send no more than this `RATE` in bit/s, such as 20M, over all connections together; at least 64k"
	o.addManners(f)
	return cmd
}

// nameTarget gives a URL that ends in a slash the name of the file.
func nameTarget(target *url.URL, file string) error {
	if target.Path == "" {
		target.Path = "/"
	}
	if strings.HasSuffix(target.Path, "/") {
		named := target.JoinPath(url.PathEscape(filepath.Base(file)))
		target.Path, target.RawPath = named.Path, named.RawPath
	}
	if target.RawQuery != "" {
		return &usageError{"a URL to send a file to has no query", "write a ? that is part of the name as %3F"}
	}
	return nil
}

func put(ctx context.Context, u *ui, o *options, target *url.URL, line []string) error {
	record, err := putRecord(o.output, target)
	if err != nil {
		u.detail("note: the upload will not be remembered: %v", err)
	}
	return transferOne(ctx, u, o, target, line, func(n *network) fetcher {
		n.rt.warm(ctx, target, o.connections)
		return func(ctx context.Context, fo fetch.Options) (*fetch.Result, error) {
			return fetch.Put(ctx, fetch.PutOptions{Options: fo, Record: record})
		}
	}, func(b *board) observer { return &putDisplay{newDisplay(b)} })
}

// putRecord returns the name of the file that remembers the upload of a file to a
// URL, and makes its directory.
func putRecord(file string, target *url.URL) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	if file, err = filepath.Abs(file); err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "chunkget", "uploads")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(file + "\x00" + fetch.RedactURL(target)))
	return filepath.Join(dir, hex.EncodeToString(sum[:16])+".json"), nil
}

// putDisplay shows an upload as text.
type putDisplay struct{ *display }

func (d *putDisplay) observe(e fetch.Event) {
	switch e.Kind {
	case fetch.EventStart:
		text := fmt.Sprintf("sending %s to %s, %s", quote(e.Path), quote(e.URL), formatBytes(e.Total))
		if e.Resumed > 0 {
			text += fmt.Sprintf(", %s of it already there", formatBytes(e.Resumed))
		}
		d.ui.info("%s", text)
		d.startBar(e)
	case fetch.EventPieceBad:
		d.ui.info("piece %d is bad and will be sent again: %s (try %d)", e.Piece, e.Reason, e.Try)
	case fetch.EventDone:
		d.update(e)
		d.stopBar()
		d.ui.info("%s", putSummary(e.Result, e.Reason))
	default:
		d.display.observe(e)
	}
}

// putSummary is the last line of an upload. why is as in summary.
func putSummary(r *fetch.Result, why string) string {
	if r.Intact {
		return fmt.Sprintf("%s was there already: %s, root %v", quote(r.Path), formatBytes(r.Bytes), r.Root)
	}
	text := fmt.Sprintf("sent %s: %s in %s (%s)", quote(r.Path), formatBytes(r.Bytes), formatDuration(r.Elapsed),
		formatRate(float64(r.BytesSent)/max(r.Elapsed.Seconds(), 1e-9)))
	if r.Connections > 0 {
		text += ", " + plural(r.Connections, "connection")
	}
	if why != "" {
		text += fmt.Sprintf(" over %s: %s", transportText(r.Transport), why)
	}
	if r.BytesResumed > 0 {
		text += fmt.Sprintf(", %s resumed", formatBytes(r.BytesResumed))
	}
	if r.PiecesBad > 0 {
		text += fmt.Sprintf(", %s sent again", plural(r.PiecesBad, "bad piece"))
	}
	return text + fmt.Sprintf(", checked on arrival, root %v", r.Root)
}
