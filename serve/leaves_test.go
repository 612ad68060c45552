package serve

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/merkle"
)

func TestLeaves(t *testing.T) {
	content := testBytes(66<<20 + 20000)
	f := serveFolder(t, Options{}, map[string]string{"a": content, "empty": ""})
	tag := f.do(t, "HEAD", "/a").Header().Get("ETag")
	l := merkle.Layout{Size: int64(len(content)), PieceSize: 1 << 20}
	for _, tt := range []struct {
		pieces string
		status int
	}{
		{"0-0", 200}, {"66-66", 200}, {"3-5", 200}, {"65-66", 200}, {"0-63", 200}, {"2-65", 200},
		{"0-64", 400}, {"66-67", 400}, {"5-4", 400}, {"", 400}, {"-1", 400}, {"0-", 400}, {"00-1", 400}, {"0-99999999999999999999", 400},
	} {
		w := f.get(t, "/a?digest=leaves&pieces="+tt.pieces)
		if w.Code != tt.status {
			t.Errorf("%q: status %d, want %d", tt.pieces, w.Code, tt.status)
		}
		if w.Code != 200 {
			continue
		}
		a, b, _ := strings.Cut(tt.pieces, "-")
		first, _ := strconv.Atoi(a)
		last, _ := strconv.Atoi(b)
		off, _ := l.Piece(first)
		end, n := l.Piece(last)
		var want []byte
		for _, h := range merkle.AppendLeaves(nil, []byte(content[off:end+n])) {
			want = append(want, h[:]...)
		}
		if w.Body.String() != string(want) || w.Header().Get("ETag") != tag || w.Header().Get("Content-Type") != merkle.LeavesMediaType {
			t.Errorf("%q: %d bytes, want %d; %v", tt.pieces, w.Body.Len(), len(want), w.Header())
		}
	}
	if w := f.do(t, "HEAD", "/a?digest=leaves&pieces=66-66"); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "64" {
		t.Errorf("HEAD: status %d, %v", w.Code, w.Header())
	}
	if w := f.get(t, "/empty?digest=leaves&pieces=0-0"); w.Code != 400 {
		t.Errorf("of an empty file: status %d", w.Code)
	}
	if w := f.get(t, "/a?digest=leaves&pieces=0-0", "If-Match", `"x"`); w.Code != http.StatusPreconditionFailed {
		t.Errorf("of another version: status %d", w.Code)
	}
	if link := f.get(t, "/a").Header().Get("Link"); !strings.Contains(link, `</a?digest=leaves>; rel="describedby"; type="`+merkle.LeavesMediaType+`"`) {
		t.Errorf("Link %s", link)
	}
}
