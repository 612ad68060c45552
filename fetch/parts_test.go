package fetch

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// textLike returns n bytes of lines that a coding makes much shorter.
func textLike(n int) []byte {
	var b bytes.Buffer
	rng := rand.New(rand.NewPCG(3, 4))
	for b.Len() < n {
		fmt.Fprintf(&b, "%d level=info msg=request path=/data/%d status=200\n", b.Len(), rng.IntN(100_000))
	}
	return b.Bytes()[:n]
}

// partServer is a file server that offers parts. answer, if not nil, answers for
// the part that is made of data, with the headers of an honest answer set.
type partServer struct {
	*file
	answer func(w http.ResponseWriter, r *http.Request, part []byte)

	mu    sync.Mutex
	parts int // requests
}

func (s *partServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, b, ok := strings.Cut(r.URL.Query().Get("bytes"), "-")
	if !ok {
		w.Header().Set("Link-Template", `"`+r.URL.EscapedPath()+`?bytes={first}-{last}"; rel="`+partRelation+`"`)
		s.file.ServeHTTP(w, r)
		return
	}
	s.mu.Lock()
	s.parts++
	s.mu.Unlock()
	first, err := strconv.Atoi(a)
	last, err2 := strconv.Atoi(b)
	if err != nil || err2 != nil || last >= len(s.data) {
		http.Error(w, "no such part", http.StatusBadRequest)
		return
	}
	w.Header().Set("Part-Of", s.etag)
	w.Header().Set("Part-Range", fmt.Sprintf("bytes %s/%d", r.URL.Query().Get("bytes"), len(s.data)))
	s.answer(w, r, s.data[first:last+1])
}

func (s *partServer) asked() (parts, ranges int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts, len(s.file.asked())
}

