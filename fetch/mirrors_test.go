package fetch

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// mirrored prepares a download from several servers: the first over tr, the others
// over TCP and UDT in turns.
func mirrored(t *testing.T, tr transport, first http.Handler, others ...http.Handler) *rig {
	t.Helper()
	return mirroredOver(t, tr, transports[:2], first, others...)
}

// alike prepares the same with all of them over tr: what is not encrypted may not say
// what the file is beside what is.
func alike(t *testing.T, tr transport, first http.Handler, others ...http.Handler) *rig {
	t.Helper()
	return mirroredOver(t, tr, []transport{tr}, first, others...)
}

// mirroredOver prepares the same with the others over those transports in turns.
func mirroredOver(t *testing.T, tr transport, over []transport, first http.Handler, others ...http.Handler) *rig {
	t.Helper()
	r := newRig(t, tr, first, "/x")
	byHost := map[string]http.RoundTripper{r.opts.URL.Host: r.opts.Transport}
	for i, h := range others {
		base, rt := over[i%len(over)].serve(t, h)
		u, err := url.Parse(base + "/x")
		if err != nil {
			t.Fatal(err)
		}
		byHost[u.Host] = rt
		r.opts.Mirrors = append(r.opts.Mirrors, Mirror{URL: u})
	}
	r.opts.Transport = roundTripFunc(func(req *http.Request) (*http.Response, error) {
		rt := byHost[req.URL.Host]
		if rt == nil {
			return nil, fmt.Errorf("no server at %s", req.URL)
		}
		return rt.RoundTrip(req)
	})
	return r
}

// wantDropped fails the test unless exactly the mirrors of these codes were dropped,
// "" for one that was not.
func (r *rig) wantDropped(res *Result, codes ...Code) {
	r.t.Helper()
	if len(res.Mirrors) != len(codes) {
		r.t.Fatalf("%d mirrors, want %d: %+v", len(res.Mirrors), len(codes), res.Mirrors)
	}
	events := map[string]Code{}
	for _, e := range r.events {
		if e.Kind == EventMirrorDropped {
			events[e.Mirror] = e.Code
		}
	}
	for i, m := range res.Mirrors {
		if got := CodeOf(m.Dropped); got != codes[i] || (m.Dropped != nil) != (codes[i] != "") || events[m.URL] != codes[i] {
			r.t.Errorf("mirror %d, %s: dropped for %v (%q, event %q), want %q", i, m.URL, m.Dropped, got, events[m.URL], codes[i])
		}
	}
}

// copyOf returns a server of the same bytes with a tag of its own and no tree.
func (f *file) copyOf(tag string) *file { return &file{data: f.data, etag: tag} }

// TestMirrors: servers of every kind bring one file together.
func TestMirrors(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		a := &file{data: randomData(40*mib+5, 80), etag: `"a"`, tree: true}
		b, c := a.copyOf(`"b"`), a.copyOf("")
		r := mirrored(t, tr, a, b, c)
		r.opts.Connections = 6
		res := r.must("x", a.data)
		r.wantDropped(res, "", "", "")
		var sum int64
		for i, m := range res.Mirrors {
			if sum += m.Bytes; m.Bytes == 0 {
				t.Errorf("nothing came from mirror %d: %+v", i, res.Mirrors)
			}
		}
		if !res.Verified || res.Retries != 0 || sum != res.BytesFetched {
			t.Errorf("%+v", res)
		}
		// If-Range is of the server that is asked.
		for tag, f := range map[string]*file{`"a"`: a, `"b"`: b} {
			for i, req := range f.asked() {
				if got := req.Header.Get("If-Range"); got != tag && got != "" {
					t.Errorf("request %d of %s has If-Range %s", i, tag, got)
				}
			}
		}
	})
}

