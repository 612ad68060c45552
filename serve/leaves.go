package serve

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/chunkget/chunkget/merkle"
)

// maxLeafSpan is how many bytes of the file one request for leaf hashes may be
// about, unless it is about one piece: they are read and hashed for it.
const maxLeafSpan = 64 << 20

var errMalformedPieces = errors.New("pieces= takes A-B, the first and the last piece, which are in the file and span at most 64 MiB or are one")

// serveLeaves sends the leaf hashes of the pieces A to B of f. They are computed
// for the request: who wants them is looking for damage, which is rare, and all
// of a file would be 1/512 of it to keep. The answer is complete before its first
// byte is sent, so that it is of one version.
func (h *Handler) serveLeaves(w *response, r *http.Request, f *file, pieces string) {
	k := key{kindTree, f.name, f.version}
	l := k.layout()
	first, last, err := parsePieces(pieces, l)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	header := w.Header()
	header.Set("ETag", f.version.etag())
	if !checkMatch(w, r, f.version.etag()) {
		return
	}
	n := 0
	for i := first; i <= last; i++ {
		n += l.Leaves(i)
	}
	header.Set("Content-Type", merkle.LeavesMediaType)
	header.Set("Content-Length", strconv.Itoa(n*merkle.HashSize))
	if r.Method == http.MethodHead {
		return
	}
	body, err := h.hashLeaves(r, f, l, first, last)
	if r.Context().Err() != nil {
		w.err = r.Context().Err() // Nobody is there to be answered.
		return
	}
	if err != nil {
		header.Del("ETag")
		header.Del("Content-Length")
		h.fail(w, r, err)
		return
	}
	w.Write(body)
}

// hashLeaves reads the pieces first to last. Only as many requests do that at a
// time as there may be hash jobs.
func (h *Handler) hashLeaves(r *http.Request, f *file, l merkle.Layout, first, last int) ([]byte, error) {
	if err := h.steady(r, f); err != nil {
		return nil, err
	}
	select {
	case h.leafJobs <- struct{}{}:
		defer func() { <-h.leafJobs }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	var (
		body   []byte
		hashes []merkle.Hash
		buf    = make([]byte, min(l.PieceSize, l.Size, passBuffer))
	)
	off, _ := l.Piece(first)
	end, n := l.Piece(last)
	for end += n; off < end; off += int64(len(buf)) {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		buf = buf[:min(int64(len(buf)), end-off)]
		if _, err := f.ReadAt(buf, off); err == io.EOF {
			return nil, errChanged
		} else if err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		hashes = merkle.AppendLeaves(hashes[:0], buf)
		for i := range hashes {
			body = append(body, hashes[i][:]...)
		}
	}
	return body, checkVersion(f, f.version)
}

// parsePieces reads A-B: piece numbers from 0, as parsePart takes bytes.
func parsePieces(s string, l merkle.Layout) (first, last int, err error) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, errMalformedPieces
	}
	x, err1 := parseOffset(a)
	y, err2 := parseOffset(b)
	if err1 != nil || err2 != nil || x > y || y >= int64(l.Pieces()) || x != y && y-x+1 > maxLeafSpan/l.PieceSize {
		return 0, 0, errMalformedPieces
	}
	return int(x), int(y), nil
}