func zstdOf(p []byte, o ...zstd.EOption) []byte {
	var b bytes.Buffer
	e, err := zstd.NewWriter(&b, append(o, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		panic(err)
	}
	e.Write(p)
	e.Close()
	return b.Bytes()
}

func sendZstd(w http.ResponseWriter, _ *http.Request, part []byte) {
	w.Header().Set("Content-Encoding", "zstd")
	w.Write(zstdOf(part))
}

func sendGzip(w http.ResponseWriter, _ *http.Request, part []byte) {
	w.Header().Set("Content-Encoding", "gzip")
	e := gzip.NewWriter(w)
	e.Write(part)
	e.Close()
}

// bomb is a short body that decodes to 64 MiB.
var bomb = sync.OnceValue(func() []byte { return zstdOf(make([]byte, 64*mib)) })

const slowest = math.MaxFloat64 // a path is slower than this

func TestCompressedParts(t *testing.T) {
	data := textLike(9*mib + 12345)
	overAll(t, func(t *testing.T, tr transport) {
		for _, tt := range []struct {
			name   string
			n      int
			answer func(http.ResponseWriter, *http.Request, []byte)
		}{{"zstd", 4, sendZstd}, {"gzip", 4, sendGzip}, {"one connection", 1, sendZstd}} {
			inBubble(t, tt.name, func(t *testing.T) {
				s := &partServer{file: &file{data: data, etag: `"v1"`, tree: true}, answer: tt.answer}
				r := newRig(t, tr, s, "/f")
				r.opts.Connections, r.opts.slowPath = tt.n, slowest
				res := r.must("f", data)
				parts, ranges := s.asked()
				if parts == 0 || ranges != 1 || !res.Verified || res.PiecesBad > 0 || res.Retries > 0 {
					t.Errorf("%d requests for parts, %d for ranges; %+v", parts, ranges, res)
				}
				if res.BytesFetched != int64(len(data)) || res.BytesWire >= res.BytesFetched*3/4 {
					t.Errorf("%d bytes fetched, %d over the wire", res.BytesFetched, res.BytesWire)
				}
			})
		}
	})
}

func TestPartsAreNotAskedFor(t *testing.T) {
	data := textLike(6 * mib)
	for name, prepare := range map[string]func(s *partServer, r *rig){
		"fast path":     func(_ *partServer, r *rig) { r.opts.slowPath = 1 },
		"switched off":  func(_ *partServer, r *rig) { r.opts.DisableCompression = true },
		"no tree":       func(s *partServer, _ *rig) { s.tree = false },
		"no strong tag": func(s *partServer, _ *rig) { s.etag = `W/"v1"` },
	} {
		runPart(t, name, func(t *testing.T, tr transport) {
			s := &partServer{file: &file{data: data, etag: `"v1"`, tree: true}, answer: sendZstd}
			r := newRig(t, tr, s, "/f")
			r.opts.slowPath = slowest
			prepare(s, r)
			res := r.must("f", data)
			if parts, _ := s.asked(); parts > 0 || res.BytesWire != res.BytesFetched {
				t.Errorf("%d parts, %d bytes over the wire", parts, res.BytesWire)
			}
		})
	}
}

// Whatever is odd about a part, the file arrives by ranges.
func TestOddParts(t *testing.T) {
	needsVirtualTime(t)
	data := textLike(6 * mib)
	coded := func(coding string, body func(part []byte) []byte) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, _ *http.Request, part []byte) {
			w.Header().Set("Content-Encoding", coding)
			w.Write(body(part))
		}
	}
	header := func(name, value string) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, r *http.Request, part []byte) {
			w.Header()[name] = strings.Fields(value)
			if name == "Part-Range" {
				w.Header().Set(name, value)
			}
			sendZstd(w, r, part)
		}
	}
	status := func(code int) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, r *http.Request, part []byte) {
			w.Header().Set("Retry-After", "100")
			w.WriteHeader(code)
			w.Write(zstdOf(part))
		}
	}
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request, []byte)
		note   string
		bad    bool // there may be bad pieces
	}{
		{"decompression bomb", coded("zstd", func([]byte) []byte { return bomb() }), "", true},
		{"decompression bomb after the part", coded("zstd", func(p []byte) []byte {
			return append(zstdOf(p), bomb()...)
		}), "longer than", false},
		{"gzip bomb after the part", func(w http.ResponseWriter, r *http.Request, p []byte) {
			sendGzip(w, r, append(slices.Clone(p), make([]byte, 64<<20)...))
		}, "longer than", false},
		{"endless frames without content", func(w http.ResponseWriter, _ *http.Request, p []byte) {
			w.Header().Set("Content-Encoding", "zstd")
			empty := bytes.Repeat([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00skip"), 10_000)
			for {
				if _, err := w.Write(empty); err != nil {
					return
				}
			}
		}, "longer than the part", false},
		{"window beyond 8 MiB", coded("zstd", func(p []byte) []byte {
			// A frame with a window descriptor of 2^41 bytes and one raw block.
			return append([]byte("\x28\xb5\x2f\xfd\x00\xf8\x29\x00\x00"), "12345"...)
		}), "decode part", false},
		{"shorter", coded("zstd", func(p []byte) []byte { return zstdOf(p[:len(p)-1]) }), "shorter than", false},
		{"cut", coded("zstd", func(p []byte) []byte { z := zstdOf(p); return z[:len(z)/2] }), "decode part", false},
		{"wrong checksum", coded("zstd", func(p []byte) []byte { z := zstdOf(p); z[len(z)-1]++; return z }), "decode part", false},
		{"garbage", coded("zstd", func(p []byte) []byte { return p }), "decode part", false},
		{"unknown coding", coded("br", zip), "codings", false},
		{"two codings", coded("zstd, gzip", zip), "codings", false},
		{"another part", coded("zstd", func(p []byte) []byte { return zstdOf(slices.Repeat([]byte{'x'}, len(p))) }), "does not match its hash", true},
		{"identity of another length", coded("identity", func(p []byte) []byte { return p[:len(p)-1] }), "shorter than", false},
		{"another version", header("Part-Of", `"v2"`), "version", false},
		{"no version", header("Part-Of", ""), "0 Part-Of", false},
		{"two versions", header("Part-Of", `"v1" "v2"`), "2 Part-Of", false},
		{"another range", header("Part-Range", "bytes 0-1/100"), "Part-Range", false},
		{"malformed range", header("Part-Range", "all of it"), "Part-Range", false},
		{"206", status(206), "status 206", false},
		{"404", status(404), "404", false},
		{"503", status(503), "503", false},
	} {
		runPart(t, tt.name, func(t *testing.T, tr transport) {
			s := &partServer{file: &file{data: data, etag: `"v1"`, tree: true}, answer: tt.answer}
			r := newRig(t, tr, s, "/f")
			r.opts.Connections, r.opts.slowPath = 3, slowest
			var mu sync.Mutex
			var noted, asked time.Time // when parts were given up, and when the last one was asked for
			observe, below := r.opts.Observe, r.opts.Transport
			r.opts.Observe = func(e Event) {
				if strings.Contains(e.Reason, "no more compressed parts") {
					mu.Lock()
					noted = time.Now()
					mu.Unlock()
				}
				observe(e)
			}
			r.opts.Transport = roundTripFunc(func(req *http.Request) (*http.Response, error) {
				if req.URL.Query().Has("bytes") {
					mu.Lock()
					asked = time.Now()
					mu.Unlock()
				}
				return below.RoundTrip(req)
			})
			res := r.must("f", data)
			if asked.IsZero() || asked.After(noted) {
				t.Errorf("a part was asked for at %v, given up at %v", asked, noted)
			}
			if !r.hasNote("no more compressed parts are asked for") || !r.hasNote(tt.note) {
				t.Errorf("notes: %+v", r.events)
			}
			if !tt.bad && (res.PiecesBad > 0 || res.Retries > 0) {
				t.Errorf("%d bad pieces, %d retries", res.PiecesBad, res.Retries)
			}
			// A wrong piece is seen when it is hashed, which takes no time of the path's;
			// until then parts may be taken over and asked for again.
			if parts, _ := s.asked(); !tt.bad && parts > 2*r.opts.Connections {
				t.Errorf("%d parts were asked for", parts)
			}
		})
	}
}

func zip(p []byte) []byte { return zstdOf(p) }

// What does not shrink, or is not compressed, is soon asked for by ranges.
func TestPartsThatDoNotPay(t *testing.T) {
	data := randomData(11*mib, 7)
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, []byte){
		"do not shrink":      sendZstd,
		"are not compressed": func(w http.ResponseWriter, _ *http.Request, p []byte) { w.Write(p) },
	} {
		runPart(t, name, func(t *testing.T, tr transport) {
			s := &partServer{file: &file{data: data, etag: `"v1"`, tree: true}, answer: answer}
			r := newRig(t, tr, s, "/f")
			r.opts.Connections, r.opts.slowPath = 2, slowest
			r.must("f", data)
			if r.hasNote("do not shrink") != (name == "do not shrink") {
				t.Errorf("notes: %+v", r.events)
			}
			if parts, _ := s.asked(); parts == 0 {
				t.Error("no part was asked for")
			}
		})
	}
}