// TestTreeOfMirror: the hash tree may be that of any of them.
func TestTreeOfMirror(t *testing.T) {
	needsVirtualTime(t)
	runLight(t, func(t *testing.T, tr transport) {
		b := &file{data: randomData(12*mib, 81), etag: `"b"`, tree: true}
		a := b.copyOf(`"a"`)
		r := alike(t, tr, a, b)
		res := r.must("x", b.data)
		r.wantDropped(res, "", "")
		if root, _ := rootOf(b.data); !res.Verified || res.Root != root || res.Mirrors[0].Bytes < firstBytes {
			t.Errorf("%+v", res)
		}
	})
}

// TestLyingMirror: one that sends a wrong piece is dropped, and what it has sent of
// others that nothing proves is fetched again.
func TestLyingMirror(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		for _, pieces := range []bool{false, true} {
			a := &file{data: randomData(40*mib, 82), etag: `"a"`, tree: !pieces}
			liar := &file{data: randomData(40*mib, 83), etag: `"l"`}
			r := mirrored(t, tr, a, liar, a.copyOf(`"c"`))
			r.opts.Connections = 6
			if pieces {
				r.opts.Pieces = plainPieces(a.data, 256<<10)
			}
			res := r.must("x", a.data)
			r.wantDropped(res, "", CodePieceMismatch, "")
			if res.Verified == pieces || res.ByPieces != pieces || res.PiecesBad == 0 || res.Retries != 0 {
				t.Errorf("pieces %v: %+v", pieces, res)
			}
			for _, e := range r.events {
				if e.Kind == EventPieceBad && e.Mirror != "" && e.Mirror != res.Mirrors[1].URL {
					t.Errorf("pieces %v: a bad piece of %s", pieces, e.Mirror)
				}
			}
		}
	})
}

// TestLiarIsBounded: while no hash has come, a liar brings no more than it takes to find
// it out, however fast it is. When they have, those that are right are used in full.
func TestLiarIsBounded(t *testing.T) {
	needsVirtualTime(t)
	runLight(t, func(t *testing.T, tr transport) {
		const size, late = 32 * mib, 2 * time.Second
		lag := make(chan struct{})
		a := &file{data: randomData(size, 120), etag: `"a"`, tree: true, lag: lag}
		liar := &file{data: randomData(size, 121), etag: `"l"`}
		honest := func(tag string) *file { return a.copyOf(tag).dripping(mib/16, 100*time.Millisecond) }
		a.dripping(mib/16, 100*time.Millisecond)
		r := mirrored(t, tr, a, honest(`"b"`), liar, honest(`"c"`), honest(`"d"`))
		r.opts.Connections = 10
		time.AfterFunc(late, func() { close(lag) })
		res := r.must("x", a.data)
		r.wantDropped(res, "", "", CodePieceMismatch, "", "")
		t.Logf("%v: fetched %d bytes of %d, %d of them from the liar", res.Elapsed, res.BytesFetched, size, res.Mirrors[2].Bytes)
		if most := int64(unprovedPieces * mib); res.Mirrors[2].Bytes > most || res.BytesFetched > size+most {
			t.Errorf("fetched %d bytes of %d, %d of them from the liar", res.BytesFetched, size, res.Mirrors[2].Bytes)
		}
		for i, m := range res.Mirrors {
			if i != 2 && m.Bytes < size/16 {
				t.Errorf("mirror %d brought %d bytes only", i, m.Bytes)
			}
		}
	})
}

// plainPieces are the hashes of a Metalink.
func plainPieces(data []byte, length int) *PieceHashes {
	p := &PieceHashes{Size: int64(len(data)), Length: int64(length), Algorithm: "sha-256"}
	for off := 0; off < len(data); off += length {
		sum := sha256.Sum256(data[off:min(off+length, len(data))])
		p.Sums = append(p.Sums, sum[:])
	}
	return p
}

