package fetch

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/merkle"
)

func FuzzUploadState(f *testing.F) {
	f.Add([]byte(`{"size":3000000,"piece_size":1048576,"received":[{"first":0,"last":1048575},{"first":2097152,"last":2999999}]}`))
	f.Add([]byte(`{"size":3000000,"piece_size":1048576,"received":[{"first":-1,"last":1}]}`))
	f.Add([]byte(`{"size":3000000,"piece_size":1048576,"received":[{"first":1,"last":1048575}]}`))
	f.Add([]byte(`{"size":3000000,"piece_size":1048576,"received":[{"first":0,"last":1048574}]}`))
	f.Add([]byte(`{"size":3000000,"piece_size":1048576,"received":[{"first":0,"last":3000000}]}`))
	f.Add([]byte(`[]`))
	l, err := merkle.NewLayout(3_000_000, mib)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		have, err := parseUploadState(b, l)
		if err != nil {
			return
		}
		for r := range have.All() {
			if r.Start < 0 || r.End > l.Size || r.Empty() || r.Start%l.PieceSize != 0 || r.End != l.Size && r.End%l.PieceSize != 0 {
				t.Errorf("%v of %s", r, b)
			}
		}
	})
}

func FuzzWrongPieces(f *testing.F) {
	f.Add([]byte(`{"error":"x","wrong_pieces":[0,2]}`))
	f.Add([]byte(`{"wrong_pieces":[3]}`))
	l, err := merkle.NewLayout(3_000_000, mib)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		wrong := wrongPieces(b, l)
		if wrong == nil {
			return
		}
		for _, i := range wrong.pieces {
			if i < 0 || i >= l.Pieces() {
				t.Errorf("piece %d of %s", i, b)
			}
		}
	})
}

func FuzzPutRecord(f *testing.F) {
	b, err := json.Marshal(putRecord{URL: "udt://h/x", Upload: "udt://h/x?upload=1", Size: 1, Root: strings.Repeat("0a", 32)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"url":"x"}`))
	f.Add([]byte(`{"url":"udt://h/x","upload":"udt://h/x?upload=1","size":1,"root":"0a"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parsePutRecord(b); err == nil && (r.Size < 0 || r.root.String() != strings.ToLower(r.Root)) {
			t.Errorf("%+v of %s", r, b)
		}
	})
}
