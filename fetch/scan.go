package fetch

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
	"golang.org/x/sync/errgroup"
)

// scan compares a local file with the tree and returns which of its bytes are
// good, in whole leaves of bad pieces if the server tells their hashes, else in
// whole pieces. The file may have any size.
func (t *remoteTree) scan(ctx context.Context, o *Options, f io.ReaderAt) (*segment.Set, error) {
	good := new(segment.Set)
	var bad []int
	err := eachPiece(ctx, f, t.layout, newPass(time.Now(), o, o.Output, "tree", t.layout.Size), func(i int, data []byte) merkle.Hash {
		if _, n := t.layout.Piece(i); int64(len(data)) < n {
			return merkle.Hash{}
		}
		return t.layout.HashPiece(i, data)
	}, func(i int, h merkle.Hash) {
		if h == t.hashes[i] {
			good.Add(t.pieceRange(i))
		} else {
			bad = append(bad, i)
		}
	})
	if err != nil || t.remote.leaves == nil {
		return good, err
	}
	slices.Sort(bad)
	return good, t.scanLeaves(ctx, o, f, bad, good)
}

func (t *remoteTree) pieceRange(i int) segment.Range {
	off, n := t.layout.Piece(i)
	return segment.Range{Start: off, End: off + n}
}

// scanLeaves adds the good leaves of the bad pieces, in ascending order, to good.
// Without their hashes these pieces stay bad as a whole.
func (t *remoteTree) scanLeaves(ctx context.Context, o *Options, f io.ReaderAt, bad []int, good *segment.Set) error {
	buf := make([]byte, min(t.layout.PieceSize, max(t.layout.Size, 1)))
	var local []merkle.Hash
	for len(bad) > 0 {
		n := 1
		for n < len(bad) && n < t.leafSpan() && bad[n] == bad[n-1]+1 {
			n++
		}
		run := bad[:n]
		bad = bad[n:]
		if data, err := readPiece(f, t.layout, run[0], buf); err != nil {
			return err
		} else if len(data) == 0 {
			break // the file ends before this piece
		}
		leaves, err := t.fetchLeaves(ctx, o, run[0], run[n-1])
		if errors.Is(err, errLeaves) || isStatus(err) {
			if o.Observe != nil {
				o.Observe(Event{Kind: EventNote, Total: -1, ETA: -1, Code: CodeOf(err), Reason: err.Error() + "; bad pieces are fetched whole"})
			}
			return nil
		}
		if err != nil {
			return err
		}
		for k, i := range run {
			data, err := readPiece(f, t.layout, i, buf)
			if err != nil {
				return err
			}
			local = merkle.AppendLeaves(local[:0], data)
			off, length := t.layout.Piece(i)
			for j, h := range local {
				start := off + int64(j)*merkle.LeafSize
				if h == leaves[k][j] {
					good.Add(segment.Range{Start: start, End: min(start+merkle.LeafSize, off+length)})
				}
			}
		}
	}
	return nil
}

// isStatus reports whether the server answered, and not with what was wanted.
func isStatus(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == KindHTTPStatus
}

// readPiece reads what f has of piece i into buf.
func readPiece(f io.ReaderAt, l merkle.Layout, i int, buf []byte) ([]byte, error) {
	off, n := l.Piece(i)
	got, err := f.ReadAt(buf[:n], off)
	if err != nil && err != io.EOF {
		return nil, diskError("read the file", err)
	}
	return buf[:got], nil
}

// eachPiece reads f in pieces, on several processors, and hands each, as far as
// the file has it, to hash. What that returns is handed to take, in any order but
// never to two calls at a time. watch is told of each piece.
func eachPiece[H any](ctx context.Context, f io.ReaderAt, l merkle.Layout, watch *pass, hash func(i int, data []byte) H, take func(i int, h H)) error {
	var (
		mu   sync.Mutex
		next int // piece that nobody reads yet; guarded by mu
	)
	g, gctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), 4, l.Pieces()) {
		g.Go(func() error {
			buf := make([]byte, min(l.PieceSize, l.Size))
			for {
				if gctx.Err() != nil {
					return &Error{Kind: KindInterrupted, Op: "check the file", Err: context.Cause(gctx)}
				}
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= l.Pieces() {
					return nil
				}
				data, err := readPiece(f, l, i, buf)
				if err != nil {
					return err
				}
				h := hash(i, data)
				_, n := l.Piece(i)
				now := time.Now()
				mu.Lock()
				take(i, h)
				watch.read(now, n)
				mu.Unlock()
			}
		})
	}
	err := g.Wait()
	if err == nil {
		watch.end(time.Now())
	}
	return err
}