// TestMirrorFails: the others bring what one no longer does, whatever that is.
func TestMirrorFails(t *testing.T) {
	const size = 32 * mib
	data := randomData(size, 84)
	for _, tt := range []struct {
		name  string
		code  Code
		serve func(f *file, n int, w http.ResponseWriter, r *http.Request) bool
	}{
		{"404", CodeStatus, func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(404)
			return true
		}},
		{"404 later", CodeStatus, func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				w.WriteHeader(404)
			}
			return n > 1
		}},
		{"busy for ever", CodeBusy, func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(503)
			return true
		}},
		{"breaks", CodeConnection, func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
			hijack(w)
			return true
		}},
		{"another size", CodeSizeChanged, func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.data[:size-1]))
			return true
		}},
		{"no ranges", CodeNoRanges, func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			w.Write(f.data[:mib])
			return true
		}},
		{"changes its file", CodeETagChanged, func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				w.Header().Set("Etag", `"c"`)
			}
			return false
		}},
	} {
		for _, first := range []bool{false, true} {
			runPart(t, fmt.Sprintf("%s, first=%v", tt.name, first), func(t *testing.T, tr transport) {
				good := &file{data: data, etag: `"a"`, tree: true}
				bad := &file{data: data, etag: `"b"`, script: tt.serve}
				servers, want := []http.Handler{good, bad}, []Code{"", tt.code}
				if first {
					servers[0], servers[1], want[0], want[1] = bad, good, tt.code, ""
				}
				r := alike(t, tr, servers[0], servers[1])
				r.opts.Connections = 8 // so that each is asked more than once
				r.opts.Retry.Tries = 2
				r.wantDropped(r.must("x", data), want...)
			})
		}
	}
}

// TestMirrorDies in the middle, at a time of its own: what it has sent stays.
func TestMirrorDies(t *testing.T) {
	run(t, func(t *testing.T, tr transport) {
		a := &file{data: randomData(40*mib, 85), etag: `"a"`, tree: true}
		r := mirrored(t, tr, a, newMortal(a.copyOf(`"b"`), 3*mib))
		res := r.must("x", a.data)
		// It may be that the other was so fast that there was no more to ask for.
		if m := res.Mirrors[1]; m.Dropped != nil {
			r.wantDropped(res, "", CodeConnection)
		}
		if lost := res.BytesFetched - int64(len(a.data)); lost < 0 || lost > 16*mib || !res.Verified {
			t.Errorf("%+v", res)
		}
	})
}

// TestNoMirrorLeft: the error says what became of each.
func TestNoMirrorLeft(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		data := randomData(24*mib, 86)
		a := &file{data: data, etag: `"a"`, tree: true, script: func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				w.WriteHeader(410)
			}
			return n > 1
		}}
		b := &file{data: data, etag: `"b"`, script: func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(403)
			return true
		}}
		r := alike(t, tr, a, b)
		_, err := r.get(t.Context())
		for _, want := range []string{"none of them is left", r.opts.URL.String() + ": ", "410", r.opts.Mirrors[0].URL.String() + ": ", "403"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not tell %q", err, want)
			}
		}
		if !resumable(err) {
			t.Errorf("%+v is not resumable", err)
		}
		// Likewise when there is not even a first answer.
		e := alike(t, tr, &file{script: b.script}, b).fails(KindAuth)
		if e.StatusCode != 403 || strings.Count(e.Error(), "403") < 2 {
			t.Errorf("%v", e)
		}
	})
}

// TestMirrorsUnproved: without any hash the bytes of one server only are used, and
// those of several with the digest of the whole file, which then decides.
func TestMirrorsUnproved(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		a := &file{data: randomData(24*mib, 87), etag: `"a"`}
		liar := &file{data: randomData(24*mib, 88), etag: `"l"`}
		r := alike(t, tr, a, liar)
		if res := r.must("x", a.data); res.Mirrors != nil || !r.hasNote("nothing tells whether") {
			t.Errorf("%+v", res)
		}
		sum := sha256.Sum256(a.data)
		digest, err := NewDigest("sha-256", sum[:])
		if err != nil {
			t.Fatal(err)
		}
		r = alike(t, tr, a, liar)
		r.opts.Digest = digest
		if e := r.fails(KindIntegrity); e.Code != CodeDigestMismatch || !strings.Contains(e.Hint, "which mirror") {
			t.Errorf("%+v", e)
		}
		r = alike(t, tr, a, a.copyOf(`"b"`), &file{data: a.data})
		r.opts.Digest = digest
		res := r.must("x", a.data)
		// The last one has nothing by which its own versions could be told apart.
		r.wantDropped(res, "", "", CodeNoValidator)
		if !res.Digest.Equal(digest) || res.Mirrors[1].Bytes == 0 {
			t.Errorf("%+v", res)
		}
	})
}

