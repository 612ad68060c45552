package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/printable"
	"github.com/chunkget/chunkget/journal"
	"github.com/spf13/cobra"
)

// inspectEvent is a journal, with --json.
type inspectEvent struct {
	Event     string      `json:"event"`
	Path      string      `json:"path"`
	URL       string      `json:"url"`
	ETag      string      `json:"etag"` // with its quotes; "" when the server sent no strong one
	Total     int64       `json:"total"`
	PieceSize int64       `json:"piece_size"`
	Pieces    int         `json:"pieces"`
	Recorded  int         `json:"pieces_recorded"`
	Bytes     int64       `json:"bytes"` // in recorded pieces
	Ranges    []byteRange `json:"ranges"`
	Root      string      `json:"root"`               // of the hash tree, "" when it was not recorded
	Expected  string      `json:"expected,omitempty"` // digest that the whole file is to have
	Records   int         `json:"records"`
	GoodBytes int64       `json:"good_bytes"` // of the journal
	TornBytes int64       `json:"torn_bytes"`
	TornWhy   string      `json:"torn_why,omitempty"`
}

func inspectCommand(u *ui) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect [flags] FILE.part.journal",
		Short: "show what a journal says is safely on disk",
		Long: `inspect prints what the journal of an unfinished download says: which file it is of, which
bytes of it are on disk, and what of the journal is damaged. It changes nothing and
may be used while the download runs.

The exit code is 8 if the journal cannot be used at all. A torn end, as a crash
leaves it, is no error: the next run cuts it off.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Sprintf("inspect takes one journal, not %d arguments", len(args)), "a journal is named FILE.part.journal"}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			u.json = asJSON
			err := inspect(u, args[0])
			if err != nil && u.json {
				u.events().end(err)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object on stdout instead of text")
	return cmd
}

func inspect(u *ui, path string) error {
	s, err := journal.ReadFile(path)
	if errors.Is(err, journal.ErrDamaged) {
		return &fetch.Error{Kind: fetch.KindIntegrity, Op: "read " + path, Err: err, Code: fetch.CodeJournalDamaged,
			Hint: "the partial file may be good all the same; the next run checks it against the server's hash tree"}
	}
	if errors.Is(err, journal.ErrEmpty) {
		return &fetch.Error{Kind: fetch.KindIntegrity, Op: "read " + path, Err: err,
			Hint: "nothing is recorded: the download has just begun, or comes in one stream, which cannot be resumed"}
	}
	if err != nil {
		e := &fetch.Error{Kind: fetch.KindDisk, Op: "read " + path, Err: err}
		if errors.Is(err, fs.ErrNotExist) {
			e.Hint = "a journal is named FILE.part.journal, and is there as long as the download is not complete"
		}
		return e
	}
	e := describe(path, s)
	if u.json {
		u.events().write(e)
		return nil
	}
	printJournal(u.stdout, e)
	return nil
}

func describe(path string, s *journal.State) inspectEvent {
	h := s.Header
	e := inspectEvent{
		Event: "inspect", Path: path, URL: h.URL, ETag: h.ETag, Total: h.Size, PieceSize: h.PieceSize,
		Pieces: h.Pieces(), Recorded: s.Count(), Ranges: []byteRange{},
		Records: s.Records, GoodBytes: s.GoodBytes, TornBytes: s.TornBytes, TornWhy: s.TornWhy,
	}
	e.Expected = s.Expected
	if s.HasRoot {
		e.Root = hex.EncodeToString(s.Root[:])
	}
	for first, n := range s.Runs() {
		start := int64(first) * h.PieceSize
		end := h.Size
		if first+n < e.Pieces {
			end = start + int64(n)*h.PieceSize
		}
		e.Ranges = append(e.Ranges, byteRange{start, end - 1})
		e.Bytes += end - start
	}
	return e
}

func printJournal(w io.Writer, e inspectEvent) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-11s %s\n", name, printable.Text(fmt.Sprintf(format, args...)))
	}
	row("url", "%s", e.URL)
	row("size", "%d bytes in %d pieces of %s", e.Total, e.Pieces, formatBytes(e.PieceSize))
	row("etag", "%s", orNone(e.ETag))
	row("root", "%s", orNone(e.Root))
	row("expected", "%s", orNone(e.Expected))
	row("recorded", "%d of %d pieces, %s", e.Recorded, e.Pieces, formatBytes(e.Bytes))
	for _, r := range e.Ranges {
		row("  bytes", "%d-%d", r.First, r.Last)
	}
	row("journal", "%d records in %d bytes", e.Records, e.GoodBytes)
	if e.TornBytes > 0 {
		row("damaged", "%d bytes at the end: %s", e.TornBytes, strings.TrimSpace(e.TornWhy))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
