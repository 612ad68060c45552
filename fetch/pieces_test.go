package fetch

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/metalink"
)

// Pieces of a Metalink beyond the bounds are not used: how long they are, how many, and
// whether they are as many as the file has.
func TestPiecesAreBounded(t *testing.T) {
	const kib = 1 << 10
	for _, tt := range []struct {
		name   string
		size   int64 // of the file
		told   int64 // by the Metalink
		length int64
		n      int
		hash   int // its length
		want   bool
	}{
		{"the shortest", 200 * kib, 200 * kib, 64 * kib, 4, 32, true},
		{"too short", 200 * kib, 200 * kib, 64*kib - 1, 4, 32, false},
		{"the longest", 40 * mib, 40 * mib, 16 * mib, 3, 32, true},
		{"too long", 40 * mib, 40 * mib, 16*mib + 1, 3, 32, false},
		{"much too long", 40 * mib, 40 * mib, math.MaxInt64, 1, 32, false},
		{"as many as possible", journal.MaxPieces * 64 * kib, journal.MaxPieces * 64 * kib, 64 * kib, journal.MaxPieces, 32, true},
		{"too many", journal.MaxPieces*64*kib + 1, journal.MaxPieces*64*kib + 1, 64 * kib, journal.MaxPieces + 1, 32, false},
		{"size not told", 200 * kib, -1, 64 * kib, 4, 32, true},
		{"of another size", 200 * kib, 200*kib + 1, 64 * kib, 4, 32, false},
		{"one less than the file has", 200 * kib, -1, 64 * kib, 3, 32, false},
		{"one more", 200 * kib, -1, 64 * kib, 5, 32, false},
		{"none", 200 * kib, 200 * kib, 64 * kib, 0, 32, false},
		{"short hashes", 200 * kib, 200 * kib, 64 * kib, 4, 31, false},
	} {
		f := &metalink.File{Size: tt.told, Pieces: []metalink.Pieces{{
			Type: "sha-256", Length: tt.length, Sums: slices.Repeat([][]byte{make([]byte, tt.hash)}, tt.n),
		}}}
		p := MetalinkPieces(f)
		if got := p.usable(tt.size); got != tt.want {
			t.Errorf("%s: used: %v", tt.name, got)
		}
		// What is not used is an error, by itself or beside the size of the file.
		o := &Options{URL: &url.URL{Scheme: "http", Host: "h"}, Transport: http.DefaultTransport, Pieces: p}
		err := o.resolve()
		if err == nil {
			err = o.checkSize(tt.size)
		}
		if (err == nil) != (tt.want || tt.n == 0) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// What the user knows of a file counts as well where it comes in one stream: its server
// does not tell the size, or sends no parts of it to a writer.
func TestPiecesOfStreams(t *testing.T) {
	const length = 256 << 10
	data, other := randomData(3*length+5, 120), randomData(3*length+5, 121)
	of := func(change func(p *PieceHashes)) *PieceHashes {
		p := plainPieces(data, length)
		change(p)
		return p
	}
	for _, tt := range []struct {
		name   string
		pieces *PieceHashes
		fails  Code
		most   int // bytes that may have left for a writer then
	}{
		{"right", of(func(p *PieceHashes) {}), "", 0},
		{"right, without a size", of(func(p *PieceHashes) { p.Size = -1 }), "", 0},
		{"right size alone", &PieceHashes{Size: int64(len(data))}, "", 0},
		{"another file", plainPieces(other, length), CodePieceMismatch, 0},
		{"another end", of(func(p *PieceHashes) { p.Sums[3] = p.Sums[0] }), CodePieceMismatch, 3 * length},
		{"of a shorter file", plainPieces(data[:2*length], length), CodeSizeChanged, 2 * length},
		{"of a shorter file without a size", of(func(p *PieceHashes) { p.Size, p.Sums = -1, p.Sums[:3] }), CodeSizeChanged, 3 * length},
		{"of a longer file", of(func(p *PieceHashes) { p.Size, p.Sums = p.Size+length, append(p.Sums, p.Sums[0]) }), CodeSizeChanged, 3 * length},
		{"another size alone", &PieceHashes{Size: int64(len(data)) + 1}, CodeSizeChanged, len(data)},
	} {
		for _, sized := range []bool{false, true} {
			runPart(t, fmt.Sprintf("%s, size told: %v", tt.name, sized), func(t *testing.T, tr transport) {
				r := newRig(t, tr, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if sized {
						w.Header().Set("Content-Length", fmt.Sprint(len(data)))
					}
					w.Write(data[:1])
					w.(http.Flusher).Flush()
					w.Write(data[1:])
				}), "/x")
				r.opts.Pieces = tt.pieces
				if tt.fails == "" {
					if res := r.must("x", data); res.ByPieces != (len(tt.pieces.Sums) > 0) {
						t.Errorf("%+v", res)
					}
				} else if e := r.fails(KindIntegrity); e.Code != tt.fails {
					t.Errorf("%v", e)
				}
				var out bytes.Buffer
				r.opts.Writer = &out
				res, err := r.get(t.Context())
				if CodeOf(err) != tt.fails || err == nil && (!bytes.Equal(out.Bytes(), data) || res.ByPieces != (len(tt.pieces.Sums) > 0)) {
					t.Errorf("%+v, %v", res, err)
				}
				if err != nil && (kindOf(err) != KindIntegrity || out.Len() > tt.most || !bytes.HasPrefix(data, out.Bytes())) {
					t.Errorf("%d bytes have left: %v", out.Len(), err)
				}
			})
		}
	}
}

// Of several hashes of pieces those are taken that a download can be checked with.
func TestPiecesAreChosen(t *testing.T) {
	sums := [][]byte{make([]byte, 64)}
	of := func(algorithm string, length int64) metalink.Pieces {
		return metalink.Pieces{Type: algorithm, Length: length, Sums: sums}
	}
	small, fits := int64(leastPlainPiece/2), int64(leastPlainPiece)
	for _, tt := range []struct {
		have      []metalink.Pieces
		algorithm string
		length    int64
	}{
		{[]metalink.Pieces{of("sha-512", fits), of("sha-256", fits)}, "sha-256", fits},
		{[]metalink.Pieces{of("sha-256", small), of("sha-512", fits)}, "sha-512", fits},
		{[]metalink.Pieces{of("sha-256", small), of("sha-256", fits)}, "sha-256", fits},
		{[]metalink.Pieces{of("sha-512", small), of("sha-256", small)}, "sha-256", small},
		{[]metalink.Pieces{of("sha-1", fits), of("sha-512", small)}, "sha-512", small},
		{[]metalink.Pieces{of("sha-1", fits)}, "", 0},
	} {
		if p := MetalinkPieces(&metalink.File{Size: -1, Pieces: tt.have}); p.Algorithm != tt.algorithm || p.Length != tt.length {
			t.Errorf("of %v: %s, %d bytes", tt.have, p.Algorithm, p.Length)
		}
	}
}