// TestNamedMirrors: addresses that the server names are used where hashes check what
// comes from there, and are told nothing.
func TestNamedMirrors(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		data := randomData(24*mib, 89)
		b := &file{data: data, etag: `"b"`}
		for _, tt := range []struct {
			tree, only, want bool
		}{{true, false, true}, {true, true, false}, {false, false, false}} {
			var named string // set before it is read
			a := &file{data: data, etag: `"a"`, tree: tt.tree}
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Secret") != "s" {
					t.Error("the header did not reach the first server")
				}
				a.ServeHTTP(&addedLink{ResponseWriter: w, link: "<" + named + ">; rel=duplicate; pri=1"}, r)
			})
			r := alike(t, tr, h, b)
			named, r.opts.Mirrors = r.opts.Mirrors[0].URL.String(), nil
			r.opts.GivenOnly = tt.only
			r.opts.Header = http.Header{"X-Secret": {"s"}, "Authorization": {"Bearer b"}}
			b.honest()
			res := r.must("x", data)
			if got := len(b.asked()) > 0; got != tt.want || (len(res.Mirrors) == 2) != tt.want {
				t.Errorf("%+v: mirror was asked: %v, %+v", tt, got, res.Mirrors)
			}
			for _, req := range b.asked() {
				for _, k := range []string{"X-Secret", "Authorization", "Referer"} {
					if v := req.Header.Get(k); v != "" {
						t.Errorf("%s %q reached the mirror", k, v)
					}
				}
			}
		}
	})
}

// addedLink adds a Link to what is sent.
type addedLink struct {
	http.ResponseWriter
	link string
	once sync.Once
}

func (w *addedLink) WriteHeader(code int) {
	w.once.Do(func() { w.Header().Add("Link", w.link) })
	w.ResponseWriter.WriteHeader(code)
}

// TestMirrorsToWriter: in order, each piece checked, from several.
func TestMirrorsToWriter(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		a := &file{data: randomData(30*mib, 90), etag: `"a"`, tree: true}
		liar := &file{data: randomData(30*mib, 91), etag: `"l"`}
		r := mirrored(t, tr, a, liar, a.copyOf(`"c"`))
		var out bytes.Buffer
		r.opts.Writer = &out
		res, err := r.get(t.Context())
		if err != nil || !bytes.Equal(out.Bytes(), a.data) {
			t.Fatalf("%v, %d bytes", err, out.Len())
		}
		r.wantDropped(res, "", CodePieceMismatch, "")
	})
}