// A connection that breaks within a part is a retry, and the next part follows.
func TestPartsOverBrokenConnections(t *testing.T) {
	needsVirtualTime(t)
	runLight(t, func(t *testing.T, tr transport) {
		data := textLike(6 * mib)
		s := &partServer{file: &file{data: data, etag: `"v1"`, tree: true}}
		broken := false
		s.answer = func(w http.ResponseWriter, r *http.Request, p []byte) {
			s.mu.Lock()
			first := !broken
			broken = true
			s.mu.Unlock()
			if !first {
				sendZstd(w, r, p)
				return
			}
			z := zstdOf(p)
			w.Header().Set("Content-Encoding", "zstd")
			w.Header().Set("Content-Length", strconv.Itoa(len(z)))
			io.Copy(w, bytes.NewReader(z[:len(z)/2]))
			w.(http.Flusher).Flush()
			hijack(w)
		}
		r := newRig(t, tr, s, "/f")
		r.opts.Connections, r.opts.slowPath = 2, slowest
		res := r.must("f", data)
		if res.Retries != 1 || r.hasNote("no more compressed parts") {
			t.Errorf("%+v, %+v", res, r.events)
		}
		if _, ranges := s.asked(); ranges != 1 {
			t.Errorf("%d ranges", ranges)
		}
	})
}

// A file that changes while parts of it are fetched ends the download, whichever
// request meets the new version first.
func TestPartsOfAChangedFile(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		data := textLike(6 * mib)
		s := &partServer{file: &file{data: data, etag: `"v1"`, tree: true}}
		s.answer = func(w http.ResponseWriter, r *http.Request, p []byte) {
			s.file.mu.Lock()
			s.file.script = func(_ *file, _ int, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Etag", `"v2"`)
				return false
			}
			s.file.mu.Unlock()
			w.Header().Set("Part-Of", `"v2"`)
			sendZstd(w, r, p)
		}
		r := newRig(t, tr, s, "/f")
		r.opts.Connections, r.opts.slowPath = 2, slowest
		r.fails(KindRemoteChanged)
	})
}
