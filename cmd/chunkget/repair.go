package main

import (
	"errors"

	"github.com/chunkget/chunkget/fetch"
	"github.com/spf13/cobra"
)

func repairCommand(u *ui, line []string) *cobra.Command {
	o := &options{jobs: 1}
	cmd := &cobra.Command{
		Use:   "repair [flags] URL FILE",
		Short: "make a file equal to the one at URL and fetch only what differs",
		Long: `repair compares FILE, whatever its size and wherever it comes from, with the hash tree
of the file at URL and fetches only the bytes that differ: blocks of 16 KiB from a
chunkserve, else pieces of the tree.

  chunkget repair udt://host:9000/big.iso big.iso

FILE is never written to. A copy of it, FILE.part, is put right, checked against the
tree as a whole, and takes the place of FILE in one step; an interruption leaves FILE
as it was, and the same command goes on. That needs room for the copy, except where
the file system can share blocks (Btrfs, XFS). FILE keeps its permissions.`,
		Args: takesTwo("URL and FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := o.begin(u, args[0])
			if err == nil {
				err = o.readDocument(cmd.Context(), u)
			}
			if err == nil {
				_, err = o.expect(nameOf(target), func(*fetch.PieceHashes) error {
					return errors.New("hashes of pieces, and a repair is checked by the server's hash tree")
				})
			}
			if err != nil {
				return refuse(u, err)
			}
			o.output = args[1]
			return transferOne(cmd.Context(), u, o, target, line, func(*network) fetcher { return fetch.Repair },
				func(b *board) observer { return &repairDisplay{newDisplay(b)} })
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.addRamp(f)
	o.addExpected(f)
	o.addCompress(f)
	o.addRequests(f)
	o.addLeastRate(f)
	return cmd
}

// repairDisplay shows a repair as text.
type repairDisplay struct{ *display }

func (d *repairDisplay) observe(e fetch.Event) {
	if e.Kind != fetch.EventDone {
		d.display.observe(e)
		return
	}
	d.update(e)
	d.stopBar()
	r := e.Result
	if r.Intact {
		d.ui.info("%s was right: %s, root %v", quote(r.Path), formatBytes(r.Bytes), r.Root)
		return
	}
	d.ui.info("repaired %s: %s of %s fetched in %s, verified, root %v", quote(r.Path), formatBytes(r.BytesFetched), formatBytes(r.Bytes),
		formatDuration(r.Elapsed), r.Root)
}