// TestResumeFromMirror: what is on disk counts whoever it came from, if the tree
// proves it, or if it was meant to have the same digest.
func TestResumeFromMirror(t *testing.T) {
	data := randomData(24*mib, 92)
	sum := sha256.Sum256(data)
	digest, err := NewDigest("sha-256", sum[:])
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name         string
		tree         bool
		first, later Digest
		want         Kind // -1 for success
	}{
		{"by the tree", true, Digest{}, Digest{}, -1},
		{"by the digest", false, digest, digest, -1},
		{"digest not known then", false, Digest{}, digest, KindRemoteChanged},
		{"digest not known now", false, digest, Digest{}, KindRemoteChanged},
	} {
		runPart(t, tt.name, func(t *testing.T, tr transport) {
			a := &file{data: data, etag: `"a"`, tree: tt.tree, script: func(f *file, n int, w http.ResponseWriter, r *http.Request) bool {
				if n > 3 {
					w.WriteHeader(404)
				}
				return n > 3
			}}
			b := &file{data: data, etag: `"b"`, tree: tt.tree}
			r := alike(t, tr, a, b)
			both := r.opts
			r.opts.Mirrors, r.opts.Digest, r.opts.Connections = nil, tt.first, 3
			r.fails(KindHTTPStatus)
			was := r.last.BytesFetched
			if was < 4*mib {
				t.Fatalf("only %d bytes were fetched", was)
			}
			// The server that there was has gone, and others take its place.
			r.opts = both
			r.opts.Digest, r.opts.Output = tt.later, "x"
			if tt.want >= 0 {
				r.fails(tt.want)
				return
			}
			res := r.must("x", data)
			if res.BytesResumed < was-4*mib || res.BytesResumed+res.BytesFetched != int64(len(data)) {
				t.Errorf("resumed %d of %d, fetched %d", res.BytesResumed, was, res.BytesFetched)
			}
			r.wantDropped(res, CodeStatus, "")
		})
	}
}

// TestFasterMirrorBringsMore: in virtual time, over three paths at once.
func TestFasterMirrorBringsMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{data: randomData(128*mib, 93), etag: `"a"`}
		paths := map[string]*modelPath{
			"a": {f: f, rtt: 50 * time.Millisecond, rate: 2e6},
			"b": {f: f, rtt: 100 * time.Millisecond, rate: 20e6},
			"c": {f: f, rtt: 20 * time.Millisecond, rate: 8e6},
		}
		r := pathRig(t, "http://a", paths)
		r.opts.Connections, r.opts.Pieces = 6, plainPieces(f.data, mib)
		res := r.must("x", f.data)
		for _, m := range res.Mirrors {
			t.Logf("%s: %d bytes", m.URL, m.Bytes)
		}
		alone := time.Duration(float64(len(f.data)) / 20e6 * float64(time.Second))
		if m := res.Mirrors; res.Elapsed > alone {
			t.Errorf("took %v, and the fastest alone at its rate %v", res.Elapsed, alone)
		} else if bytes := map[string]int64{m[0].URL: m[0].Bytes, m[1].URL: m[1].Bytes, m[2].URL: m[2].Bytes}; bytes["http://a/x"] > bytes["http://c/x"] || bytes["http://c/x"] > bytes["http://b/x"] {
			t.Errorf("%v", bytes)
		}
	})
}

// TestRelief: the last piece is not waited for from a slow address, and both are told.
func TestRelief(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{data: randomData(32*mib, 94), etag: `"a"`}
		r := pathRig(t, "http://fast", map[string]*modelPath{
			"fast": {f: f, rtt: 20 * time.Millisecond, rate: 8e6},
			"slow": {f: f, rtt: 20 * time.Millisecond, rate: 50e3},
		})
		r.opts.Connections, r.opts.Pieces = 4, plainPieces(f.data, mib)
		res := r.must("x", f.data)
		told := 0
		for _, e := range r.events {
			if e.Kind != EventRelief {
				continue
			}
			if told++; e.Mirror != "http://slow/x" || e.By != "http://fast/x" || e.Bytes == 0 || e.Bytes > mib || e.Reason == "" {
				t.Errorf("told %+v", e)
			}
		}
		if told == 0 || told > 4 || res.Elapsed > 10*time.Second {
			t.Errorf("%d requests were given up to another address, %v", told, res.Elapsed)
		}
	})
}

// TestSilentFirst: who does not answer is not waited for when there are others.
func TestSilentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{data: randomData(8*mib, 94), etag: `"a"`}
		paths := map[string]*modelPath{"b": {f: f, rtt: 50 * time.Millisecond, rate: 20e6}}
		silent := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		r := pathRig(t, "http://a", paths)
		others := r.opts.Transport
		r.opts.Transport = roundTripFunc(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host == "a" {
				return silent(req)
			}
			return others.RoundTrip(req)
		})
		r.opts.Pieces = plainPieces(f.data, mib)
		if res := r.must("x", f.data); res.Elapsed > 10*time.Second {
			t.Errorf("took %v: %+v", res.Elapsed, res.Mirrors)
		}
	})
}

// TestSlowFirst: who may say what the file is has its time to answer, whatever others
// say meanwhile that may not.
func TestSlowFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{data: randomData(8*mib, 98), etag: `"a"`}
		path := &modelPath{f: f, rtt: 10 * time.Millisecond, rate: 20e6}
		r := pathRig(t, "https://a", map[string]*modelPath{"a": path, "b": path})
		paths := r.opts.Transport
		r.opts.Transport = roundTripFunc(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host == "a" {
				select {
				case <-time.After(5 * time.Second):
				case <-req.Context().Done():
					return nil, req.Context().Err()
				}
			}
			return paths.RoundTrip(req)
		})
		if res := r.must("x", f.data); res.Retries != 0 {
			t.Errorf("%+v", res)
		}
	})
}

// TestUnencryptedLead: beside an encrypted address, a plain one may bring bytes but
// not say what the file is.
func TestUnencryptedLead(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		tls, other := transports[2], tr // of the first and of the plain one
		if secure(tr.name) {
			tls, other = tr, transports[0]
		}
		both := func(first, plain *file) *rig { return mirroredOver(t, tls, []transport{other}, first, plain) }
		data := randomData(12*mib, 95)
		plain := &file{data: randomData(12*mib, 96), etag: `"p"`, tree: true}
		r := both(&file{data: data, etag: `"a"`}, plain)
		if res := r.must("x", data); res.Verified || res.Mirrors != nil {
			t.Errorf("%+v", res)
		}
		r = both(&file{data: data, etag: `"a"`, tree: true}, plain)
		res := r.must("x", data)
		r.wantDropped(res, "", CodePieceMismatch)

		down := &file{script: func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(404)
			return true
		}}
		r = both(down, plain)
		if e := r.fails(KindHTTPStatus); !strings.Contains(e.Error(), "not encrypted") {
			t.Errorf("%v", e)
		}
		r = both(down, plain)
		r.opts.Pieces = plainPieces(plain.data, mib)
		r.must("x", plain.data)
	})
}

// TestMirrorsBusyAtFirst: nobody is given up for an answer that may change.
func TestMirrorsBusyAtFirst(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		data := randomData(8*mib, 97)
		busy := func(_ *file, n int, w http.ResponseWriter, r *http.Request) bool {
			if n <= 2 {
				w.WriteHeader(503)
			}
			return n <= 2
		}
		r := alike(t, tr, &file{data: data, etag: `"a"`, tree: true, script: busy}, &file{data: data, etag: `"b"`, script: busy})
		res := r.must("x", data)
		r.wantDropped(res, "", "")
		if res.Retries < 2 || r.count(EventRetry) != res.Retries {
			t.Errorf("%d retries, %d events", res.Retries, r.count(EventRetry))
		}
	})
}

// TestBusyFirstIsDropped: how long others are not asked again is not for one to say that is
// not asked at all any more.
func TestBusyFirstIsDropped(t *testing.T) {
	runLight(t, func(t *testing.T, tr transport) {
		busy := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		b := &file{data: randomData(2*mib, 95), etag: `"b"`, tree: true}
		b.script = func(_ *file, n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				w.WriteHeader(http.StatusBadGateway)
			}
			return n == 1
		}
		r := alike(t, tr, busy, b)
		r.opts.Output = "x"
		begun := time.Now()
		r.wantDropped(r.must("x", b.data), CodeBusy, "")
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("it took %v", took)
		}
		for _, e := range r.events {
			if e.Kind == EventRetry && e.Mirror != r.opts.Mirrors[0].URL.String() {
				t.Errorf("%+v", e)
			}
		}
	})
}
